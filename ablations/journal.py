"""Optuna's journal, a plain file of appended lines, with the signs of life that it lacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

PREFIX = "journal:"
SUFFIXES = (".log", ".journal")
BEAT = "heartbeat"  # the trial's system attribute

Retry = Callable[[optuna.Study, FrozenTrial], None]


def journal_file(storage: str) -> Path | None:
    """The file that ``journal:FILE``, FILE.log or FILE.journal names; None for a database."""
    if storage.startswith(PREFIX):
        return Path(storage.removeprefix(PREFIX))
    if "://" not in storage and storage.endswith(SUFFIXES):
        return Path(storage)
    return None


class LivingJournal(JournalStorage, BaseHeartbeat):
    """A journal whose lines also say that the worker of a trial is alive.

    Of two workers that claim the same trial, the one whose line comes first has it.

    Args:
        file: made if need be.
        heartbeat_seconds: between two signs of life.
        grace_seconds: after which a silent worker is taken for dead.
        retry: what queues its trial again.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no journal.
    """

    def __init__(
        self, file: Path, heartbeat_seconds: int, *, grace_seconds: int, retry: Retry
    ) -> None:
        # Optuna's other lock is a link to the file as named, which is broken in another folder.
        lock = JournalFileOpenLock(str(file))
        super().__init__(JournalFileBackend(str(file), lock))
        self._heartbeat_seconds = heartbeat_seconds
        self._grace_seconds = grace_seconds
        self._retry = retry
        self._beats: dict[int, tuple[object, float]] = {}  # trial -> the last one, when it was seen

    def record_heartbeat(self, trial_id: int) -> None:
        """Appends a sign of life; of a trial that is over none is needed."""
        with suppress(UpdateFinishedTrialError):
            self.set_trial_system_attr(trial_id, BEAT, time.time())

    def get_heartbeat_interval(self) -> int:
        """Seconds between two signs of life."""
        return self._heartbeat_seconds

    def get_heartbeat_stale_trial_callback(self) -> Retry:
        """What queues a dead worker's trial again."""
        return self._retry

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial._trial_id for trial in running if self._is_silent(trial)]

    def _is_silent(self, trial: FrozenTrial) -> bool:
        # Machines differ in their clocks: how long ago it was is told by this one's alone.
        now, beat = time.monotonic(), trial.system_attrs.get(BEAT)
        last, seen = self._beats.get(trial._trial_id, (None, now))
        if beat == last:
            return now - seen > self._grace_seconds
        self._beats[trial._trial_id] = beat, now
        return False
