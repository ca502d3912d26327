from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.settings import cell_config
from benchmarks.against_peers.child import WARM_UP, Job
from benchmarks.against_peers.ours import settings
from benchmarks.against_peers.task import QUESTIONS
from benchmarks.against_peers.workloads import PEERS, SAMPLES, SHAPES, equal_settings, job
from benchmarks.methods import method_defaults

PAIRS = [(name, workload) for name, peer in PEERS.items() for workload in peer.workloads]


@pytest.mark.parametrize(("name", "workload"), PAIRS)
def test_both_sides_sample_and_update_equally_often(name: str, workload: str) -> None:
    peer = PEERS[name]
    work = job(peer, workload, model=Path("m"), scratch=Path("s"), updates=3, threads=2)
    assert work.samples == SAMPLES and work.prompts <= QUESTIONS
    # What a peer accumulates must fill the batch exactly, and groups must not be cut for TRL.
    assert SAMPLES % work.micro_batch == 0
    method = peer.ours.removeprefix("ours_")
    config = cell_config(method, method_defaults(method), settings(work))
    assert config.training.problems_per_step * config.method_settings["group_size"] == SAMPLES
    assert config.sampling.max_response_tokens == SHAPES[workload].max_response_tokens
    assert config.budget.budget == (WARM_UP + 3) * work.epochs
    assert config.method_settings["kl_coefficient"] == work.kl_coefficient
    assert config.optimizer.learning_rate == work.learning_rate
    assert config.model.threads == work.threads


def test_settings_that_count_as_equal_leave_out_only_places_and_the_peers_cut() -> None:
    work = job(PEERS["trl-grpo"], "full", model=Path("m"), scratch=Path("s"), updates=3, threads=2)
    elsewhere = replace(work, model="n", scratch="t", micro_batch=1, rollout_batch=1)
    assert equal_settings(work) == equal_settings(elsewhere)
    assert equal_settings(work) != equal_settings(replace(work, kl_coefficient=0.0))
    assert equal_settings(work)["samples"] == 256


def test_another_micro_batch_moves_only_the_peers_cut() -> None:
    def work(rows: int | None) -> Job:
        return job(
            PEERS["trl-grpo"],
            "full",
            model=Path("m"),
            scratch=Path("s"),
            updates=3,
            threads=2,
            micro_batch=rows,
        )

    assert work(64) == replace(work(None), micro_batch=64)
    assert settings(work(64)) == settings(work(None))
