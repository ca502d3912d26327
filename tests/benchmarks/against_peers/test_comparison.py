from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.errors import BakeoffError
from benchmarks.against_peers.child import Found
from benchmarks.against_peers.comparison import (
    Run,
    alternate,
    compared,
    measure,
    our_python,
    summarised,
)
from benchmarks.against_peers.workloads import PEERS, job


def run(samples_per_second: float, *, cpu: float = 1.0, peak: int = 100, load: float = 0.0) -> Run:
    return Run(
        seconds_per_update=256 / samples_per_second,
        cpu_seconds_per_update=cpu,
        samples_per_second=samples_per_second,
        tokens_per_sample=32.0,
        peak_bytes=peak,
        load_before=load,
    )


def test_a_run_is_the_median_of_its_updates() -> None:
    found = Found(
        seconds=[2.0, 4.0, 9.0],
        cpu_seconds=[3.0, 5.0, 4.0],
        sampled_tokens=[640, 320, 640],
        peak_bytes=7,
        phases={"update": 1.0},
    )
    one = summarised(found, samples=16)
    assert (one.seconds_per_update, one.cpu_seconds_per_update) == (4.0, 4.0)
    assert one.samples_per_second == 4.0
    assert one.tokens_per_sample == pytest.approx((40 + 20 + 40) / 3)
    assert (one.peak_bytes, one.phases) == (7, {"update": 1.0})


def test_sides_take_turns_and_ours_begins() -> None:
    turns: list[str] = []

    def side(name: str) -> Run:
        turns.append(name)
        return run(1.0)

    ours, peer = alternate(
        lambda number: side(f"ours {number}"), lambda number: side(f"peer {number}"), rounds=2
    )
    assert turns == ["ours 0", "peer 0", "ours 1", "peer 1"]
    assert len(ours) == len(peer) == 2


def test_ratios_are_of_the_runs_that_came_together() -> None:
    # The medians are 120 and 40 as well, but 60 / 60 or 160 / 20 would compare different moments.
    ours = [run(120.0, cpu=2.0, peak=50), run(60.0, cpu=2.0, peak=40), run(160.0, cpu=4.0, peak=60)]
    peer = [run(60.0, cpu=6.0, peak=100), run(20.0, cpu=8.0), run(40.0, cpu=10.0)]
    ratios = compared(ours, peer)["ratios"]
    assert ratios["samples_per_second"] == {
        "median": 3.0,
        "low": 2.0,
        "high": 4.0,
        "runs": [2.0, 3.0, 4.0],
    }
    assert ratios["samples_per_cpu_second"]["runs"] == [3.0, 4.0, 2.5]
    assert ratios["peak_bytes"]["runs"] == [0.5, 0.4, 0.6]
    assert ratios["tokens_per_sample"]["runs"] == [1.0, 1.0, 1.0]


def test_a_side_has_the_median_of_each_phase() -> None:
    ours = [
        replace(run(1.0, load=load), phases={"sample": seconds})
        for load, seconds in ((0.5, 1.0), (1.5, 3.0), (2.5, 2.0))
    ]
    side = compared(ours, [run(1.0)] * 3)["ours"]
    assert side["phases"] == {"sample": 2.0}
    assert side["load_before"] == [0.5, 1.5, 2.5]


def test_a_child_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    work = job(
        PEERS["trl-grpo"],
        "variable",
        model=tmp_path / "nowhere",
        scratch=tmp_path / "scratch",
        updates=1,
        threads=1,
    )
    with pytest.raises(BakeoffError, match=r"nonsense ended with code 1: .*No module named"):
        measure(our_python(), "nonsense", work)
    assert (tmp_path / "scratch" / "job.json").is_file()
