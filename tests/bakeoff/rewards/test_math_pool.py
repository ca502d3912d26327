import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.rewards import math_pool, math_process
from bakeoff.rewards.math_pool import MathPool
from bakeoff.rewards.math_process import Comparison, Pair

pytest.importorskip("math_verify")

SLOW = Pair(gold="x^2+1", answer="(((((((9^9)^9)^9)^9)^9)^9)^9)^9")
RIGHT = Pair(gold="x+y", answer="y+x")
WRONG = Pair(gold="x+y", answer="y-x")


@pytest.fixture(scope="module")
def pool() -> Iterator[MathPool]:
    pool = MathPool(workers=1, seconds=30)
    yield pool
    pool.close()


def compare(pool: MathPool, gold: str, answer: str) -> Comparison:
    (comparison,) = pool.compare([Pair(gold=gold, answer=answer)])
    return comparison


def verdicts(pool: MathPool, *pairs: Pair) -> list[bool | None]:
    return [comparison.correct for comparison in pool.compare(pairs)]


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
def test_algebra_tells_equal_answers(pool: MathPool, gold: str, answer: str) -> None:
    assert compare(pool, gold, answer).correct is True


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
def test_algebra_tells_different_answers(pool: MathPool, gold: str, answer: str) -> None:
    comparison = compare(pool, gold, answer)
    assert comparison.correct is False
    assert comparison.reason


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(2, 9), st.booleans()), max_size=80), st.integers(1, 3))
def test_answers_come_back_in_the_order_of_the_pairs(
    pool: MathPool, cases: list[tuple[int, bool]], workers: int
) -> None:
    pool.workers = workers
    pairs = [
        Pair(gold=f"x+{number}", answer=f"{number}{'+' if equal else '-'}x")
        for number, equal in cases
    ]
    assert verdicts(pool, *pairs) == [equal for _, equal in cases]
    assert len(pool.pids) <= 3


def test_no_more_children_start_than_there_is_work_for() -> None:
    pool = MathPool(workers=5, seconds=30)
    assert pool.compare([]) == [] and pool.pids == []
    assert verdicts(pool, RIGHT, WRONG) == [True, False]
    assert len(pool.pids) == 2
    pool.close()


def test_a_hang_costs_its_own_answer_and_none_that_waits_behind_it() -> None:
    pool = MathPool(workers=1, seconds=1)
    try:
        assert verdicts(pool, RIGHT) == [True]
        (pid,) = pool.pids
        start = time.monotonic()
        comparisons = pool.compare([RIGHT, WRONG, SLOW, RIGHT, WRONG, SLOW, RIGHT])
        assert time.monotonic() - start < 20
        assert [one.correct for one in comparisons] == [True, False, None, True, False, None, True]
        assert "took over 1 s" in comparisons[2].reason
        assert not is_running(pid)
        assert verdicts(pool, RIGHT, WRONG) == [True, False]
        assert len(pool.pids) == 1
    finally:
        pool.close()


def test_a_hang_ends_one_child_and_leaves_the_other_alone() -> None:
    pool = MathPool(workers=2, seconds=2)
    try:
        assert verdicts(pool, *[RIGHT] * 2) == [True] * 2
        before = pool.pids
        assert verdicts(pool, SLOW, *[RIGHT, WRONG] * 20) == [None, *[True, False] * 20]
        assert len(pool.pids) == 2
        assert len(set(pool.pids) & set(before)) == 1
    finally:
        pool.close()


def test_when_every_child_hangs_none_is_lost() -> None:
    pool = MathPool(workers=2, seconds=0.5)
    try:
        assert verdicts(pool, *[SLOW] * 4, RIGHT) == [None] * 4 + [True]
        assert verdicts(pool, *[RIGHT] * 40) == [True] * 40
        assert len(pool.pids) == 2
    finally:
        pool.close()


def test_a_crash_gives_no_verdict_and_the_next_one_is_right() -> None:
    pool = MathPool(workers=1, seconds=30)
    try:
        assert verdicts(pool, RIGHT) == [True]
        # It dies inside the comparison: the signal comes while the slow one is computed.
        killer = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {pool.pids[0]}"])
        slow, right = pool.compare([SLOW, RIGHT])
        killer.wait()
        assert (slow.correct, slow.reason) == (None, "math-verify crashed")
        assert right.correct is True
    finally:
        pool.close()


def test_a_process_that_died_between_two_comparisons_costs_none_of_them() -> None:
    pool = MathPool(workers=1, seconds=30)
    try:
        assert verdicts(pool, RIGHT) == [True]
        os.kill(pool.pids[0], signal.SIGKILL)
        time.sleep(0.2)
        assert verdicts(pool, RIGHT) == [True]
    finally:
        pool.close()


def test_answers_as_long_as_several_pipes_do_not_block() -> None:
    pool = MathPool(workers=1, seconds=60)
    try:
        long = Pair(gold="\\text{" + "\U0001f600" * 30_000 + "}", answer="x")
        astral = Pair(gold="x", answer="\U0001f600" * 500)
        found = verdicts(pool, *[astral] * 40, long, RIGHT, *[astral] * 40)
        assert found[:40] == found[42:] == [False] * 40
        assert found[41] is True
    finally:
        pool.close()


def test_an_interrupt_leaves_no_answer_behind_for_the_next_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = MathPool(workers=1, seconds=30)
    try:
        assert verdicts(pool, RIGHT) == [True]
        real = math_pool._readable

        def interrupted(*arguments: object, **settings: object) -> set[object]:
            raise KeyboardInterrupt

        monkeypatch.setattr(math_pool, "_readable", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pool.compare([RIGHT, RIGHT])
        monkeypatch.setattr(math_pool, "_readable", real)
        assert verdicts(pool, WRONG, RIGHT) == [False, True]
    finally:
        pool.close()


def test_a_child_that_has_answered_much_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_pool, "PAIRS_A_CHILD", 4)
    monkeypatch.setattr(math_pool, "WINDOW_PAIRS", 2)
    pool = MathPool(workers=1, seconds=30)
    try:
        assert verdicts(pool, RIGHT, WRONG, RIGHT) == [True, False, True]
        (first,) = pool.pids
        assert verdicts(pool, WRONG) == [False]
        assert pool.pids == [first]
        assert verdicts(pool, *[RIGHT, WRONG] * 3) == [True, False] * 3
        assert first not in pool.pids and len(pool.pids) == 1
        assert not is_running(first)
    finally:
        pool.close()


def test_closing_leaves_no_process() -> None:
    pool = MathPool(workers=2, seconds=30)
    pool.compare([RIGHT, WRONG])
    pids = pool.pids
    assert len(pids) == 2 and all(is_running(pid) for pid in pids)
    pool.close()
    assert not any(is_running(pid) for pid in pids)
    assert pool.pids == []
    pool.close()


def test_children_that_cannot_start_are_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_process, "_CHILD", "/no/such/child.py")
    pool = MathPool(workers=2, seconds=1)
    with pytest.raises(ConfigError, match="did not start"):
        pool.compare([RIGHT] * 3)
    assert pool.pids == []


def test_a_child_that_starts_for_too_long_is_a_config_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(math_process, "STARTUP_SECONDS", 0.0)
    with pytest.raises(ConfigError, match="did not start within"):
        MathPool(workers=1, seconds=1).compare([RIGHT])
