import io
import json

import pytest

from bakeoff.config import SolutionScore
from bakeoff.errors import ConfigError
from bakeoff.reward_models.scored_files import CHUNK_LINES, write_scored
from bakeoff.reward_models.scoring import RewardModelScorer

ROW = {"id": "a", "question": "2 +3", "answer": "5", "responses": ["2+3=5\n#5", "#6", ""]}


@pytest.fixture
def scorer(build):
    return RewardModelScorer(build())


@pytest.fixture
def write(scorer, tmp_path):
    def run(*rows, name=None, how=SolutionScore.MIN, progress=lambda lines, responses: None):
        source = tmp_path / "responses.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        target = io.StringIO()
        write_scored(scorer, source, target, name=name, how=how, progress=progress)
        return [json.loads(line) for line in target.getvalue().splitlines()]

    return run


def test_each_response_gets_the_score_of_its_steps(write, scorer):
    one, two, _ = scorer.score(["2 +3"] * 3, ROW["responses"], finished=[True] * 3)
    [line] = write(ROW)
    assert {name: value for name, value in line.items() if name != "scores"} == ROW
    expected = [min(one.step_scores), two.step_scores[0], 0.0]
    assert line["scores"] == pytest.approx(expected, abs=1e-6)
    [line] = write(ROW, how=SolutionScore.LAST)
    assert line["scores"][0] == pytest.approx(one.step_scores[-1], abs=1e-6)


def test_a_response_that_was_cut_is_read_without_an_end(write, scorer):
    [line] = write({"question": "2 +3", "response": "2+3=5", "finish": "length"})
    [cut] = scorer.score(["2 +3"], ["2+3=5"], finished=[False])
    [ended] = scorer.score(["2 +3"], ["2+3=5"], finished=[True])
    assert line["scores"] == pytest.approx(cut.step_scores, abs=1e-6)
    assert line["scores"] != pytest.approx(ended.step_scores, abs=1e-4)


def test_named_scores_join_those_of_other_models(write):
    [line] = write(ROW | {"scores": {"orm": [1, 2, 3]}}, name="prm")
    assert line["scores"]["orm"] == [1, 2, 3]
    assert len(line["scores"]["prm"]) == 3
    [again] = write(line, name="prm")
    assert again == line
    [unnamed] = write(ROW | {"scores": [1, 2, 3]})
    assert unnamed["scores"] == line["scores"]["prm"]


def test_a_name_beside_a_list_without_one_is_refused(write):
    with pytest.raises(ConfigError, match=r"line 1: 'scores' is a list without a name"):
        write(ROW | {"scores": [1, 2, 3]}, name="prm")


def test_lines_beyond_a_chunk_keep_their_order_and_are_counted(write):
    rows = [ROW | {"id": str(i), "responses": [f"#{i}"]} for i in range(CHUNK_LINES + 3)]
    told = []
    lines = write(*rows, progress=lambda *counts: told.append(counts))
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    assert told == [(CHUNK_LINES, CHUNK_LINES), (CHUNK_LINES + 3, CHUNK_LINES + 3)]
    [alone] = write(rows[-1])
    assert lines[-1]["scores"] == pytest.approx(alone["scores"], abs=1e-6)


def test_a_line_without_responses_is_named(write):
    with pytest.raises(ConfigError, match="line 2: 'responses' must be a list of texts"):
        write(ROW, {"question": "2 +3"})
