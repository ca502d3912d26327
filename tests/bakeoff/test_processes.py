import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bakeoff.errors import ConfigError
from bakeoff.processes import FAILURES, failures_told, is_rank

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


def test_a_process_without_a_launcher_is_no_rank_and_tells_nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv(FAILURES, raising=False)
    assert not is_rank()
    with pytest.raises(ConfigError, match="one line"), failures_told():
        raise ConfigError("one line")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_rank()
