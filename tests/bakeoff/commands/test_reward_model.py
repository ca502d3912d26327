import json
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import pytest

from bakeoff.records import read_json, read_lines
from bakeoff.reward_models.folder import RewardHead, RewardKind, read_info
from bakeoff.reward_models.history import read_history
from bakeoff.rewards.steps import split_steps
from bakeoff.tasks import arithmetic
from bakeoff.types import Split

ROOT = Path(__file__).parents[3]
TINY = ("--model", "config:builtin", "--device", "cpu")


def write(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def graded(tmp_path) -> Path:
    """Forty problems, each with a right response, a wrong one and one without a verdict."""
    return write(
        tmp_path / "graded.jsonl",
        [
            {
                "question": problem.question,
                "answer": problem.answer,
                "responses": [f"#{problem.answer}", "#0", "?"],
                "correct": [True, False, None],
            }
            for problem in arithmetic.problems(Split.TRAIN, count=40)
        ],
    )


@pytest.fixture
def annotated(tmp_path) -> Path:
    rows = []
    for demonstration in zip(
        range(40),
        arithmetic.demonstrations(arithmetic.problems(Split.TRAIN, count=40), seed=0),
        strict=False,
    ):
        problem, response = demonstration[1]
        steps = split_steps(response)
        judged = arithmetic.check_steps(problem.question, [step.text for step in steps])
        rows.append(
            {
                "question": problem.question,
                "response": response,
                "finish": "stop",
                "steps": [
                    {"end": step.end, "hard": int(right), "soft": 0.5 + right / 4}
                    for step, right in zip(steps, accumulate(judged, min), strict=True)
                ],
            }
        )
    return write(tmp_path / "annotated.jsonl", rows)


def test_an_outcome_model_is_trained_and_scores_a_file(bakeoff, graded, tmp_path):
    ended = bakeoff("reward-model", "train", graded, "--out", "orm", "--kind", "outcome", *TINY)
    assert ended.code == 0, ended.err
    record = read_json(tmp_path / "orm" / "training.json")
    assert record["data"] == {str(graded): 80}
    kept, held_out = record["labels"]["train"], record["labels"]["held_out"]
    assert kept["solutions"] + held_out["solutions"] == 80
    assert kept["mean"] == held_out["mean"] == 0.5  # both responses of a question stay together
    assert record["result"]["optimizer_steps"] == -(-kept["solutions"] // 64)
    assert record["held_out"]["solutions"] == held_out["solutions"] > 0
    assert record["settings"]["learning_rate"] == 2e-5
    info = read_info(tmp_path / "orm")
    assert (info.kind, info.head) == (RewardKind.OUTCOME, RewardHead.SCALAR)
    assert info.base_model == "config:builtin"
    assert len(read_history(tmp_path / "orm")) == kept["solutions"]
    assert "held-out solutions: accuracy" in ended.out

    scored = bakeoff("reward-model", "score", "orm", graded, "--out", "scored.jsonl")
    assert scored.code == 0, scored.err
    assert "40 lines  120 responses" in scored.err
    rows = list(read_lines(tmp_path / "scored.jsonl"))
    assert [len(row["scores"]) for row in rows] == [3] * 40
    assert all(0 < score < 1 for row in rows for score in row["scores"])
    # A second model's scores join those of the first, in place.
    named = write(tmp_path / "named.jsonl", [r | {"scores": {"old": [1, 2, 3]}} for r in rows])
    bakeoff("reward-model", "score", "orm", named, "--out", named, "--name", "orm")
    again = list(read_lines(named))
    assert [row["scores"]["orm"] for row in again] == [row["scores"] for row in rows]
    assert again[0]["scores"]["old"] == [1, 2, 3]
    assert not list(tmp_path.glob(".*"))


def test_a_process_model_is_trained_on_the_estimate_that_is_asked_for(bakeoff, annotated, tmp_path):
    train = ("reward-model", "train", annotated, "--kind", "process", *TINY)
    hard = bakeoff(*train, "--out", "hard", "--head", "two-token", "--epochs", "2")
    soft = bakeoff(*train, "--out", "soft", "--estimate", "soft", "--holdout", "0")
    assert (hard.code, soft.code) == (0, 0), hard.err + soft.err
    labels = [
        {label for one in read_history(tmp_path / name) for label in one.labels}
        for name in ("hard", "soft")
    ]
    assert labels == [{0.0, 1.0}, {0.5, 0.75}]
    assert read_info(tmp_path / "hard").head is RewardHead.TWO_TOKEN
    assert read_json(tmp_path / "hard" / "training.json")["settings"]["epochs"] == 2
    assert read_json(tmp_path / "soft" / "training.json")["held_out"] is None
    assert "nothing was held out" in soft.out


def test_the_builtin_model_has_settings_of_its_own_that_flags_override(bakeoff, graded, tmp_path):
    train = ("reward-model", "train", graded, "--kind", "outcome", "--out", "orm")
    bakeoff(*train)
    info = read_info(tmp_path / "orm")
    assert info.head is RewardHead.LIKELIHOOD
    assert info.training["settings"]["learning_rate"] == 1e-4
    # A folder that holds a reward model is replaced.
    bakeoff(*train, "--learning-rate", "3e-4", "--head", "scalar", "--head-learning-rate", "none")
    info = read_info(tmp_path / "orm")
    assert info.head is RewardHead.SCALAR
    assert info.training["settings"]["learning_rate"] == 3e-4
    assert info.training["settings"]["head_learning_rate"] is None
    assert (
        len(read_history(tmp_path / "orm"))
        == info.training["data"][str(graded)] - (info.training["held_out"]["solutions"])
    )


def test_the_same_seed_makes_the_same_model(bakeoff, graded, tmp_path):
    for name in ("one", "two"):
        bakeoff("reward-model", "train", graded, "--out", name, "--kind", "outcome", *TINY)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_scores_go_to_standard_output_without_an_out(bakeoff, graded):
    bakeoff("reward-model", "train", graded, "--out", "orm", "--kind", "outcome", *TINY)
    ended = bakeoff("reward-model", "score", "orm", graded, "--solution-score", "mean")
    assert [json.loads(line)["correct"] for line in ended.out.splitlines()] == [
        [True, False, None]
    ] * 40


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("train none.jsonl --out x --kind outcome", "cannot read none.jsonl"),
        ("train graded.jsonl --out x --kind process", "graded.jsonl, line 1: a process reward"),
        ("train graded.jsonl --out mine --kind outcome", "mine is not empty and holds no reward"),
        ("train graded.jsonl --out graded.jsonl --kind outcome", "is a file; name a folder"),
        ("train empty.jsonl --out x --kind outcome", "no labelled solution to train on: 0 in"),
        ("train graded.jsonl --out x --kind outcome --epochs 0", "epochs must be at least 1"),
        ("train graded.jsonl --out x --kind outcome --epochs few", "epochs = 'few'"),
        ("train graded.jsonl --out x --kind outcome --learning-rate 0", "must be above 0, got 0"),
        ("train graded.jsonl --out x --kind outcome --task arithmetik", "no task 'arithmetik'"),
        ("train graded.jsonl --out x --kind outcome --model ./none", "'./none' does not exist"),
        (
            "train graded.jsonl --out x --kind outcome --head two-token --potential-token good",
            "'good' is not a single token",
        ),
        ("train graded.jsonl --out x --kind praise", "'praise' is not one of"),
        ("score mine graded.jsonl", "mine holds no reward model"),
        ("score orm none.jsonl --out x", "cannot read none.jsonl"),
        ("score orm graded.jsonl --out none/x", "cannot write none/x"),
        ("score orm broken.jsonl --out x", "broken.jsonl, line 1: 'responses' must be"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(bakeoff, graded, tmp_path, arguments, told):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text('{"question": "1 +1"}\n')
    if arguments.startswith("score orm"):
        bakeoff("reward-model", "train", graded, "--out", "orm", "--kind", "outcome", *TINY)
    ended = bakeoff("reward-model", *arguments.split())
    assert ended.code == 2
    assert ended.err.startswith("bakeoff: ") and ended.err.count("\n") == 1, ended.err
    assert told in ended.err
    assert not (tmp_path / "x").exists()
    assert [path.name for path in tmp_path.glob(".*")] == []
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_help_needs_no_torch():
    code = """
import sys
from bakeoff.cli import cli
for name in ("train", "score"):
    try:
        cli(["reward-model", name, "--help"])
    except SystemExit as end:
        print("ended", end.code)
print({"torch", "transformers", "numpy", "scipy", "pydantic"} & sys.modules.keys())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.count("ended 0") == 2, result.stderr
    assert result.stdout.splitlines()[-1] == "set()"
