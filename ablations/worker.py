"""A worker: takes trials from the storage, one after another, until none is left."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType

import click
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from ablations.storage import GRACE_SECONDS, TrialQueue
from ablations.study import checked_ablation
from ablations.trial import Outcome, TrialRunner
from bakeoff.errors import BakeoffError
from bakeoff.records import read_json

POLL_SECONDS = 1.0


def work(queue: TrialQueue, runner: TrialRunner, *, poll_seconds: float = POLL_SECONDS) -> None:
    """Runs trials until none waits and none runs elsewhere, whose worker might yet die."""
    while True:
        trial = queue.claim()
        if trial is not None:
            _run(queue, runner, trial)
        elif queue.running:
            time.sleep(poll_seconds)
        else:
            return


def _run(queue: TrialQueue, runner: TrialRunner, trial: optuna.Trial) -> None:
    with queue.alive(trial):
        try:
            outcome = runner.run(trial)
            _tell(queue.study, trial, outcome)
        except UpdateFinishedTrialError:
            # This worker was taken for dead, as after a suspend, and the trial is queued again.
            return
        except BaseException:
            queue.put_back(trial)
            raise


def _tell(study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> None:
    trial.set_user_attr("reason", outcome.reason)
    match outcome.state:
        case "complete":
            study.tell(trial, list(outcome.values or ()), skip_if_finished=True)
        case "pruned":
            study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        case "failed":
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--storage", required=True)
@click.option("--grace-seconds", type=click.IntRange(2), default=GRACE_SECONDS)
def main(folder: Path, storage: str, grace_seconds: int) -> None:
    """Work on the ablation that FOLDER/ablation.json declares."""
    # Without a handler a termination would leave the cell behind and the trial unreturned.
    signal.signal(signal.SIGTERM, _stop)
    try:
        declared = read_json(folder / "ablation.json")
        ablation = checked_ablation(declared["ablation"], where=str(folder))
        queue = TrialQueue(
            ablation,
            storage,
            folder=folder,
            name=declared["name"],
            grace_seconds=grace_seconds,
        )
        work(queue, TrialRunner(ablation, folder=folder, overrides=declared["overrides"]))
    except BakeoffError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
