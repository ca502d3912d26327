from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.against_peers.__main__ import CACHE
from benchmarks.against_peers.comparison import measure
from benchmarks.against_peers.environments import is_ready, python_of
from benchmarks.against_peers.material import write_model
from benchmarks.against_peers.workloads import PEERS, job

PEER = PEERS["trl-ppo"]
ENVIRONMENTS = CACHE.expanduser()


@pytest.mark.slow
@pytest.mark.skipif(
    not is_ready(PEER.environment, ENVIRONMENTS),
    reason="its environment has not been made by python -m benchmarks.against_peers",
)
def test_the_peer_does_the_work_it_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "model", vocabulary=48, hidden_size=32, layers=1, ends=False)
    work = job(
        PEER,
        "full",
        model=tmp_path / "model",
        scratch=tmp_path / "scratch",
        updates=2,
        threads=1,
    )
    work = replace(
        work, prompts=8 // PEER.group_size, max_response_tokens=8, micro_batch=4, rollout_batch=8
    )
    found = measure(python_of(PEER.environment, ENVIRONMENTS), PEER.script, work)
    assert found.tokens_per_sample == 8.0
    assert found.samples_per_second == pytest.approx(8 / found.seconds_per_update)
    assert found.peak_bytes > 100e6
