"""Where a study's trials are kept, and how workers share them without losing or repeating one."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from ablations.designs import planned_points, pruner, sampler
from ablations.journal import LivingJournal, journal_file
from ablations.study import DIRECTIONS, Ablation
from bakeoff.errors import ConfigError
from bakeoff.locks import exclusive

# After so long without a sign of life a worker is taken for dead, and its trial is queued again.
GRACE_SECONDS = 60
SIGNS_OF_LIFE = 6  # in that time, so that a few may be lost
LOCK_SECONDS = 60  # that SQLite waits for other workers' writes
INDEX = "index"  # of a trial's point in the design; a retried trial keeps it

optuna.logging.set_verbosity(optuna.logging.WARNING)


def default_storage(folder: Path) -> str:
    """SQLite beside the records."""
    return f"sqlite:///{folder / 'optuna.db'}"


class TrialQueue:
    """The trials of one study in its storage, for one of any number of workers.

    Args:
        ablation: what is declared.
        url: of the storage: SQLite, a journal, or a server that many machines reach.
        folder: of the study.
        name: of the study in the storage, where others may have been declared with the same one.
        grace_seconds: see `GRACE_SECONDS`.

    Raises:
        ConfigError: the storage cannot be reached.
    """

    def __init__(
        self,
        ablation: Ablation,
        url: str,
        *,
        folder: Path,
        name: str,
        grace_seconds: int = GRACE_SECONDS,
    ) -> None:
        self._ablation = ablation
        self._heartbeat_seconds = max(1, grace_seconds // SIGNS_OF_LIFE)
        self._lock = folder / "claim.lock"
        self._locks_rows = not url.startswith("sqlite")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._retry = RetryHeartbeatStaleTrialCallback()
            self._storage = _reached(
                url, self._heartbeat_seconds, grace_seconds=grace_seconds, retry=self._retry
            )
            self.study = optuna.create_study(
                study_name=name,
                storage=self._storage,
                sampler=sampler(ablation),
                pruner=pruner(ablation),
                directions=[DIRECTIONS[name] for name in ablation.objectives],
                load_if_exists=True,
            )
            self.study.set_metric_names(list(ablation.objectives))

    def fill(self) -> None:
        """Queues every point of the design that has no trial, and failed ones once more."""
        with exclusive(self._lock):
            latest = self.latest()
            for index, point in enumerate(planned_points(self._ablation)):
                if index not in latest:
                    self.study.enqueue_trial(point, user_attrs={INDEX: index})
                elif latest[index].state == TrialState.FAIL:
                    self._retry(self.study, latest[index])

    def latest(self) -> dict[int, FrozenTrial]:
        """Index of each point -> its last trial."""
        trials = self.study.get_trials(deepcopy=False)
        return {trial.user_attrs[INDEX]: trial for trial in trials if INDEX in trial.user_attrs}

    def claim(self) -> optuna.Trial | None:
        """A waiting trial that from now on is this worker's; None when none waits."""
        self._queue_abandoned()
        with self._alone():
            for waiting in self._in_state(TrialState.WAITING):
                if INDEX in waiting.user_attrs and self._claimed(waiting):
                    index = waiting.user_attrs[INDEX]
                    self.study.sampler = sampler(self._ablation, index=index)
                    return optuna.Trial(self.study, waiting._trial_id)
        return None

    def _claimed(self, waiting: FrozenTrial) -> bool:
        # A worker that dies right here would else leave a trial that nobody knows to be abandoned.
        self._storage.record_heartbeat(waiting._trial_id)
        try:
            return bool(self._storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING))
        except UpdateFinishedTrialError:
            return False

    @property
    def running(self) -> int:
        """Trials that run, here or elsewhere; their workers may yet die."""
        return len(self._in_state(TrialState.RUNNING))

    @contextmanager
    def alive(self, trial: optuna.Trial) -> Iterator[None]:
        """Gives signs of life for a trial while it runs."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self._heartbeat_seconds):
                self._storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def put_back(self, trial: optuna.Trial) -> None:
        """Queues a trial again that is stopped from outside, unless another worker has done so."""
        try:
            self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return
        self._retry(self.study, self._storage.get_trial(trial._trial_id))

    def _queue_abandoned(self) -> None:
        with warnings.catch_warnings(), self._alone():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)

    def _in_state(self, state: TrialState) -> Sequence[FrozenTrial]:
        trials: Sequence[FrozenTrial] = self.study.get_trials(deepcopy=False, states=(state,))
        return trials

    def _alone(self) -> AbstractContextManager[None]:
        """SQLite locks no rows: two workers could take the same trial, as of no other storage."""
        return nullcontext() if self._locks_rows else exclusive(self._lock)


def _reached(
    url: str, heartbeat_seconds: int, *, grace_seconds: int, retry: RetryHeartbeatStaleTrialCallback
) -> RDBStorage | LivingJournal:
    if (file := journal_file(url)) is not None:
        try:
            return LivingJournal(file, heartbeat_seconds, grace_seconds=grace_seconds, retry=retry)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConfigError(
                f"--storage {url} cannot be used as a journal ({_first_line(error)}); name a file "
                "that a study has begun, or one that does not exist yet in a folder that does"
            ) from None

    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

    try:
        return RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
            if url.startswith("sqlite")
            else {"pool_pre_ping": True},
            heartbeat_interval=heartbeat_seconds,
            grace_period=grace_seconds,
            heartbeat_stale_trial_callback=retry,
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"--storage {url} cannot be used ({_first_line(error)}); SQLite is sqlite:///FILE, a "
            "journal journal:FILE, PostgreSQL postgresql+psycopg://USER@HOST/DATABASE with "
            "pip install 'bakeoff[postgresql]'"
        ) from None
    except DBAPIError as error:
        shown = make_url(url).render_as_string(hide_password=True)
        raise ConfigError(f"--storage {shown} is not reached: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
