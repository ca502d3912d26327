import json

import pytest

from bakeoff.errors import BakeoffError
from reports.load import load_study


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_study_has_its_finished_cells_in_the_order_asked_for(make_study):
    study = load_study(make_study(seeds=(1, 0)))
    assert study.methods == ("ppo", "rft", "online_rft", "grpo")
    assert [cell.seed for cell in study.of("grpo")] == [0, 1]
    assert set(study.start) == {0, 1}
    points = study.of("ppo")[0].evaluations["test"]
    assert [point.final for point in points] == [False, False, True]
    assert points[-1].spent["sampled_tokens"] == 200_000
    assert len(points[-1].rows) == 24


def test_unfinished_cells_are_named_not_counted(make_study):
    study = load_study(make_study(unfinished=[("ppo", 1)]))
    assert [(s.method, s.seed, s.state, s.message) for s in study.skipped] == [
        ("ppo", 1, "failed", "killed: out of memory")
    ]
    assert len(study.cells) == 11


def test_a_finished_cell_without_a_final_evaluation_is_left_out(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0,))
    file = path / "ppo-s0-abcdef0123/evaluations.jsonl"
    lines = [line for line in file.read_text().splitlines(True) if '"final": false' in line]
    file.write_text("".join(lines))
    study = load_study(path)
    assert study.methods == ("grpo",)
    assert "no final evaluation" in study.skipped[0].message


def test_a_study_without_a_finished_cell_says_what_to_do(make_study):
    path = make_study(methods=("ppo",), seeds=(0,), unfinished=[("ppo", 0)])
    with pytest.raises(BakeoffError, match=r"ppo-s0-\w+ \(failed\).*run the study's command again"):
        load_study(path)


def test_two_cells_of_a_method_and_seed_are_refused(make_study):
    path = make_study(methods=("ppo",), seeds=(0, 1))
    cells = json.loads((path / "study.json").read_text())["cells"]
    edit(path / "study.json", cells=[cells[0], cells[1] | {"seed": 0}])
    with pytest.raises(BakeoffError, match="ppo with seed 0 twice"):
        load_study(path)


def test_a_malformed_record_is_named(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    edit(path / "study.json", budget={"axis": "flops", "value": "much"})
    with pytest.raises(BakeoffError, match=r"study\.json: 'value' is 'much'"):
        load_study(path)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (
            {"passed": False, "failed": [{"check": "ratio", "reason": "1.02 at step 0"}]},
            "ratio: 1.02 at step 0",
        ),
        ({"passed": True, "failed": [], "forced": True}, "the gate was overridden"),
        ({"passed": False, "failed": []}, "did not pass"),
    ],
)
def test_a_gate_that_failed_or_was_forced_voids_the_comparison(make_study, gate, reason):
    found = load_study(make_study(methods=("ppo",), seeds=(0,), gate=gate)).gate
    assert not found.passed
    assert reason in found.reasons[0]


def test_a_canary_of_a_cell_voids_the_comparison(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    edit(
        path / "ppo-s0-abcdef0123/status.json",
        canaries=[{"check": "sampler gap", "reason": "0.3 nats"}],
    )
    assert load_study(path).gate.reasons == ("ppo-s0-abcdef0123: sampler gap: 0.3 nats",)


def test_a_study_tuned_on_validation_reports_on_validation(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    file = path / "ppo-s0-abcdef0123/evaluations.jsonl"
    file.write_text(file.read_text().replace('"split": "test"', '"split": "validation"'))
    assert load_study(path).split == "validation"
