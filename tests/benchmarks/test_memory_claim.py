import json
from pathlib import Path

from benchmarks.memory_claim import ARMS, LORA_RANK, PLACEMENTS, markdown

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "reports" / "results" / "memory_claim.json"


def record() -> dict:
    return json.loads(COMMITTED.read_text())


def test_the_table_of_the_docs_is_that_of_the_committed_record() -> None:
    assert markdown(record()) in (ROOT / "docs" / "memory.md").read_text()


def test_every_arm_is_committed() -> None:
    found = {(one["method"], one["lora_rank"]) for one in record()["rows"]}
    assert found == {(arm, rank) for arm in ARMS for rank in (0, LORA_RANK)}


def test_shares_are_of_the_first_arm() -> None:
    def arm(method: str, peak_bytes: float) -> dict:
        places = {place: {"peak_bytes": peak_bytes} for place in PLACEMENTS}
        return {"method": method, "lora_rank": 0, "placements": places}

    first, second, *_ = ARMS
    lines = markdown({"rows": [arm(first, 20e9), arm(second, 5e9)]}).splitlines()
    assert lines[0] == "| method | full, one device | full, ZeRO-2 on 8 | full, ZeRO-3 on 8 |"
    assert lines[2] == f"| {first} | 20.0 (100%) | 20.0 (100%) | 20.0 (100%) |"
    assert lines[3] == f"| {second} | 5.0 (25%) | 5.0 (25%) | 5.0 (25%) |"
