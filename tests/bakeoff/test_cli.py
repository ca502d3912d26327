"""The command line in this process: `main` is what the installed command calls."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from bakeoff.cli import cli, main
from bakeoff.records import RunDirectory, read_json, read_lines

# Random weights and next to no work: a whole run in a second.
TINY = (
    *("--model", "config:builtin", "--problems-per-step", "2", "--max-response-tokens", "8"),
    *("--evaluation-problems", "4", "--evaluation-samples", "1", "--final-samples", "2"),
    *("--ood-problems", "0"),
)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Bakeoff = Callable[..., Ended]


@pytest.fixture
def bakeoff(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Bakeoff]:
    """The `bakeoff` command, run in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["bakeoff", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    yield run


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """A folder of what users get wrong."""
    folder = tmp_path / "things"
    for name in ("nothing", "junk", "no_config"):
        (folder / name).mkdir(parents=True)
    files = {
        "misspelt.yaml": "method: grpo\nlearing_rate: 1\n",
        "mistyped.yaml": "method: grpo\nlearning_rate: fast\n",
        "list.yaml": "- 1\n",
        "broken.yaml": "a: [1\n",
        "no_method.yaml": "seed: 1\n",
        "empty.jsonl": "",
        "no_answer.jsonl": '{"question": "1+1"}\n',
        "junk/notes.txt": "mine",
        "mine.py": "ONE = 1\n",
        "broken.py": "import nothing_of_that_name\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def assert_refused(ended: Ended, *told: str) -> None:
    """Exit code 2 and one line on stderr that tells all of `told`."""
    assert ended.code == 2, ended.err
    assert ended.err.startswith("bakeoff: ")
    assert ended.err.count("\n") == 1 and ended.err.endswith("\n"), ended.err
    assert "Traceback" not in ended.err + ended.out
    for part in told:
        assert part in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--config none.yaml", ["none.yaml does not exist"]),
        ("--config nothing", ["cannot read nothing"]),
        ("--config broken.yaml", ["broken.yaml is not YAML"]),
        ("--config list.yaml", ["list.yaml must hold a mapping"]),
        ("--config no_method.yaml", ["name a --method", "grpo"]),
        ("--config misspelt.yaml", ["'learing_rate'", "did you mean 'learning_rate'"]),
        ("--config mistyped.yaml", ["learning_rate = 'fast'", "number"]),
        ("--method grpo --learning-rate fast", ["learning_rate = 'fast'", "number"]),
        ("--method grpo --temperature -1", ["temperature must be 0 (greedy) or more, got -1"]),
        ("--method grpo --steps 0", ["budget must be above 0, got 0"]),
        ("", ["name a --method", "grpo"]),
        ("--method grop", ["unknown method 'grop'", "did you mean 'grpo'"]),
        ("--method none.py:Mine", ["there is no file none.py"]),
        ("--method mine.py:ONE", ["mine.py:ONE", "build()"]),
        ("--method broken.py:ONE", ["line 1", "nothing_of_that_name"]),
        ("--method rft --kl-coefficient 1", ["'kl_coefficient' is no setting of rft"]),
        ("--method grpo --steps 1 --budget-tokens 9", ["--steps and --budget-tokens"]),
        ("--method grpo --group-size 1", ["group_size must be at least 2, got 1"]),
        ("--method ppo_process", ["supervised step by step", "reward `steps`"]),
        ("--method grpo_iterative", ["needs a reward model to refit"]),
        ("--method grpo --reward model", ["go together"]),
        ("--method grpo --top-p 0.9", ["top_p 0.9", "set top_p 1"]),
        ("--method ppo --top-k 5", ["top_k 5", "top_k 0"]),
        ("--method grpo --temperature 0", ["temperature 0", "above 0"]),
        ("--method sft", ["sft samples no tokens", "give --steps"]),
        ("--method grpo --task arithmetik", ["no task 'arithmetik'", "'arithmetic'"]),
        ("--method grpo --task none.jsonl", ["cannot read none.jsonl", "No such file"]),
        ("--method grpo --task empty.jsonl", ["empty.jsonl is empty"]),
        ("--method grpo --task no_answer.jsonl", ["no_answer.jsonl, line 1", "'answer'"]),
        ("--method grpo --task gsm8k --data nothing", ["data 'nothing' holds neither"]),
        ("--method grpo --task mine.py:ONE", ["task 'mine.py:ONE'", "problems"]),
        ("--method grpo --train-problems 99999", ["99999 problems", "has 20000"]),
        ("--method grpo --model ./none", ["model folder './none' does not exist"]),
        ("--method grpo --model ./no_config", ["no config.json"]),
        ("--method grpo --model ./none.gguf", ["none.gguf", "does not exist"]),
        ("--method grpo --prompt-format chat", ["no chat template", "use plain"]),
        ("--method grpo --reward none.py:reward", ["there is no file none.py"]),
        ("--method grpo --reward mine.py:ONE", ["mine.py:ONE", "must be a function"]),
        ("--method grpo --reward rul", ["no reward 'rul'", "'rule'"]),
        ("--method grpo --evaluation-problems 4000", ["4000 problems", "has 512"]),
        ("--method rft --budget-axis device_seconds", ["set pool_problems"]),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    bakeoff: Bakeoff,
    things: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    told: list[str],
) -> None:
    monkeypatch.chdir(things)
    before = sorted(things.rglob("*"))
    ended = bakeoff("train", "--out", "run", *TINY, *arguments.split())
    assert_refused(ended, *told)
    assert not (things / "run").exists()
    assert [path for path in sorted(things.rglob("*")) if "__pycache__" not in str(path)] == before


def test_a_model_without_a_tokenizer_is_one_line_and_leaves_nothing(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    ended = bakeoff("train", "--method", "grpo", *TINY, "--model", "./model", "--out", "run")
    assert_refused(ended, "model './model' has no usable tokenizer", "save_pretrained")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_not_written_into(bakeoff: Bakeoff, things: Path) -> None:
    ended = bakeoff("train", "--method", "grpo", *TINY, "--out", things / "junk")
    assert_refused(ended, "is not empty and holds no run")
    assert [path.name for path in (things / "junk").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("sft --out run --model config:builtin", "give --steps"),
        ("evaluate --out run --seeds 1,x", "--seeds must be whole numbers"),
        ("evaluate", "give --out"),
        ("evaluate --out run --ks 1", "--ks is of --responses"),
        ("evaluate --responses none.jsonl", "cannot read none.jsonl"),
        ("evaluate --responses none.jsonl --ks 1,x", "--ks must be whole numbers"),
        ("evaluate --responses none.jsonl --final-samples 4", "--final-samples does nothing"),
        ("evaluate --responses none.jsonl --seeds 0,1", "--seeds does nothing"),
        ("evaluate --responses none.jsonl --seed x", "seed = 'x'"),
        ("evaluate --out run --task arithmetik", "no task 'arithmetik'"),
        ("evaluate --out run --model ./none", "model folder './none' does not exist"),
        ("compare none.yaml", "none.yaml does not exist"),
        ("compare --methods grpo,grop", "unknown method 'grop'"),
        ("compare --methods grpo --learning-rate fast", "learning_rate = 'fast'"),
        (
            "compare --methods rft --kl-coefficient 1",
            "'kl_coefficient' is a setting of none of rft",
        ),
        ("doctor none.yaml", "none.yaml does not exist"),
        ("doctor --methods grop", "unknown method 'grop'"),
        ("doctor --methods grpo --model ./none", "model folder './none' does not exist"),
        ("doctor --methods grpo --top-p 0.5", "top_p 0.5"),
    ],
)
def test_every_command_refuses_in_one_line_and_writes_nothing(
    bakeoff: Bakeoff, tmp_path: Path, arguments: str, told: str
) -> None:
    assert_refused(bakeoff(*arguments.split()), told)
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_no_study_is_an_error_of_the_run(bakeoff: Bakeoff, tmp_path: Path) -> None:
    ended = bakeoff("report", "none")
    assert ended.code == 1  # nothing is wrong with the settings
    assert ended.err.startswith("bakeoff: none/study.json does not exist")
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", ["train --learing-rate 1", "trian", "compare --seeds 0"])
def test_a_flag_or_command_that_does_not_exist_ends_with_code_2(
    bakeoff: Bakeoff, tmp_path: Path, arguments: str
) -> None:
    ended = bakeoff(*arguments.split())
    assert ended.code == 2
    assert ended.err.startswith("bakeoff: ")
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["", *sorted(cli.commands)])
def test_every_command_has_help(bakeoff: Bakeoff, command: str) -> None:
    ended = bakeoff(*command.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: bakeoff {command}".rstrip())
    assert len(ended.out.splitlines()) > 5


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("rft", ()),
        ("online_rft", ()),
        ("dpo", ()),
        ("ppo", ()),
        ("ppo_process", ("--reward", "steps")),
        ("grpo", ()),
        ("grpo_process", ("--reward", "steps")),
        ("grpo_iterative", ("--refit-reward-model", "false")),
        ("reinforce++", ()),
    ],
)
def test_a_preset_trains_a_step(
    bakeoff: Bakeoff, tmp_path: Path, method: str, more: tuple[str, ...]
) -> None:
    ended = bakeoff("train", "--method", method, *more, *TINY, "--steps", 1, "--out", "run")
    assert ended.code == 0, ended.err
    run = RunDirectory(tmp_path / "run")
    assert run.state == "finished"
    (row,) = read_lines(run.metrics)
    assert (row["batch"], row["optimizer_steps"]) == (1, 1)
    splits = {(row["batch"], row["final"], row["split"]) for row in read_lines(run.evaluations)}
    assert splits == {(0, False, "test"), (1, True, "test")}
    assert (run.policy / "model.safetensors").is_file()
    assert read_json(run.config)["method"] == method
    assert "batch 1  100%" in ended.out


def test_demonstrations_train_a_step(bakeoff: Bakeoff, tmp_path: Path) -> None:
    ended = bakeoff("sft", *TINY, "--steps", 2, "--out", "run", "--quiet")
    assert (ended.code, ended.out) == (0, "")
    run = RunDirectory(tmp_path / "run")
    assert [row["optimizer_steps"] for row in read_lines(run.metrics)] == [1, 2]
    assert read_json(run.ledger)["sampled_tokens"] == 0


def test_a_method_without_ratios_may_cut_the_distribution(bakeoff: Bakeoff, tmp_path: Path) -> None:
    arguments = ("--method", "online_rft", *TINY, "--steps", 1, "--top-p", 0.9)
    assert bakeoff("train", *arguments, "--out", "run").code == 0
    assert read_json(tmp_path / "run" / "config.json")["sampling"]["top_p"] == 0.9


def test_a_run_is_left_as_it_is_by_the_same_command_and_by_others(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    arguments = ("train", "--method", "online_rft", *TINY, "--steps", 1, "--out", "run")
    assert bakeoff(*arguments).code == 0
    run = RunDirectory(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}

    assert bakeoff(*arguments).code == 0
    assert_refused(
        bakeoff(*arguments, "--seed", 1), "holds another run", read_json(run.config)["hash"]
    )
    # Its own config.json names the same run, so that a run can be continued from its folder.
    assert bakeoff("train", "--config", run.config, "--out", "run").code == 0
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_an_evaluation_of_a_trained_policy_is_written_once(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    arguments = ("--seeds", "0,1", *TINY, "--evaluation-problems", 3, "--out", "evaluation")
    assert bakeoff("evaluate", *arguments).code == 0
    rows = list(read_lines(tmp_path / "evaluation" / "evaluations.jsonl"))
    assert [(row["seed"], row["split"]) for row in rows] == [(0, "test")] * 3 + [(1, "test")] * 3
    assert all(len(row["correct"]) == 2 for row in rows)
    before = (tmp_path / "evaluation" / "evaluations.jsonl").stat().st_mtime_ns
    assert bakeoff("evaluate", *arguments).code == 0
    assert_refused(bakeoff("evaluate", *arguments, "--final-samples", 3), "another evaluation")
    assert (tmp_path / "evaluation" / "evaluations.jsonl").stat().st_mtime_ns == before


RESPONSES = """\
{"question": "1 +1", "answer": "2", "responses": ["#2", "#3", "#3"], "scores": [0.9, 0.2, 0.1]}
{"question": "2 +1", "answer": "3", "responses": ["#3", "3", "#3"], "scores": [0.1, 0.8, 0.7]}
"""


def test_a_file_of_responses_is_judged_printed_and_written(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    (tmp_path / "mine.jsonl").write_text(RESPONSES)
    arguments = ("--responses", "mine.jsonl", "--task", "arithmetic", "--ks", "1,3")
    ended = bakeoff("evaluate", *arguments, "--seed", 5, "--out", "judged")
    assert (ended.code, ended.err) == (0, "")
    written = read_json(tmp_path / "judged" / "verification.json")
    assert (written["file"], written["task"], written["seed"]) == ("mine.jsonl", "arithmetic", 5)
    assert written["accuracy"]["mean"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert written["format_rate"]["mean"] == pytest.approx((1 + 2 / 3) / 2)
    ways = {way: point["mean"] for way, point in written["ks"][-1]["ways"].items()}
    assert ways == {"pass": 1.0, "maj": 0.5, "best:score": 0.5, "weighted:score": 1.0}
    assert "best of K, score" in ended.out
    assert "2 problems, 6 responses, of which 0 without a verdict" in ended.out
    page = (tmp_path / "judged" / "verification.md").read_bytes()

    assert bakeoff("evaluate", *arguments, "--seed", 5, "--out", "judged").out == ended.out
    assert (tmp_path / "judged" / "verification.md").read_bytes() == page


def test_a_file_of_responses_is_only_printed_without_a_folder(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    (tmp_path / "mine.jsonl").write_text(RESPONSES)
    ended = bakeoff("evaluate", "--responses", "mine.jsonl", "--task", "arithmetic")
    assert (ended.code, ended.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]
    assert_refused(
        bakeoff("evaluate", "--responses", "mine.jsonl", "--out", "mine.jsonl"), "is a file"
    )
    assert_refused(
        bakeoff("evaluate", "--responses", "mine.jsonl", "--task", "arithmetic", "--ks", 4),
        "K = 4 is above the 3 judged responses",
    )


METHOD = """
from dataclasses import dataclass
from typing import Annotated

from bakeoff.batch import Credit, TokenLosses
from bakeoff.interfaces import Plan, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Reinforce:
    group_size: Annotated[int, "completions a problem"] = 2
    baseline: float = 0.0

    def build(self):
        return Method(self)


class Method:
    def __init__(self, config):
        self.config = config

    @property
    def plan(self):
        return Plan(
            source=Source.CURRENT_POLICY, group_size=self.config.group_size, uses_ratios=False
        )

    @property
    def conventions(self):
        return {"advantage": f"reward minus {self.config.baseline}", "loss": "", "kl": "none"}

    def assign_credit(self, batch):
        advantages = (batch.rewards - self.config.baseline)[:, None] * batch.response_mask
        return Credit(advantages=advantages, keep=batch.response_mask.any(dim=1))

    def token_losses(self, batch, credit, outputs):
        return TokenLosses(policy=-credit.advantages * outputs.logprobs)
"""


def test_a_user_s_own_method_trains(bakeoff: Bakeoff, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD)
    (tmp_path / "mine.yaml").write_text("method: mine.py:Reinforce\nbaseline: 0.5\n")
    ended = bakeoff("train", "--config", "mine.yaml", *TINY, "--steps", 1, "--out", "run")
    assert ended.code == 0, ended.err
    run = RunDirectory(tmp_path / "run")
    config = read_json(run.config)
    assert config["method"] == "mine.py:Reinforce"
    assert config["method_settings"] == {"group_size": 2, "baseline": 0.5}
    assert config["conventions"]["advantage"] == "reward minus 0.5"
    (row,) = read_lines(run.metrics)
    assert row["grad_norm"] > 0  # rewards of 0 are 0.5 below the baseline
    assert read_json(run.ledger)["rollouts"] == 2 * 2


def test_a_user_s_own_reward_in_trl_s_form_is_what_is_trained_on(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "def by_place(prompts, completions, answer, **columns):\n"
        "    assert len(prompts) == len(completions) == len(answer) == len(columns['id'])\n"
        "    return [float(index % 2) * 3 for index in range(len(completions))]\n"
    )
    arguments = ("--method", "grpo", "--reward", "mine.py:by_place", "--group-size", 4)
    ended = bakeoff("train", *arguments, *TINY, "--steps", 1, "--out", "run")
    assert ended.code == 0, ended.err
    (row,) = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert row["reward"] == pytest.approx(1.5)  # half of each group has 3, half 0
    assert row["pass_rate"] == 0.0  # the verifier's word, not the reward's
    assert row["grad_norm"] > 0


def test_a_user_s_own_reward_that_returns_nonsense_stops_the_run(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def one(**columns):\n    return [1.0]\n")
    arguments = ("--method", "grpo", "--reward", "mine.py:one", *TINY, "--steps", 1)
    assert_refused(bakeoff("train", *arguments, "--out", "run"), "returned 1 values for 16")
    status = read_json(tmp_path / "run" / "status.json")
    assert status["state"] == "failed"
    assert "returned 1 values for 16" in status["message"]


TASK = """
from bakeoff.interfaces import Verdict
from bakeoff.types import Problem, Split


class Digits:
    name = "digits"
    instruction = "{question}="

    def problems(self, split, *, count=None):
        if split is Split.OOD:
            return []
        made = [Problem(id=f"digits/{split.value}/{n}", question=f"{n}+0", answer=str(n))
                for n in range(10)]
        return made[:count]

    def demonstrations(self, *, seed):
        while True:
            for problem in self.problems(Split.TRAIN):
                yield problem, problem.answer

    def gold_demonstrations(self, *, seed):
        return self.demonstrations(seed=seed)

    def gold_response(self, problem):
        return problem.answer

    def step_checker(self):
        return None

    def verifier(self):
        return self

    def verify(self, problems, responses):
        return [Verdict(correct=p.answer == r) for p, r in zip(problems, responses, strict=True)]

    def close(self):
        open("closed", "w").close()
"""


def test_a_user_s_own_task_is_trained_and_evaluated_on(bakeoff: Bakeoff, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TASK)
    arguments = ("--method", "online_rft", "--task", "mine.py:Digits", *TINY, "--steps", 1)
    ended = bakeoff("train", *arguments, "--out", "run")
    assert ended.code == 0, ended.err
    run = RunDirectory(tmp_path / "run")
    problems = {row["problem"] for row in read_lines(run.evaluations)}
    assert problems == {f"digits/test/{number}" for number in range(4)}
    transcripts = list(read_lines(run.transcripts))
    assert all(row["question"].endswith("+0") for row in transcripts)
    assert (tmp_path / "closed").exists()


def test_the_installed_command_ends_like_main(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bakeoff", "train", "--out", "run", "--config", "none.yaml"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "bakeoff: none.yaml does not exist\n"
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_recorded_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    from bakeoff.cli import command_line

    monkeypatch.setattr(sys, "argv", ["/usr/bin/bakeoff", "compare", "--seeds", "3"])
    assert command_line() == "bakeoff compare --seeds 3"


@pytest.mark.slow
def test_an_ablation_ends_with_what_opens_its_dashboards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: tiny\n"
        "title: Two sizes\n"
        "question: Does the command run?\n"
        "seeds: [1000, 1001]\n"
        "factors: {group_size: {levels: [2, 4]}}\n"
        "settings: {evaluation_problems: 4, final_samples: 2, max_response_tokens: 8, "
        "problems_per_step: 2}\n"
    )
    out = tmp_path / "out"
    arguments = ["ablate", str(study), "--budget-axis", "optimizer_steps", "--budget", "1"]
    monkeypatch.setattr(sys, "argv", ["bakeoff", *arguments, "--out", str(out), "--no-tracking"])
    main()
    printed = capsys.readouterr().out
    assert "2 of 2 trials complete" in printed
    assert f"optuna-dashboard sqlite:///{out / 'optuna.db'}" in printed
    assert "mlflow ui" not in printed
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    assert "Two sizes" in page and "Does the command run?" in page
