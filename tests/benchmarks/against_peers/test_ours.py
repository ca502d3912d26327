from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.against_peers.child import WARM_UP, Job
from benchmarks.against_peers.comparison import measure, our_python
from benchmarks.against_peers.material import write_model
from benchmarks.against_peers.workloads import PEERS, job


def small(folder: Path, peer: str) -> Job:
    write_model(folder / "model", vocabulary=48, hidden_size=32, layers=1, ends=True)
    work = job(
        PEERS[peer],
        "variable",
        model=folder / "model",
        scratch=folder / "scratch",
        updates=2,
        threads=1,
    )
    return replace(work, prompts=4, group_size=2, max_response_tokens=8)


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_our_side_runs_a_whole_cell(tmp_path: Path, peer: str) -> None:
    found = measure(our_python(), PEERS[peer].ours, small(tmp_path, peer))
    assert 1 <= found.tokens_per_sample <= 8
    assert found.samples_per_second == pytest.approx(8 / found.seconds_per_update)
    assert {"sample", "score", "annotate", "update", "measure"} <= found.phases.keys()
    # A phase takes no longer than the updates it is part of.
    assert sum(found.phases.values()) < 3 * found.seconds_per_update
    assert found.peak_bytes > 100e6  # torch alone
    assert (tmp_path / "scratch" / "cell" / "metrics.jsonl").read_text().count("\n") == WARM_UP + 2
