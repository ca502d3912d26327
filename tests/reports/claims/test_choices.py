from dataclasses import replace

import numpy as np
import pytest

from bakeoff.errors import BakeoffError
from reports.claims.choices import choice, most_samples
from reports.claims.evidence import Sampled
from reports.verification import verification


def test_the_most_samples_are_a_power_of_four_that_every_problem_has(make_evidence, make_samples):
    samples = {
        ("start", "ood"): make_samples([0.5, 0.5], n=64),
        ("grpo-s0", "ood"): make_samples([0.5, 0.5], n=64),
        ("grpo-s1", "ood"): [*make_samples([0.5], n=64), *make_samples([0.5], n=63)],
    }
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples=samples)
    assert most_samples(evidence, ("start",), split="ood") == 64
    assert most_samples(evidence, ("start", "grpo"), split="ood") == 16
    with pytest.raises(BakeoffError, match="no samples of grpo on test"):
        most_samples(evidence, ("grpo",), split="test")


def test_a_choice_of_the_start_belongs_to_no_seed(make_evidence, make_samples):
    # Of four, two and three are right: one at random, all of them, and the vote.
    samples = {("start", "ood"): make_samples([0.5, 0.75], n=4)}
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples=samples)
    found = choice(evidence, "start", split="ood", way="pass", k=1)
    assert (found.seeds, found.problems) == ((), ("p00", "p01"))
    assert found.values == pytest.approx(np.array([[0.5, 0.75]]))
    assert choice(evidence, "start", split="ood", way="pass", k=4).values.tolist() == [[1.0, 1.0]]
    # Two against two share the credit.
    assert choice(evidence, "start", split="ood", way="maj", k=4).values.tolist() == [[0.5, 1.0]]


def test_a_choice_of_an_arm_is_by_seed_over_shared_problems(make_evidence, make_samples):
    samples = {
        ("grpo-s0", "ood"): make_samples([0.25, 0.5], n=4),
        ("grpo-s3", "ood"): make_samples([1.0, 0.0, 0.5], n=4),
    }
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples=samples)
    found = choice(evidence, "grpo", split="ood", way="pass", k=1)
    assert (found.seeds, found.problems) == ((0, 3), ("p00", "p01"))
    assert found.values == pytest.approx(np.array([[0.25, 0.5], [1.0, 0.0]]))


def test_a_verifier_chooses_by_its_scores_and_needs_them_on_every_problem(
    make_evidence, make_samples
):
    problems = make_samples([0.25, 0.75], n=4, orm=(0.1, 0.9), prm=(0.9, 0.1))
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples={("start", "ood"): problems})
    assert choice(evidence, "start", split="ood", way="best:prm", k=4).values.tolist() == [[1, 1]]
    assert choice(evidence, "start", split="ood", way="best:orm", k=4).values.tolist() == [[0, 0]]
    problems[1] = replace(problems[1], scores={"orm": problems[1].scores["orm"]})
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples={("start", "ood"): problems})
    with pytest.raises(BakeoffError, match="no scores for best:prm"):
        choice(evidence, "start", split="ood", way="best:prm", k=4)


def test_choices_are_those_of_a_verification(make_evidence, rng):
    problems = [
        Sampled(
            id=f"p{index}",
            correct=(True, False, None, True, False, False, True, False),
            answers=tuple(rng.choice(["4", "5", "6"], size=8)),
            scores={"orm": tuple(rng.random(8)), "prm": tuple(rng.random(8))},
        )
        for index in range(5)
    ]
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples={("start", "ood"): problems})
    expected = verification(problems, rng=rng, ks=[1, 4])
    for k, ways in expected.at.items():
        for way, chosen in ways.items():
            found = choice(evidence, "start", split="ood", way=way, k=k)
            assert found.values[0] == pytest.approx(chosen.values), (way, k)


def test_a_problem_with_too_few_verdicts_is_left_out(make_evidence, make_samples):
    problems = make_samples([0.5, 0.75], n=4)
    problems[0] = replace(problems[0], correct=(None, True, False, False))
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples={("start", "ood"): problems})
    found = choice(evidence, "start", split="ood", way="pass", k=4)
    assert np.isnan(found.values[0, 0]) and found.values[0, 1] == 1.0
