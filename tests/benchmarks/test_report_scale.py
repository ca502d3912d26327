import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bakeoff.errors import BakeoffError
from bakeoff.records import read_json
from benchmarks.report_scale import main, measure, resident_bytes, size_of


def test_a_size_has_about_the_cells_asked_for() -> None:
    assert (size_of(10_000, 1000).methods, size_of(10_000, 1000).seeds) == (20, 500)
    assert size_of(10_000, 1000).cells == 10_000
    assert (size_of(1210, 5).methods, size_of(1210, 5).seeds) == (20, 60)
    assert (size_of(3, 5).methods, size_of(3, 5).seeds) == (3, 1)


def test_resident_bytes_are_those_of_children_too() -> None:
    hungry = "held = bytearray(b'x' * 80_000_000); print(1, flush=True); input()"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hungry!r}]); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None and parent.stdin is not None
    parent.stdout.readline()
    assert 80_000_000 < resident_bytes(parent.pid) < 160_000_000
    parent.communicate("\n\n")
    assert resident_bytes(parent.pid) == 0


def test_a_report_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(BakeoffError, match="ended with code"):
        measure(tmp_path)


@pytest.mark.slow
def test_a_small_study_is_measured_and_written_down(tmp_path: Path) -> None:
    start = time.perf_counter()
    arguments = ["--cells", "4", "--rows", "5", "--json", str(tmp_path / "found.json")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    found = read_json(tmp_path / "found.json")
    assert found["size"] == {"methods": 4, "seeds": 1, "rows": 5, "cells": 4, "metric_rows": 20}
    assert sum(run["wall_seconds"] for run in found["runs"]) < time.perf_counter() - start
    assert found["peak_bytes"] > 50e6  # numpy and matplotlib alone
    assert all(run["page_bytes"] > 10_000 for run in found["runs"])
