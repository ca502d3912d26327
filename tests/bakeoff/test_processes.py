import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from bakeoff import processes
from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.models.loading import load_policy
from bakeoff.processes import FAILURES, failures_told, is_rank
from bakeoff.records import RunDirectory, read_json, read_lines
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.model import new_reward_model, save_reward_model
from bakeoff.tasks.arithmetic_task import ArithmeticTask

ROOT = Path(__file__).parents[2]
PARENT = """
import sys
from bakeoff.processes import run_ranks
sys.exit(run_ranks(["-c", sys.argv[1], *sys.argv[2:]], processes=3))
"""
# Says where it runs, and then sleeps for as long as anybody lets it, a child of its own beside it.
LASTING = """
import os, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
file = Path(sys.argv[1], os.environ["RANK"])
file.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
file.with_suffix(".new").rename(file)
time.sleep(120)
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    process = started(code, *arguments)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, output, errors)


def lasting(folder: Path) -> tuple[subprocess.Popen[str], list[list[int]]]:
    """Three ranks that run, and the processes of each, its own first."""
    parent = started(LASTING, folder)
    files = [folder / str(rank) for rank in range(3)]
    deadline = time.monotonic() + 30
    while not all(file.exists() for file in files) and time.monotonic() < deadline:
        time.sleep(0.02)
    return parent, [[int(pid) for pid in file.read_text().split()] for file in files]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_all_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if alive(pid)] == []


def test_ranks_know_who_they_are_and_the_first_speaks_for_all(tmp_path):
    code = """
import os, sys
from pathlib import Path
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
said = " ".join(os.environ[name] for name in names)
Path(sys.argv[1], os.environ["RANK"]).write_text(said)
print("rank", os.environ["RANK"])
"""
    result = ended(code, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "rank 0\n", "")
    told = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    assert [(rank, local, count) for rank, local, count, *_ in told] == [
        ("0", "0", "3"),
        ("1", "1", "3"),
        ("2", "2", "3"),
    ]
    assert len({(address, port) for *_, address, port in told}) == 1


def test_the_port_is_held_open_for_the_first_rank_and_reached_by_the_others():
    code = """
import os, socket
listener = os.environ["BAKEOFF_RANK_LISTENER"]
port = int(os.environ["MASTER_PORT"])
if listener:
    server = socket.socket(fileno=int(listener))
    print(sorted(server.accept()[0].recv(1) for _ in range(2)))
else:
    socket.create_connection(("127.0.0.1", port)).sendall(os.environ["RANK"].encode())
"""
    result = ended(code)
    assert (result.returncode, result.stdout) == (0, "[b'1', b'2']\n")


def test_the_error_that_is_told_is_that_of_the_first_to_fail():
    """Rank 2 fails; 0 and 1 fail because of it and end sooner, as a broken connection would."""
    code = """
import os, sys, time
from pathlib import Path
from bakeoff.processes import FAILURES, failures_told
with failures_told():
    if os.environ["RANK"] == "2":
        raise SystemExit("the first fault")
    while not Path(os.environ[FAILURES]).exists():
        time.sleep(0.01)
    raise SystemExit("a connection was lost")
"""
    result = ended(code)
    assert result.returncode == 1
    assert result.stderr == "the first fault\n"


def test_an_exit_status_is_passed_on_and_ends_the_others():
    start = time.monotonic()
    result = ended("import os, time; os._exit(2) if os.environ['RANK'] == '1' else time.sleep(60)")
    assert result.returncode == 2
    assert time.monotonic() - start < 20


def test_a_signal_that_ends_a_rank_ends_all_and_shows_outside(tmp_path):
    parent, ranks = lasting(tmp_path)
    os.kill(ranks[1][0], signal.SIGKILL)
    _, errors = parent.communicate(timeout=20)
    assert parent.returncode == -signal.SIGKILL
    assert errors == "bakeoff: rank 1 was ended by SIGKILL\n"
    assert_all_end([pid for rank in ranks for pid in rank])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_rank_outlives_its_parent(tmp_path, number):
    parent, ranks = lasting(tmp_path)
    parent.send_signal(number)
    parent.communicate(timeout=20)
    assert parent.returncode != 0
    assert_all_end([pid for rank in ranks for pid in rank])


class Ended:
    """A process that is over."""

    def __init__(self, code: int) -> None:
        self.code = code

    def poll(self) -> int:
        return self.code

    def wait(self, _: float) -> int:
        return self.code


def test_who_was_killed_comes_before_who_lost_the_connection_to_it(tmp_path):
    failures = tmp_path / "failures"
    failures.write_text("0\n")
    killed, aborted = Ended(-signal.SIGKILL), Ended(-signal.SIGABRT)
    assert processes._first_failure([Ended(1), killed], failures) == (1, -signal.SIGKILL)
    # Threads abort when a connection is lost: that is no beginning.
    assert processes._first_failure([Ended(1), aborted], failures) == (0, 1)


def test_a_rank_that_is_done_says_its_last_words_and_is_not_taken_apart():
    code = "import atexit, os; from bakeoff.processes import end_rank; atexit.register(os.abort)"
    result = ended(f"{code}; print('done', end=''); end_rank()")
    assert (result.returncode, result.stdout) == (0, "done")


def test_a_process_without_a_launcher_is_no_rank_and_tells_nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv(FAILURES, raising=False)
    assert not is_rank()
    with pytest.raises(ConfigError, match="one line"), failures_told():
        raise ConfigError("one line")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_rank()


CELL = {
    "method": "ppo",
    "train_problems": 64,
    "problems_per_step": 4,
    "group_size": 4,
    "max_response_tokens": 40,
    "learning_rate": 1e-4,
    "checkpoint_every": 1,
    "evaluations": 1,
    "evaluation_problems": 6,
    "evaluation_samples": 2,
    "final_samples": 2,
    "ood_problems": 0,
    "budget_axis": "optimizer_steps",
    "budget": 8,
}


WARM_UP = {"critic_warmup_batches": 1}


def train(out: Path, **flags: object) -> list[str]:
    words = [w for name, v in (CELL | flags).items() for w in (f"--{name.replace('_', '-')}", v)]
    return [sys.executable, "-m", "bakeoff", "train", "--quiet", "--out", *map(str, (out, *words))]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_cell_that_loses_a_rank_ends_as_one_and_goes_on_elsewhere_to_the_same_end(tmp_path):
    """Killed on two processes at stage 3, finished on the local engine, beside one never killed."""
    straight = subprocess.Popen(
        train(tmp_path / "straight", **WARM_UP), cwd=ROOT, env=environment()
    )
    killed = subprocess.Popen(
        train(tmp_path / "killed", engine="deepspeed", processes=2, zero_stage=3, **WARM_UP),
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoints = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 200
    while not list(checkpoints.glob("batch-*3")) and time.monotonic() < deadline:
        time.sleep(0.05)
    everybody = psutil.Process(killed.pid).children(recursive=True)
    ranks = [one for one in everybody if one.ppid() == killed.pid]
    assert len(ranks) == 2
    ranks[1].kill()
    _, errors = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert errors.endswith("bakeoff: rank 1 was ended by SIGKILL\n")
    assert_all_end([one.pid for one in everybody])

    subprocess.run(train(tmp_path / "killed", **WARM_UP), cwd=ROOT, env=environment(), check=True)
    assert straight.wait(timeout=300) == 0
    one, other = (RunDirectory(tmp_path / name) for name in ("straight", "killed"))
    assert (one.state, other.state) == ("finished", "finished")
    rows = [list(read_lines(run.metrics)) for run in (one, other)]
    assert [row["batch"] for row in rows[1]] == [row["batch"] for row in rows[0]]
    for name in ("reward", "response_tokens", "sampled_tokens", "trained_tokens"):
        assert [row[name] for row in rows[0]] == [row[name] for row in rows[1]], name
    for name in ("loss", "critic_loss", "kl_to_start"):
        assert [row[name] for row in rows[0]] == pytest.approx([r[name] for r in rows[1]], abs=1e-5)
    found = [
        [(r["problem"], r["answers"]) for r in read_lines(x.evaluations)] for x in (one, other)
    ]
    assert found[0] == found[1]
    policies = [load_file(run.policy / "model.safetensors") for run in (one, other)]
    for name, weight in policies[0].items():
        assert (weight - policies[1][name]).abs().max() < 1e-4, name
    assert read_json(other.ledger)["rollouts"] == read_json(one.ledger)["rollouts"] == 8 * 16


@pytest.mark.slow
def test_a_reward_model_that_two_processes_share_says_what_a_whole_one_says(tmp_path):
    config = ModelConfig()
    loaded = new_reward_model(
        load_policy(config, init_seed=0),
        kind=RewardKind.PROCESS,
        head=RewardHead.LIKELIHOOD,  # reads the output head's weights without calling it
        config=config,
        instruction=ArithmeticTask.instruction,
        init_seed=0,
    )
    folder = tmp_path / "reward-model"
    folder.mkdir()
    save_reward_model(loaded, folder, info=loaded.info)
    small = {"method": "grpo_process", "reward": "model", "reward_model": folder, "budget": 2}
    layouts = {"one": {}, "two": {"engine": "deepspeed", "processes": 2, "zero_stage": 3}}
    cells = [
        subprocess.Popen(
            train(tmp_path / name, **small | {"checkpoint_every": 0} | layout),
            cwd=ROOT,
            env=environment(),
        )
        for name, layout in layouts.items()
    ]
    assert [cell.wait(timeout=300) for cell in cells] == [0, 0]
    runs = [RunDirectory(tmp_path / name) for name in layouts]
    one, two = ([row["reward"] for row in read_lines(run.metrics)] for run in runs)
    assert one == pytest.approx(two, abs=1e-5)
    assert len(set(one)) == 2
    ledgers = [read_json(run.ledger) for run in runs]
    assert len({ledger["reward_model_tokens"] for ledger in ledgers}) == 1
    # Weights that are cut, in the phases of the second batch; the head's few stay whole.
    whole, cut = (one["peak_components"]["sample"]["reward model"] for one in ledgers)
    assert whole / 2 <= cut < 0.75 * whole


@pytest.mark.slow
def test_one_line_is_told_for_what_only_loading_can_refuse(tmp_path):
    result = subprocess.run(
        train(tmp_path / "run", engine="deepspeed", processes=2, model=str(tmp_path / "nowhere")),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr == f"bakeoff: model folder '{tmp_path / 'nowhere'}' does not exist\n"
    assert not (tmp_path / "run").exists()
