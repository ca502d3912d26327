import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks.against_peers.__main__ import chosen, main, table
from benchmarks.against_peers.comparison import Run, compared


def test_nothing_asked_is_everything_and_a_name_narrows_it() -> None:
    assert chosen((), ()) == [
        ("trl-grpo", "variable"),
        ("trl-grpo", "full"),
        ("trl-grpo", "vocabulary"),
        ("trl-ppo", "variable"),
        ("trl-ppo", "full"),
    ]
    assert chosen((), ("full",)) == [("trl-grpo", "full"), ("trl-ppo", "full")]
    assert chosen(("trl-ppo",), ("vocabulary",)) == []


def test_a_workload_that_no_chosen_peer_has_is_refused() -> None:
    done = CliRunner().invoke(main, ["--peer", "trl-ppo", "--workload", "vocabulary"])
    assert done.exit_code == 1
    assert "trl-ppo has variable, full" in done.output


def test_the_table_shows_medians_and_the_spread_of_ratios() -> None:
    def runs(*speeds: float) -> list[Run]:
        return [
            Run(
                seconds_per_update=256 / speed,
                cpu_seconds_per_update=512 / speed,
                samples_per_second=speed,
                tokens_per_sample=32.0,
                peak_bytes=int(speed * 1e7),
            )
            for speed in speeds
        ]

    comparison = {"name": "peer", "workload": "full"} | compared(
        runs(90.0, 100.0, 120.0), runs(45.0, 40.0, 40.0)
    )
    record = {
        "machine": "m",
        "load_before": 0,
        "rounds": 3,
        "git_revision": "r",
        "comparisons": [comparison],
    }
    page = io.StringIO()
    Console(file=page, width=200).print(table(record))
    text = page.getvalue()
    assert "100.0, 40.0" in text
    assert "2.50" in text and "(2.00 to 3.00)" in text
    assert "1.00, 0.40" in text  # GB


@pytest.mark.parametrize("option", ["--rounds", "--updates", "--threads"])
def test_a_count_of_none_is_refused(option: str) -> None:
    assert CliRunner().invoke(main, [option, "0"]).exit_code == 2
