import json

import pytest

from bakeoff.errors import BakeoffError
from bakeoff.records import append_lines, write_json
from reports.claims.paper import CLAIMS
from reports.claims.write import write_claims

# rft is worse than online_rft, which is worse than grpo, all from the same start.
ARMS = ("rft", "online_rft", "grpo", "random_reward")


@pytest.fixture
def folder(make_study):
    """A study of four arms, two seeds short of one of them, with samples, labels and identities."""
    path = make_study(methods=ARMS, unfinished=[("random_reward", 0)], problems=40, interim=8)
    for name in ("samples", "annotation", "reward_models/prm"):
        (path / name).mkdir(parents=True)
    for policy, hits in (("start", 5), ("grpo-s0", 10), ("grpo-s1", 10), ("grpo-s2", 11)):
        append_lines(path / f"samples/{policy}-ood.jsonl", sample_lines(hits))
    bad, good = {"completions": 8, "right": 1}, {"completions": 8, "right": 6}
    last = {"completions": None, "right": None}
    append_lines(
        path / "annotation/annotations.jsonl",
        [{"steps": [good, bad, last], "truth": [1, 0, 1]}] * 30,
    )
    write_json(
        path / "reward_models/prm/training.json",
        {
            "head": "likelihood",
            "result": {"solutions": 360},
            "wall_seconds": 12.4,
            "held_out": {"step_auc": 0.875, "solution_auc": None, "steps": 40},
        },
    )
    (path / "reward_models/orm").mkdir()
    write_json(
        path / "reward_models/orm/training.json",
        {"head": "scalar", "result": {"solutions": 9}, "held_out": None},
    )
    identity = {"statement": "k3 is not negative", "source": "eq. 4", "largest_error": 1e-8}
    write_json(path / "identities.json", {"identities": [identity | {"holds": True}]})
    return path


def sample_lines(hits):
    correct = [True] * hits + [False] * (16 - hits)
    return [
        {
            "id": f"arithmetic/ood/{index}",
            "correct": correct,
            "extracted": ["42" if right else "7" for right in correct],
        }
        for index in range(20)
    ]


def read_strictly(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_every_claim_is_on_the_page_and_in_the_record(folder):
    page = write_claims(folder)
    assert page == folder / "claims.md"
    text, record = page.read_text(), read_strictly(folder / "claims.json")
    numbers = [claim.number for claim in CLAIMS]
    assert [one["number"] for one in record["claims"]] == numbers
    for claim, found in zip(CLAIMS, record["claims"], strict=True):
        assert f"## {claim.number}. {claim.title}: {found['verdict']}" in text
        assert found["reason"] in text
        assert found.keys() >= {
            "title", "statement", "source", "figure", "test", "verdict", "reason", "values",
            "policies", "seeds", "notes",
        }  # fmt: skip
        for value in found["values"]:
            assert value.keys() >= {"name", "value", "low", "high", "unit", "p_value", "decides"}
    counts = record["counts"]
    assert sum(counts.values()) == len(CLAIMS)
    assert text.index(
        f"**{counts['reproduced']} reproduced, {counts['not reproduced']} not reproduced, "
        f"{counts['inconclusive']} inconclusive.**"
    ) < text.index("| # | claim | paper | here | verdict |")
    assert {"study", "task", "budget", "seeds", "machine", "git_revision", "command"} <= set(record)


def test_verdicts_follow_from_the_records(folder):
    write_claims(folder)
    record = read_strictly(folder / "claims.json")
    found = {one["number"]: one for one in record["claims"]}
    # 5 of 16 right is a lost vote, 10 a won one; one of 16 is there before and after.
    assert found[6]["verdict"] == "reproduced"
    assert (found[6]["policies"], found[6]["seeds"]) == (["grpo", "start"], [0, 1, 2])
    assert found[6]["values"][0]["value"] == pytest.approx(100.0)
    assert found[11]["verdict"] == "reproduced"
    assert found[23]["verdict"] == "reproduced"
    assert found[4]["reason"] == "arm grpo_process is not in the study"
    assert found[9]["reason"] == "the samples of start on ood have no scores for best:prm"
    assert found[3]["seeds"] == [0, 1, 2]
    assert found[22]["seeds"] == [1, 2]
    deciding = [value for value in found[1]["values"] if value["decides"]]
    assert [value["name"] for value in deciding] == [
        "online_rft − rft, last third",
        "last third − first third",
    ]


def test_the_page_says_where_it_comes_from(folder):
    text = write_claims(folder).read_text()
    assert "machine: 2 cores, Linux" in text
    assert "git revision: c477b68d0f" in text
    assert "command: `bakeoff compare --methods ppo,rft,online_rft,grpo --seeds 3`" in text
    assert "budget of a cell: 200k sampled tokens; seeds 0, 1, 2" in text
    assert "11 finished cells" in text
    assert "- prm: head likelihood, 360 solutions, 12 s; step_auc 0.875, steps 40\n" in text
    assert "- orm: head scalar, 9 solutions; nothing was held out\n" in text
    assert "random_reward, seed 0: failed, killed: out of memory" in text
    for arm in (*ARMS, "start"):
        assert f"| {arm} | " in text


def test_the_same_records_give_the_same_bytes(folder):
    files = ("claims.md", "claims.json")
    first = [(write_claims(folder, seed=4).parent / name).read_bytes() for name in files]
    second = [(write_claims(folder, seed=4).parent / name).read_bytes() for name in files]
    assert first == second
    assert [(write_claims(folder, seed=5).parent / name).read_bytes() for name in files] != first


def test_one_seed_and_nothing_beside_it_decide_nothing(make_study):
    path = make_study(methods=ARMS, seeds=(0,), problems=40, interim=8)
    write_claims(path)
    record = read_strictly(path / "claims.json")
    assert {one["verdict"] for one in record["claims"]} == {"inconclusive"}
    reasons = {one["number"]: one["reason"] for one in record["claims"]}
    assert all(reasons[number].startswith("one seed: ") for number in (1, 2, 3, 13, 22))


def test_a_failed_gate_is_said_first(make_study):
    gate = {
        "passed": False,
        "failed": [{"check": "accumulation", "reason": "gradients differ"}],
        "forced": True,
    }
    text = write_claims(make_study(methods=ARMS, gate=gate)).read_text()
    assert text.index("NOT COMPARABLE: accumulation: gradients differ") < text.index("| # |")


def test_a_study_without_a_finished_cell_is_refused(make_study):
    path = make_study(methods=("grpo",), seeds=(0,), unfinished=[("grpo", 0)])
    with pytest.raises(BakeoffError, match="no finished cell"):
        write_claims(path)
