import pytest

from bakeoff.records import RunDirectory, append_lines, write_json
from benchmarks.engines import LAYOUTS, Layout, Run, measured, row_of


def test_the_first_batch_and_what_is_not_charged_are_left_out(tmp_path):
    run = RunDirectory(tmp_path)
    seconds = [
        {"load": 9.0, "sample": 5.0, "update": 7.0},
        {"load": 9.0, "sample": 6.0, "score": 0.5, "update": 9.0, "evaluate": 50.0},
        {"load": 9.0, "sample": 7.0, "score": 1.0, "update": 11.0, "evaluate": 50.0},
    ]
    append_lines(run.metrics, [{"batch": i + 1, "seconds": s} for i, s in enumerate(seconds)])
    ledger = {"rollouts": 96, "peak_bytes": {"update": 5, "load": 7}}
    write_json(run.ledger, ledger)
    # 64 rollouts in 2 + 1 + 4 seconds.
    assert measured(run) == Run(samples_per_second=64 / 7, update_seconds=2.0, peak_bytes=7)
    write_json(run.ledger, ledger | {"rank_peak_bytes": [3, 4]})
    assert measured(run).peak_bytes == 4


def test_ratios_are_of_runs_side_by_side():
    def runs(*rates):
        return [Run(samples_per_second=r, update_seconds=1.0, peak_bytes=int(r)) for r in rates]

    # A machine that slows down by half changes no ratio.
    row = row_of(Layout(engine="deepspeed", processes=2), runs(10.0, 5.0), runs(20.0, 10.0))
    assert row["times_local_seconds"] == [2.0, 2.0]
    assert row["samples_per_second"] == pytest.approx(7.5)
    assert (row["peak_bytes"], row["processes"]) == (10, 2)


def test_layouts_are_named_and_begin_with_the_one_that_others_are_measured_by():
    assert LAYOUTS[0].name == "local"
    assert [layout.name for layout in LAYOUTS[1:]] == [
        "DeepSpeed 0, 1 process",
        "DeepSpeed 2, 1 process",
        "DeepSpeed 3, 1 process",
        "DeepSpeed 0, 2 processes",
        "DeepSpeed 2, 2 processes",
        "DeepSpeed 3, 2 processes",
    ]
