import json
import random
from pathlib import Path

import pytest

from bakeoff.rewards.answers import same_answer
from bakeoff.rewards.math_pool import MathPool
from bakeoff.rewards.math_process import Pair
from benchmarks.grading import draw_formula, draw_word_problem, measure, write_responses

pytest.importorskip("math_verify")


def test_strings_and_numbers_settle_every_word_problem() -> None:
    random_state = random.Random(0)
    for _ in range(500):
        drawn = draw_word_problem(random_state)
        assert same_answer(drawn.gold, drawn.equal) is True
        assert same_answer(drawn.gold, drawn.different) is False


def test_every_formula_needs_math_verify_which_finds_what_was_drawn() -> None:
    random_state = random.Random(0)
    drawn = [draw_formula(random_state) for _ in range(60)]
    assert all(same_answer(one.gold, one.equal) is None for one in drawn)
    assert all(same_answer(one.gold, one.different) is None for one in drawn)
    pool = MathPool(workers=1, seconds=60)
    equal = pool.compare([Pair(gold=one.gold, answer=one.equal) for one in drawn])
    different = pool.compare([Pair(gold=one.gold, answer=one.different) for one in drawn])
    pool.close()
    assert [one.correct for one in equal] == [True] * 60
    assert [one.correct for one in different] == [False] * 60


def test_a_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        write_responses(file, "gsm8k", responses=80, seed=seed)
    first, again, other = (file.read_text() for file in files)
    assert first == again != other
    rows = [json.loads(line) for line in first.splitlines()]
    assert sum(len(row["response"]) for row in rows) == 80


def test_a_measurement_judges_as_the_responses_were_drawn() -> None:
    found = measure("gsm8k", responses=2400, repeats=2, workers=1)
    assert (found.responses, len(found.runs), found.errors) == (2400, 2, 0)
    assert 0 < found.low <= found.median <= found.high
    # 60 % of 4800 are drawn correct; three standard errors.
    assert found.accuracy == pytest.approx(0.6, abs=3 * (0.6 * 0.4 / 4800) ** 0.5)
