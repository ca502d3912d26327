import json

import numpy as np
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
    assert len(points[-1].problems) == 24


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


def test_metrics_are_columns_of_the_keys_asked_for(make_study):
    path = make_study(methods=("ppo",), seeds=(0,), batches=3)
    (cell,) = load_study(path).cells
    assert {"batch", "pass_rate", "clip_fraction"} <= cell.metrics.keys()
    assert cell.metrics["batch"].tolist() == [0.0, 1.0, 2.0]
    assert "optimizer_steps" not in cell.metrics
    (cell,) = load_study(path, metrics=["optimizer_steps"]).cells
    assert cell.metrics.keys() == {"batch", "optimizer_steps"}
    assert cell.metrics["optimizer_steps"].tolist() == [0.0, 1.0, 2.0]


def test_a_malformed_line_of_a_cell_is_named(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    file = path / "ppo-s0-abcdef0123/metrics.jsonl"
    file.write_text(file.read_text().replace("}\n", "\n", 1))
    with pytest.raises(BakeoffError, match=r"ppo-s0-abcdef0123/metrics\.jsonl, line 1 is not JSON"):
        load_study(path)


def test_processes_read_what_one_process_reads(make_study, monkeypatch):
    path = make_study(seeds=(0, 1), unfinished=[("ppo", 1)])
    alone = load_study(path)
    monkeypatch.setattr("reports.load.PARALLEL_FROM", 1)
    together = load_study(path)
    assert [c.directory for c in together.cells] == [c.directory for c in alone.cells]
    assert together.skipped == alone.skipped
    for a, b in zip(together.cells, alone.cells, strict=True):
        assert (a.config, a.ledger, a.transcripts) == (b.config, b.ledger, b.transcripts)
        for key in b.metrics:
            np.testing.assert_array_equal(a.metrics[key], b.metrics[key])
        for split, points in b.evaluations.items():
            for one, other in zip(a.evaluations[split], points, strict=True):
                assert (one.spent, one.problems) == (other.spent, other.problems)
                np.testing.assert_array_equal(one.right, other.right)
                np.testing.assert_array_equal(one.majority, other.majority)
    file = path / "grpo-s1-abcdef0123/evaluations.jsonl"
    file.write_text("{\n" + file.read_text())
    with pytest.raises(BakeoffError, match=r"grpo-s1-abcdef0123/evaluations\.jsonl, line 1"):
        load_study(path)


def test_only_the_first_seed_that_finished_has_transcripts(make_study):
    study = load_study(make_study(methods=("ppo", "grpo"), unfinished=[("ppo", 0)]))
    shown = {(c.method, c.seed) for c in study.cells if c.transcripts}
    assert shown == {("ppo", 1), ("grpo", 0)}


def test_a_cell_whose_training_collapsed_says_when(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0,))
    edit(
        path / "ppo-s0-abcdef0123/status.json",
        collapsed=True,
        message="collapsed at batch 7: one token a response",
    )
    study = load_study(path)
    assert [cell.collapsed for cell in study.cells] == [
        "collapsed at batch 7: one token a response",
        "",
    ]


def test_a_folder_that_is_listed_twice_is_one_cell(make_study):
    path = make_study(methods=("ppo",), seeds=(0, 1))
    cells = json.loads((path / "study.json").read_text())["cells"]
    edit(path / "study.json", cells=[*cells, cells[0] | {"trial": 1}])
    assert [cell.seed for cell in load_study(path).cells] == [0, 1]


def test_an_ablation_brings_its_factors_and_trials(make_study):
    path = make_study(methods=("grpo",), seeds=(0,))
    assert load_study(path).kind == "comparison"
    edit(path / "study.json", kind="ablation")
    with pytest.raises(BakeoffError, match=r"study\.json: 'ablation' is None"):
        load_study(path)
    record = {"title": "t", "question": "q", "design": "grid", "pruner": "none",
              "objectives": ["pass@1"], "factors": [], "trials": []}  # fmt: skip
    edit(path / "study.json", ablation=record)
    study = load_study(path)
    assert study.kind == "ablation"
    assert study.ablation is not None and study.ablation.objectives == ("pass@1",)
