import io
from pathlib import Path

import pytest
from rich.console import Console

from ablations.progress import TrialProgress
from ablations.trial import TrialRecord


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(shown: io.StringIO, tmp_path: Path) -> TrialProgress:
    return TrialProgress(Console(file=shown), tmp_path, trials=3, title="tiny: 3 trials")


def end(folder: Path, number: int, state: str, **what: object) -> None:
    TrialRecord(folder, number, {"epochs": number}).write(state, **what)


def test_a_trial_is_a_line_as_it_ends(
    progress: TrialProgress, shown: io.StringIO, tmp_path: Path
) -> None:
    end(tmp_path, 0, "running")
    progress.catch_up()
    assert shown.getvalue() == "tiny: 3 trials\n"
    end(tmp_path, 1, "complete", values={"pass@1": 0.71234})
    end(tmp_path, 2, "pruned", reason="by [median] after 1 seeds")
    progress.catch_up()
    progress.catch_up()
    _, first, second = shown.getvalue().splitlines()
    assert first.endswith("1 of 3  epochs=1  pass@1 0.7123")
    assert second.endswith("2 of 3  epochs=2  pruned  by [median] after 1 seeds")


def test_a_failed_trial_that_is_tried_again_ends_again(
    progress: TrialProgress, shown: io.StringIO, tmp_path: Path
) -> None:
    for state, values in (("failed", None), ("running", None), ("complete", {"pass@1": 0.5})):
        end(tmp_path, 0, state, values=values)
        progress.catch_up()
    _, first, second = shown.getvalue().splitlines()
    assert first.endswith("1 of 3  epochs=0  failed")
    assert second.endswith("1 of 3  epochs=0  pass@1 0.5")


def test_records_are_looked_at_once_a_second(
    progress: TrialProgress, shown: io.StringIO, tmp_path: Path
) -> None:
    progress.tick()
    end(tmp_path, 0, "complete", values={"pass@1": 0.5})
    progress.tick()
    assert "pass@1" not in shown.getvalue()
    progress.catch_up()
    assert "pass@1" in shown.getvalue()
