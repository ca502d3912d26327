import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.ranks import Ranks, join_ranks

ROOT = Path(__file__).parents[2]
MEETING = """
import json, sys
import torch
from bakeoff.errors import ConfigError
from bakeoff.processes import end_rank
from bakeoff.ranks import join_ranks
ranks = join_ranks("cpu")
assert join_ranks("cpu").rank == ranks.rank, "joining twice is joining once"
found = {"gathered": ranks.gather({"rank": ranks.rank})}
own = torch.full((2,), float(ranks.rank + 1))
found["summed"] = ranks.sum(own).tolist()
found["kept"] = own.tolist()
found["once"] = ranks.once(lambda: f"by rank {ranks.rank}")
for name, error in (("told", ConfigError("a value")), ("odd", KeyError("a key"))):
    def fail():
        raise error
    try:
        ranks.once(fail)
    except Exception as caught:
        found[name] = [type(caught).__name__, str(caught)]
found["after"] = ranks.gather(ranks.first)
everybody = ranks.gather(found)
if ranks.first:
    print(json.dumps(everybody))
end_rank()
"""


def rank_of(rank: int, count: int) -> Ranks:
    ranks = Ranks()
    ranks.rank, ranks.count = rank, count
    return ranks


def test_ranks_meet_and_come_to_the_same():
    parent = (
        "import sys; from bakeoff.processes import run_ranks; "
        "sys.exit(run_ranks(['-c', sys.argv[1]], processes=2))"
    )
    result = subprocess.run(
        [sys.executable, "-c", parent, MEETING],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    first, second = json.loads(result.stdout)
    assert (first.pop("kept"), second.pop("kept")) == ([1.0, 1.0], [2.0, 2.0])
    assert first.pop("odd") == ["KeyError", "'a key'"]
    assert second.pop("odd") == ["BakeoffError", "KeyError('a key')"]
    assert first == second
    assert first == {
        "gathered": [{"rank": 0}, {"rank": 1}],
        "summed": [3.0, 3.0],
        "once": "by rank 0",
        "told": ["ConfigError", "a value"],
        "after": [True, False],
    }


@given(cuts=st.lists(st.integers(1, 4), min_size=1, max_size=12), count=st.integers(1, 5))
def test_every_cut_counts_once_and_all_ranks_get_equally_many(cuts, count):
    tensors = [torch.arange(10 * i, 10 * i + size) for i, size in enumerate(cuts)]
    dealt = [rank_of(rank, count).deal(tensors) for rank in range(count)]
    assert len({len(own) for own in dealt}) == 1
    counted = [cut for own in dealt for cut, counts in own if counts]
    assert sorted(cut[0].item() for cut in counted) == [tensor[0].item() for tensor in tensors]
    assert all(len(cut) == 1 for own in dealt for cut, counts in own if not counts)
    # Cuts come sorted by size: what is worked on at the same time is of neighbouring sizes.
    for turn in zip(*dealt, strict=True):
        places = [cut[0].item() // 10 for cut, counts in turn if counts]
        assert places == list(range(places[0], places[0] + len(places)))


def test_one_process_meets_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = join_ranks("cpu")
    assert (ranks.rank, ranks.count, ranks.first) == (0, 1, True)
    tensor = torch.ones(2)
    assert ranks.sum(tensor) is tensor
    assert ranks.gather("value") == ["value"]
    with pytest.raises(ConfigError, match="as it was"):
        ranks.once(_fails)


def _fails() -> None:
    raise ConfigError("as it was")
