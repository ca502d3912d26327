import json
import shutil
from dataclasses import replace

import pytest

from bakeoff.errors import BakeoffError
from reports.load import load_study
from reports.merge import merge


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def two(make_study, tmp_path):
    """Two halves of a study of two methods and two seeds, as machines of their own wrote them."""
    whole = make_study(methods=("ppo", "grpo"), seeds=(0, 1))
    for name in "ab":
        shutil.copytree(whole, tmp_path / name)
    record = json.loads((whole / "study.json").read_text())
    for name, kept in (("a", ("ppo", 0)), ("b", ("grpo", 1))):
        cells = [c for c in record["cells"] if (c["method"] == kept[0]) or c["seed"] == kept[1]]
        edit(tmp_path / name / "study.json", cells=cells)
    return tmp_path / "a", tmp_path / "b"


def test_comparisons_in_the_same_world_are_one_study(two):
    a, b = map(load_study, two)
    (found,) = merge([a, b])
    assert found.methods == ("ppo", "grpo")
    assert sorted((c.method, c.seed) for c in found.cells) == [
        ("grpo", 0), ("grpo", 1), ("ppo", 0), ("ppo", 1),
    ]  # fmt: skip
    assert set(found.start) == {0, 1}
    assert all((found.path / cell.directory / "config.json").exists() for cell in found.cells)
    assert found.of("grpo")[0].transcripts and found.of("ppo")[0].transcripts


def test_a_pool_names_every_search_that_chose_settings_once(two):
    for path, source in zip(two, ("runs/rates", "runs/sizes"), strict=True):
        edit(path / "study.json", tuning=source)
    a, b = map(load_study, two)
    (found,) = merge([a, b, replace(b, path=a.path)])
    assert found.tuning == ("runs/rates", "runs/sizes")


def test_a_cell_that_several_studies_hold_counts_once(two):
    a = load_study(two[0])
    (found,) = merge([a, a])
    assert [cell.directory for cell in found.cells] == [cell.directory for cell in a.cells]
    assert (found.name, found.command, found.machine) == (a.name, a.command, a.machine)


def test_a_cell_that_another_study_finished_is_not_missing(two):
    (two[0] / "grpo-s0-abcdef0123/status.json").write_text(
        '{"state": "failed", "message": "killed"}'
    )
    a, b = map(load_study, two)
    assert [(lost.method, lost.seed) for lost in a.skipped] == [("grpo", 0)]
    assert [(c.method, c.seed) for c in b.cells if c.method == "grpo"] == [("grpo", 0), ("grpo", 1)]
    (found,) = merge([a, b])
    assert found.skipped == ()


def test_a_pool_passes_only_where_every_gate_did(two):
    edit(two[1] / "study.json", gate={"passed": False, "failed": ["ratio: 1.02 at step 0"]})
    a, b = map(load_study, two)
    (found,) = merge([a, b])
    assert not found.gate.passed
    assert found.gate.reasons == ("b: ratio: 1.02 at step 0",)


@pytest.mark.parametrize("key", ["evaluation", "model"])
def test_other_settings_of_the_evaluation_or_the_model_are_another_world(two, key):
    for config in two[1].glob("*/config.json"):
        edit(config, **{key: {"evaluations": 12, "compute_dtype": "bfloat16"}})
    studies = [load_study(path) for path in two]
    assert merge(studies) == studies


def test_another_budget_split_or_start_is_another_world(two):
    a, b = map(load_study, two)
    assert len(merge([a, replace(b, budget=b.budget + 1)])) == 2
    assert len(merge([a, replace(b, split="validation")])) == 2
    b.start[1]["test"].right[0] += 1
    assert len(merge([a, b])) == 2


def test_studies_without_a_seed_in_common_need_the_same_problems(two):
    a, b = map(load_study, two)
    a = replace(a, start={0: a.start[0]})
    b = replace(b, start={1: b.start[1]})
    assert len(merge([a, b])) == 1
    (found,) = merge([a, b])
    assert set(found.start) == {0, 1}
    asked = replace(b.start[1]["test"], problems=("another", *b.start[1]["test"].problems[1:]))
    assert len(merge([a, replace(b, start={1: b.start[1] | {"test": asked}})])) == 2


def test_others_stay_apart_in_the_order_given(two):
    a, b = map(load_study, two)
    swept = replace(a, kind="ablation")
    other = replace(a, budget=1.0)
    found = merge([swept, a, other, b])
    assert [study.kind for study in found] == ["ablation", "comparison", "comparison"]
    assert [study.budget for study in found] == [a.budget, a.budget, 1.0]
    assert len(found[1].cells) == 4


@pytest.mark.parametrize("seed", [0, 1])
def test_one_name_for_two_settings_is_refused(two, seed):
    # With seed 0 both studies have the cell; with seed 1 only the second one does.
    file = two[1] / f"grpo-s{seed}-abcdef0123/config.json"
    config = json.loads(file.read_text())
    edit(file, hash="0123456789", optimizer=config["optimizer"] | {"learning_rate": 0.5})
    a, b = map(load_study, two)
    with pytest.raises(
        BakeoffError,
        match=rf"a/grpo-s0-\w+ and b/grpo-s{seed}-\w+ are both grpo.* but differ in "
        r"optimizer\.learning_rate \(5e-05 against 0\.5\); report the studies apart",
    ):
        merge([a, b])


def test_the_same_seed_with_another_hash_is_refused_even_for_the_machine_s_settings(two):
    file = two[1] / "grpo-s0-abcdef0123/config.json"
    config = json.loads(file.read_text())
    edit(file, hash="0123456789", model=config["model"] | {"threads": 2})
    a, b = map(load_study, two)
    with pytest.raises(BakeoffError, match=r"both grpo with seed 0, but differ in model\.threads"):
        merge([a, b])
