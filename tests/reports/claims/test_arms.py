import pytest

from reports.claims.arms import arm_ends


def test_every_arm_and_the_start_end_somewhere(make_evidence):
    evidence = make_evidence(
        accuracy={"grpo": (0.5, 0.6, 0.7), "start": 0.4},
        metrics={"grpo": {"entropy": [[0.9] * 18 + [0.1, 0.3]] * 3}, "rft": {}},
        noise=0.0,
    )
    start, grpo, rft = arm_ends(evidence)
    assert (start.policy, start.seeds, start.wall_seconds) == ("start", (0, 1, 2), None)
    assert start.pass_at_1.mean == pytest.approx(0.4)
    assert start.entropy is None
    assert (grpo.policy, grpo.wall_seconds) == ("grpo", 60.0)
    assert grpo.pass_at_1.mean == pytest.approx(0.6)
    # Student's t with 2 degrees of freedom times the standard error 0.1 / sqrt(3).
    half = 4.302653 * 0.1 / 3**0.5
    assert grpo.pass_at_1.low == pytest.approx(0.6 - half, abs=0.01)
    assert grpo.pass_at_1.high == pytest.approx(0.6 + half, abs=0.01)
    assert grpo.ood.mean == pytest.approx(0.5)
    assert grpo.greedy.mean == 1.0
    assert grpo.entropy == pytest.approx(0.2)
    assert (rft.policy, rft.entropy) == ("rft", None)


def test_what_was_not_evaluated_is_left_open(make_evidence):
    evidence = make_evidence(accuracy={"grpo": 0.5})
    for cell in evidence.study.cells:
        del cell.evaluations["ood"]
    (grpo,) = arm_ends(evidence)
    assert grpo.ood is None
    assert grpo.pass_at_1 is not None
