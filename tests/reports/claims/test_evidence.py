import json

import pytest

from bakeoff.errors import BakeoffError
from bakeoff.records import append_lines, write_json
from reports.claims.evidence import Identity, Sampled, Step, load_evidence

LINE = {
    "id": "p1",
    "question": "2+2?",
    "answer": "4",
    "responses": ["4", "5", ""],
    "correct": [True, False, None],
    "extracted": ["4", "5", None],
    "finish": ["stop", "stop", "length"],
}


def test_a_study_with_nothing_beside_it_is_evidence(make_study):
    evidence = load_evidence(make_study(methods=("grpo",)), seed=0)
    assert (evidence.annotations, evidence.identities) == ((), ())
    assert (dict(evidence.samples), dict(evidence.reward_models)) == ({}, {})
    with pytest.raises(BakeoffError, match="there are no samples of start on ood"):
        evidence.sampled("start", "ood")


def test_everything_beside_a_study_is_read(make_study):
    folder = make_study(methods=("grpo",))
    for name in ("samples", "annotation", "reward_models/orm"):
        (folder / name).mkdir(parents=True)
    scored = LINE | {"scores": {"orm": [0.9, 0.1, 0.0]}}
    append_lines(folder / "samples/start-ood.jsonl", [scored])
    append_lines(folder / "samples/raft++_mu4-s12-test.jsonl", [LINE])
    append_lines(folder / "samples/empty-s0-test.jsonl", [])
    steps = [
        {"completions": 8, "right": 3, "hard": 1, "soft": 0.375},
        {"completions": None, "right": None, "hard": 1, "soft": 1.0},
    ]
    append_lines(
        folder / "annotation/annotations.jsonl", [{"id": "p1", "steps": steps, "truth": [0, 1]}]
    )
    write_json(folder / "reward_models/orm/training.json", {"held_out": {"loss": 0.5}})
    identity = {"statement": "k3 is not negative", "source": "eq. 4", "largest_error": 0.0}
    write_json(folder / "identities.json", {"identities": [identity | {"holds": True}]})
    evidence = load_evidence(folder, seed=3)
    (problem,) = evidence.sampled("start", "ood")[None]
    assert problem == Sampled(
        id="p1",
        correct=(True, False, None),
        answers=("4", "5", None),
        scores={"orm": (0.9, 0.1, 0.0)},
    )
    assert list(evidence.sampled("raft++_mu4", "test")) == [12]
    with pytest.raises(BakeoffError, match="there are no samples of empty on test"):
        evidence.sampled("empty", "test")
    assert evidence.annotations == (
        (
            Step(completions=8, right=3, is_right=False),
            Step(completions=0, right=0, is_right=True),
        ),
    )
    assert evidence.reward_models["orm"]["held_out"]["loss"] == 0.5
    assert evidence.identities == (
        Identity(statement="k3 is not negative", source="eq. 4", largest_error=0.0, holds=True),
    )


def test_steps_without_a_known_truth_and_ends_without_completions_are_told_apart(make_study):
    folder = make_study(methods=("grpo",))
    (folder / "annotation").mkdir()
    response = "1+1=2\n2+2=4\n"

    def step(end, right):
        return {"end": end, "completions": 8, "right": right, "hard": 1, "soft": right / 8}

    ended = {"response": response, "steps": [step(6, 3), step(12, 8)]}
    append_lines(
        folder / "annotation/annotations.jsonl",
        [
            # Of the end one verdict counts as eight; what was cut breaks off in a step.
            ended | {"finish": "stop", "truth": [1, 0]},
            ended | {"finish": "length", "truth": [1, None]},
            ended | {"finish": "stop"},
        ],
    )
    first = Step(completions=8, right=3, is_right=True)
    end = Step(completions=0, right=8, is_right=False)
    assert load_evidence(folder, seed=0).annotations == ((first, end), (first,), ())


def test_runs_are_told_from_arms_whose_names_begin_alike(make_evidence):
    problems = (Sampled(id="p", correct=(True,), answers=("4",), scores={}),)
    names = [("grpo-s0", "ood"), ("grpo-s1", "ood"), ("grpo-s0", "test"), ("grpo_mu4-s5", "ood")]
    evidence = make_evidence(accuracy={"grpo": 0.5}, samples=dict.fromkeys(names, problems))
    assert list(evidence.sampled("grpo", "ood")) == [0, 1]
    assert list(evidence.sampled("grpo_mu4", "ood")) == [5]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("samples/start-ood.jsonl", json.dumps({"id": "p1", "correct": [True]})),
        ("annotation/annotations.jsonl", json.dumps({"steps": [], "truth": [1]})),
        ("identities.json", json.dumps({"identities": [{"statement": "k3"}]})),
    ],
)
def test_a_record_of_another_shape_is_refused_by_its_file(make_study, name, text):
    folder = make_study(methods=("grpo",), seeds=(0,))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text + "\n")
    with pytest.raises(BakeoffError, match=name):
        load_evidence(folder, seed=0)


def test_a_missing_arm_says_why(make_evidence):
    evidence = make_evidence(accuracy={"grpo": 0.5}, failed={"ppo": "killed: out of memory"})
    with pytest.raises(BakeoffError, match="arm ppo did not finish: killed: out of memory"):
        evidence.cells("ppo")
    with pytest.raises(BakeoffError, match="arm rloo is not in the study"):
        evidence.cells("rloo")
    assert [cell.seed for cell in evidence.cells("grpo")] == [0, 1, 2]


def test_resamples_are_the_same_for_every_number(make_evidence):
    evidence = make_evidence(accuracy={"grpo": 0.5})
    assert evidence.rng().random() == evidence.rng().random()
