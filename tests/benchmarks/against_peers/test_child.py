import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.against_peers.child import Clock, Found, Job, heard, read_job, tell, write_job

ROOT = Path(__file__).parents[3]
JOB = Job(
    model="model",
    scratch="scratch",
    prompts=32,
    group_size=8,
    max_response_tokens=64,
    epochs=1,
    kl_coefficient=0.04,
    learning_rate=1e-6,
    updates=3,
    threads=2,
    micro_batch=16,
    rollout_batch=64,
)


def test_a_job_arrives_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_job(JOB, tmp_path / "job.json")
    monkeypatch.setattr(sys, "argv", ["child", str(tmp_path / "job.json")])
    assert read_job() == JOB
    assert read_job().samples == 256


def test_the_first_two_updates_warm_up_and_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([7.0, 10.0, 12.5, 14.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    clock = Clock()
    for tokens in (90, 100, 60, 40):
        clock.count(tokens - 1)
        clock.count(1)
        clock.end()
    found = clock.found(phases={"sample": 0.5})
    assert found.seconds == [2.5, 1.5]
    assert found.sampled_tokens == [60, 40]
    assert found.phases == {"sample": 0.5}


def test_the_peak_is_the_systems_unless_the_child_knows_of_more() -> None:
    held = bytearray(b"x" * 50_000_000)
    clock = Clock()
    assert clock.found().peak_bytes > len(held)
    assert clock.found(peak_bytes=10**15).peak_bytes == 10**15


def test_what_is_told_among_other_lines_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    found = Found(seconds=[1.5], cpu_seconds=[2.5], sampled_tokens=[7], peak_bytes=9)
    print("a bar that ends without a line", end="")
    tell(found)
    print("a last word")
    assert heard(capsys.readouterr().out) == found
    with pytest.raises(ValueError, match="no result"):
        heard("a last word\n")


def test_peers_can_read_their_side_without_a_package_of_ours() -> None:
    code = (
        "import sys\n"
        "import benchmarks.against_peers.trl_grpo, benchmarks.against_peers.trl_ppo\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'bakeoff', 'algorithms', 'torch', 'trl', 'click'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
