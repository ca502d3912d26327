import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from reports.verification import Verification, verification
from reports.verification_tables import (
    notes,
    summary,
    verification_tables,
    write_verification,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    id: str
    correct: Sequence[bool | None]
    answers: Sequence[str | None]
    scores: Mapping[str, Sequence[float]]


@pytest.fixture
def found(rng) -> Verification:
    """Majority 1 of 2, the verifier 2 of 2; the second problem's last response has no verdict."""
    problems = [
        Problem(id="p", correct=[True, True], answers=["1", "1"], scores={"a|b": [0.1, 0.2]}),
        Problem(
            id="q",
            correct=[False, False, True, None],
            answers=["2", "2", "3", None],
            scores={"a|b": [0.1, 0.2, 0.9, 0.1]},
        ),
    ]
    return verification(problems, ks=(1, 2, 3), rng=rng)


def test_the_tables_say_what_was_found(found):
    overall, ways, pairs = verification_tables(found)
    assert [entry.text for entry in overall.rows[0]] == ["66.7", "100.0"]
    assert ways.columns == (
        *("K", "problems", "pass@K", "maj@K"),
        *("best of K, a|b", "weighted vote, a|b"),
    )
    assert [[entry.text for entry in row] for row in ways.rows] == [
        ["1", "2", "66.7", "66.7", "66.7", "66.7"],
        # q: of xx, xr, xr the vote has 0, 1/2, 1/2, the verifier 0, 1, 1.
        ["2", "2", "83.3", "66.7", "83.3", "83.3"],
        ["3", "1", "100.0", "0.0", "100.0", "100.0"],
    ]
    assert [entry.plain for entry in pairs.rows[0]][:4] == [
        *("best of K, a|b − maj@K", "3", "1", "+100.0 (+100.0 to +100.0)"),
    ]
    rows = list(csv.DictReader(io.StringIO(ways.csv())))
    assert len(rows) == 3 * 4
    assert (rows[-1]["k"], rows[-1]["way"], rows[-1]["mean"]) == ("3", "weighted:a|b", "1.0")


def test_the_files_hold_the_same_numbers(found, tmp_path):
    write_verification(found, tmp_path / "new" / "folder", provenance={"task": "gsm8k", "seed": 0})
    written = json.loads((tmp_path / "new" / "folder" / "verification.json").read_text())
    assert written == {"task": "gsm8k", "seed": 0} | summary(found)
    assert (written["problems"], written["responses"], written["unjudged"]) == (2, 6, 1)
    assert [point["problems"] for point in written["ks"]] == [2, 2, 1]
    assert written["ks"][1]["ways"]["maj"]["mean"] == pytest.approx((1 + 1 / 3) / 2)
    assert written["pairs"][0]["difference"] == 1.0
    assert written["pairs"][0]["verdict"] == "inconclusive"  # one problem proves nothing
    page = (tmp_path / "new" / "folder" / "verification.md").read_text(encoding="utf-8")
    assert '- task: "gsm8k"' in page
    assert "| 3 | 1 | 100.0 (100.0–100.0) | 0.0 (0.0–0.0) |" in page
    assert "best of K, a\\|b" in page


def test_the_notes_say_what_was_left_out_and_what_is_not_exact(found, rng):
    text = " ".join(notes(found))
    assert "2 problems, 6 responses, of which 1 without a verdict" in text
    assert "at most 256 subsets" in text
    assert "below 0" not in text
    logits = Problem(id="p", correct=[True], answers=["1"], scores={"orm": [-0.5]})
    assert "Scores of orm go below 0" in " ".join(notes(verification([logits], rng=rng)))


def test_without_scores_there_is_no_table_of_pairs(rng):
    plain = Problem(id="p", correct=[True], answers=["1"], scores={})
    found = verification([plain], rng=rng)
    assert len(verification_tables(found)) == 2
    assert "weighted" not in " ".join(notes(found))
