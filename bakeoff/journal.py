"""What a cell leaves in its folder. All ranks call it alike; the first one writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff import checkpoint, records
from bakeoff.failures import failure_kind, record_failure
from bakeoff.ledger import Ledger
from bakeoff.ranks import Ranks
from bakeoff.records import Row, RunDirectory

Echo = Callable[[str], None]


class Journal:
    """Records, checkpoints and status of one run.

    Args:
        directory: the run's.
        record: of its settings, for config.json.
        ledger: what it has spent.
        ranks: that run it.
        echo: gets a line a batch, for people.
    """

    def __init__(
        self,
        directory: RunDirectory,
        record: Mapping[str, Any],
        ledger: Ledger,
        *,
        ranks: Ranks,
        echo: Echo | None,
    ) -> None:
        self.directory = directory
        self._record = record
        self._ledger = ledger
        self._ranks = ranks
        self._echo = echo

    def begin(self) -> None:
        """Makes the folder."""
        if self._ranks.first:
            self._begin()

    def fail(self, error: Exception) -> None:
        """Says why the run has ended."""
        # The first of several ranks to fail says why; the others have lost their connection to it.
        if self._ranks.count == 1 or self.directory.state != "failed":
            record_failure(error, self.directory, self._ledger)

    def fail_unbegun(self, error: Exception) -> None:
        """Models that do not fit are a result; any other fault before a run leaves nothing."""
        if failure_kind(error) == "out_of_memory":
            self._begin()
            self.fail(error)

    def pool(self, groups: int) -> None:
        """How far a pool has come."""
        if self._ranks.first:
            self.directory.write_status("running", message=f"pool: {groups} problems sampled")

    def batch(self, done: int, metrics: Mapping[str, Any], reached: float) -> None:
        """A row of metrics; a meeting of all ranks."""
        self._ledger.meet()
        if not self._ranks.first:
            return
        ledger = self._ledger.snapshot()
        records.append_lines(
            self.directory.metrics,
            [
                {"batch": done}
                | self._ledger.position()
                | dict(metrics)
                | {
                    "seconds": ledger["seconds"],
                    "tokens_per_second": ledger["tokens_per_second"],
                    "sampling_tokens_per_second": ledger["sampling_tokens_per_second"],
                    "training_tokens_per_second": ledger["training_tokens_per_second"],
                    "peak_bytes": max(ledger["peak_bytes"].values()),
                }
            ],
        )
        self.directory.write_status(
            "running",
            progress=min(1.0, reached),
            step=self._ledger.optimizer_steps,
            reward=metrics["reward"],
            tokens_per_second=ledger["tokens_per_second"],
            wall_seconds=ledger["wall_seconds"],
        )
        if self._echo is not None:
            self._echo(
                f"batch {done}  {min(1.0, reached):4.0%}  reward {metrics['reward']:.3f}  "
                f"{ledger['tokens_per_second']:,.0f} tokens/s"
            )

    def evaluation(self, rows: Sequence[Row], shown: Sequence[Row]) -> None:
        """Rows of problems, and a few whole responses."""
        if not self._ranks.first:
            return
        if shown:
            records.append_lines(self.directory.transcripts, shown)
        records.append_lines(self.directory.evaluations, rows)

    def checkpoint(self, done: int, save: Callable[[Path], None]) -> None:
        """All state after `done` batches; `save` may be a meeting of all ranks."""
        with self._ledger.phase("checkpoint"):
            if self._ranks.first:
                checkpoint.write_checkpoint(self.directory.checkpoints, done, save)
            else:
                save(self.directory.checkpoints)
        if self._ranks.first:
            records.write_json(self.directory.ledger, self._ledger.snapshot())

    def policy(self, save: Callable[[Path], None]) -> None:
        """The trained policy; `save` may be a meeting of all ranks."""
        with self._ledger.phase("checkpoint"):
            if self._ranks.first:
                checkpoint.replace_directory(self.directory.policy, save)
            else:
                save(self.directory.policy)

    def write(self, path: Path, value: Mapping[str, Any]) -> None:
        """A JSON file."""
        if self._ranks.first:
            records.write_json(path, value)

    def keep_through(self, done: int, *names: str) -> None:
        """Drops the rows of later batches from files of lines: a run writes them again."""
        if not self._ranks.first:
            return
        for name in names:
            file: Path = getattr(self.directory, name)
            if file.exists():
                records.keep_lines_through(file, done)

    def finish(self, *, collapsed: str | None) -> None:
        """The last status."""
        if not self._ranks.first:
            return
        last = records.read_json(self.directory.status)
        shown = {name: last[name] for name in ("reward", "tokens_per_second") if name in last}
        self.directory.write_status(
            "finished",
            progress=1.0,
            message=collapsed or "",
            collapsed=collapsed is not None,
            step=self._ledger.optimizer_steps,
            **shown,
        )

    def _begin(self) -> None:
        self.directory.path.mkdir(parents=True, exist_ok=True)
        if not self.directory.config.exists():
            records.write_json(self.directory.config, self._record)
        self.directory.write_status("running")
