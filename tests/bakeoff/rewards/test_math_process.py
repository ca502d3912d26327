import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bakeoff.errors import ConfigError
from bakeoff.rewards import math_process
from bakeoff.rewards.math_process import MathProcess

pytest.importorskip("math_verify")

SLOW = "(((((((9^9)^9)^9)^9)^9)^9)^9)^9"  # one integer of 10 million digits and more


@pytest.fixture(scope="module")
def process() -> Iterator[MathProcess]:
    process = MathProcess(seconds=30)
    yield process
    process.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt{2}}"),
        ("x^2+2x+1", "(x+1)^2"),
        ("1,-2", "-2, 1"),
        ("(3,4]", "\\left(3, 4\\right]"),
        ("x=5", "5"),
        ("6 - 5i", "-5i+6"),
        ("\\frac{11}{2}", "5.5"),
        (
            "\\begin{pmatrix} -1/3 \\\\ 2/3 \\end{pmatrix}",
            "\\begin{pmatrix}-\\frac13\\\\\\frac23\\end{pmatrix}",
        ),
    ],
)
def test_algebra_tells_equal_answers(process: MathProcess, gold: str, answer: str) -> None:
    assert process.compare(gold, answer).correct is True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{2}"),
        ("x^2+1", "x^2-1"),
        ("(3,4]", "[3,4]"),
        ("1,-2", "1,2"),
        ("\\text{Evelyn}", "\\text{Navin}"),
        ("6-5i", "6+5i"),
        ("5", ""),
        ("5", "\\"),
        ("5", "}{"),
        ("5", "\x00\ud800\n"),
    ],
)
def test_algebra_tells_different_answers(process: MathProcess, gold: str, answer: str) -> None:
    comparison = process.compare(gold, answer)
    assert comparison.correct is False
    assert comparison.reason


def test_a_hanging_comparison_is_killed_and_the_next_one_is_right() -> None:
    process = MathProcess(seconds=1)
    try:
        assert process.compare("x^2+1", "1+x^2").correct is True
        pid = process.pid
        assert pid is not None
        start = time.monotonic()
        comparison = process.compare("x^2+1", SLOW)
        assert comparison.correct is None
        assert "took over 1 s" in comparison.reason
        assert time.monotonic() - start < 10
        assert not is_running(pid)
        assert process.compare("x^2+1", "1+x^2").correct is True
        assert process.pid not in (None, pid)
    finally:
        process.close()


def test_a_crash_gives_no_verdict_and_the_next_one_is_right() -> None:
    process = MathProcess(seconds=30)
    try:
        assert process.compare("x+y", "y+x").correct is True
        assert process.pid is not None
        # It dies inside the comparison: the signal comes while the slow one is computed.
        killer = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {process.pid}"])
        comparison = process.compare("x^2+1", SLOW)
        killer.wait()
        assert (comparison.correct, comparison.reason) == (None, "math-verify crashed")
        assert process.compare("x+y", "y+x").correct is True
    finally:
        process.close()


def test_a_process_that_died_between_two_comparisons_costs_none_of_them() -> None:
    process = MathProcess(seconds=30)
    try:
        assert process.compare("x+y", "y+x").correct is True
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.2)
        assert process.compare("x+y", "y+x").correct is True
    finally:
        process.close()


def test_closing_leaves_no_process() -> None:
    process = MathProcess(seconds=30)
    process.compare("x+y", "y+x")
    pid = process.pid
    assert pid is not None and is_running(pid)
    process.close()
    assert process.pid is None
    assert not is_running(pid)
    process.close()


def test_an_object_that_is_dropped_takes_its_process_along() -> None:
    process = MathProcess(seconds=30)
    process.compare("x+y", "y+x")
    pid = process.pid
    assert pid is not None
    del process
    assert not is_running(pid)


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_no_process_outlives_its_parent(end: str) -> None:
    code = (
        "import os, sys\n"
        "from bakeoff.rewards.math_process import MathProcess\n"
        "process = MathProcess(seconds=30)\n"
        "process.compare('x+y', 'y+x')\n"
        "print(process.pid, flush=True)\n"
        f"{end}\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pid = int(result.stdout)
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_a_process_in_the_middle_of_a_hang_ends_by_itself_when_its_parent_is_gone() -> None:
    code = (
        "import os, threading\n"
        "from bakeoff.rewards.math_process import MathProcess\n"
        "process = MathProcess(seconds=0.5)\n"
        "process.compare('x+y', 'y+x')\n"
        "print(process.pid, flush=True)\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), 9)).start()\n"
        f"process.compare('x^2+1', {SLOW!r})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pid = int(result.stdout)
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_a_child_that_cannot_start_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_process, "_CHILD", "/no/such/child.py")
    with pytest.raises(ConfigError, match="did not start"):
        MathProcess(seconds=1).compare("x", "y")
