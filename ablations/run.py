"""An ablation from study file to report: set-up, gate, workers, records."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from rich.console import Console

from ablations.designs import planned_points
from ablations.journal import journal_file
from ablations.progress import TrialProgress
from ablations.records import study_record
from ablations.space import cells_of, flags_beside_setup
from ablations.storage import GRACE_SECONDS, TrialQueue, default_storage
from ablations.study import Ablation, load_ablation, quick, redesigned
from bakeoff import provenance
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.records import SCHEMA, read_json, write_json
from bakeoff.tracking import Mirror
from benchmarks.cells import fresh_log
from benchmarks.launch import Job, run_jobs
from benchmarks.opening import Gate, closed_gate, open_study
from benchmarks.suite import Cell

RUNS = Path("runs")
RECORD_SECONDS = 5.0  # between two writings of study.json, which the MLflow mirror follows
FEWEST_TRIALS = 4  # below so many an importance is noise
SEED = 0  # of the forest behind the importances


@dataclass(frozen=True, slots=True, kw_only=True)
class AblateOptions:
    """What the command line says beside settings."""

    quick: bool = False
    design: str | None = None  # None: the study's
    trials: int | None = None
    workers: int | None = None  # None: one a core
    storage: str | None = None  # None: SQLite in the study's folder
    grace_seconds: int = GRACE_SECONDS  # after which a silent worker is taken for dead
    out: Path | None = None
    force: bool = False
    tracking: bool = True
    tracking_uri: str | None = None  # None: SQLite beside the study
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Where an ablation that has been run can be looked at."""

    folder: Path
    storage: str  # as Optuna's dashboard takes it
    tracking_uri: str | None  # None: not tracked


def run_ablation(
    name: str,
    *,
    overrides: Mapping[str, Any],
    options: AblateOptions,
    write_report: Callable[[Path], Path],
) -> Done:
    """Runs every trial of a study that is not over yet, then the report; where they are.

    Args:
        name: a study file, or one that ships.
        overrides: flat settings from the command line; they reach every trial.
        options: the rest of the command line.
        write_report: makes the report of a study folder.

    Raises:
        ConfigError: settings that cannot run, or a folder that holds another study.
        BakeoffError: set-up or gate failed, or trials did.
    """
    ablation = _chosen(name, options)
    run = _Run(ablation, dict(overrides), options)
    existed = run.folder.exists()
    run.declare()
    run.set_up()
    try:
        run.open()
    except ConfigError:
        # Settings that only a loaded model or task can refuse leave nothing behind either.
        if not existed and not ablation.setup:
            shutil.rmtree(run.folder)
        raise
    with run.mirror:
        run.work()
        run.close("running")
        write_report(run.folder)
        run.close("finished")
    failed = run.failed()
    if failed:
        raise BakeoffError(
            f"{len(failed)} trials failed and are left out of the report: "
            + "; ".join(failed[:3])
            + "; run the same command again to try them once more"
        )
    tracking_uri = run.tracking_uri if options.tracking else None
    storage = str(journal_file(run.storage) or run.storage)
    return Done(folder=run.folder, storage=storage, tracking_uri=tracking_uri)


def _chosen(name: str, options: AblateOptions) -> Ablation:
    ablation = load_ablation(name)
    if options.quick:
        ablation = quick(ablation)
    return redesigned(ablation, design=options.design, trials=options.trials)


class _Run:
    """One run of an ablation in its folder."""

    def __init__(
        self, ablation: Ablation, overrides: dict[str, Any], options: AblateOptions
    ) -> None:
        self._ablation = ablation
        self._overrides = overrides
        self._options = options
        self._console = Console()
        self._workers = options.workers or os.cpu_count() or 1
        self.folder = options.out or RUNS / ablation.study
        self.storage = options.storage or default_storage(self.folder)
        self._gate = closed_gate(force=options.force)
        self._setup_file = self.folder / "setup.json"
        # Every point is tried as a config before anything runs.
        self._arms = self._one_cell_a_method()
        self._name = ablation.study  # in the storage
        self._recorded = 0.0
        self._importances: dict[str, float] | None = None
        beside = f"sqlite:///{self.folder.resolve().parent / 'mlflow.db'}"
        self.tracking_uri = options.tracking_uri or beside
        self.mirror = Mirror(self.folder, uri=self.tracking_uri, enabled=options.tracking)

    def declare(self) -> None:
        """Writes what is to be done, for workers and for a later run of the same command.

        Raises:
            ConfigError: the folder holds another ablation.
        """
        declared = {"ablation": asdict(self._ablation), "overrides": self._overrides}
        file = self.folder / "ablation.json"
        if file.exists():
            there = read_json(file)
            if _identity(there) != _identity(declared):
                raise ConfigError(f"{self.folder} holds another ablation; choose another --out")
            self._name = there["name"]
        elif (self.folder / "study.json").exists():
            raise ConfigError(f"{self.folder} holds a comparison; choose another --out")
        else:
            # A storage that serves many folders may have seen a study of this name.
            self._name = f"{self._ablation.study}-{secrets.token_hex(4)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(file, {"name": self._name} | declared)

    def set_up(self) -> None:
        """Runs the commands that the trials build on, unless they have been run.

        Raises:
            BakeoffError: one of them failed.
        """
        done = self._setup()
        flags = flags_beside_setup(self._ablation, self._overrides)
        if flags and len(done) < len(self._ablation.setup):
            self._console.print(
                f"{', '.join(flags)}: of the trials alone, not of the set-up commands; to change "
                "those, copy the study file",
                highlight=False,
                soft_wrap=True,
            )
        for command in self._ablation.setup[len(done) :]:
            self._console.print(f"set-up: bakeoff {command} …", highlight=False)
            parts = shlex.split(command)
            arguments = [part.replace("{folder}", str(self.folder)) for part in parts]
            log = fresh_log(self.folder, f"setup-{len(done)}")
            start = time.perf_counter()
            job = Job(name="set-up", arguments=("-m", "bakeoff", *arguments), log=log)
            result = run_jobs([job], workers=1)[0]
            if result.returncode:
                raise BakeoffError(f"set-up {command!r}: {result.reason.removeprefix('bakeoff: ')}")
            done.append({"command": command, "wall_seconds": time.perf_counter() - start})
            write_json(self._setup_file, {"commands": done})

    def open(self) -> None:
        """Runs the gate and evaluates the start."""
        self._write("running")
        open_study(
            self.folder,
            arms=self._arms,
            seeds=self._ablation.seeds,
            workers=self._workers,
            force=self._options.force,
            console=self._console,
            on_gate=self._record_gate,
        )

    def work(self) -> None:
        """Queues the trials and lets the workers run them."""
        queue = self._queue()
        queue.fill()
        if queue.running:
            self._console.print(
                f"{queue.running} trials were running when the study was last stopped, or run "
                "elsewhere; those without a sign of life for "
                f"{self._options.grace_seconds} s start again",
                highlight=False,
            )
        points = len(planned_points(self._ablation))
        workers = min(self._workers, points)
        jobs = [
            Job(
                name=f"worker-{number}",
                arguments=(
                    *("-m", "ablations.worker", str(self.folder), "--storage", self.storage),
                    *("--grace-seconds", str(self._options.grace_seconds)),
                ),
                log=fresh_log(self.folder, f"worker-{number}"),
            )
            for number in range(workers)
        ]
        title = f"{self._ablation.study}: {points} trials of {len(self._ablation.seeds)} seeds"
        progress = TrialProgress(self._console, self.folder, trials=points, title=title)

        def tick(running: object) -> None:
            progress.tick()
            if time.monotonic() - self._recorded > RECORD_SECONDS:
                self._write("running")
                self._recorded = time.monotonic()

        results = run_jobs(jobs, workers=workers, on_tick=tick)
        progress.catch_up()
        broken = [result for result in results if result.returncode]
        for result in broken:
            self._console.print(f"{result.job.name} ended early: {result.reason}", markup=False)
        if len(broken) == len(results):
            raise BakeoffError(f"every worker ended early: {broken[0].reason}")

    def close(self, state: str) -> None:
        """Writes the study's record with what the trials say together."""
        self._importances = self._found_importances()
        self._write(state)

    def failed(self) -> list[str]:
        """The trials that failed, and why."""
        record = read_json(self.folder / "study.json")
        return [
            f"{trial['arm']}: {trial['reason']}"
            for trial in record["ablation"]["trials"]
            if trial["state"] == "failed"
        ]

    def _queue(self) -> TrialQueue:
        return TrialQueue(
            self._ablation,
            self.storage,
            folder=self.folder,
            name=self._name,
            grace_seconds=self._options.grace_seconds,
        )

    def _record_gate(self, gate: Gate) -> None:
        self._gate = gate
        self._write("running")

    def _one_cell_a_method(self) -> list[Cell]:
        points = [self._ablation.baseline, *filter(None, planned_points(self._ablation))]
        found: dict[str, Cell] = {}
        for point in points:
            cells = cells_of(self._ablation, point, folder=self.folder, overrides=self._overrides)
            found.setdefault(cells[0].method, cells[0])
        return list(found.values())

    def _setup(self) -> list[dict[str, Any]]:
        if not self._setup_file.exists():
            return []
        return list(read_json(self._setup_file)["commands"])

    def _found_importances(self) -> dict[str, float] | None:
        """Optuna's fANOVA (Hutter et al. 2014) of the first objective over complete trials."""
        study = self._queue().study
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = {trial.values[0] for trial in complete}
        if len(self._ablation.factors) < 2 or len(values) < FEWEST_TRIALS:
            return None
        return dict(
            optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=SEED),
                target=lambda trial: trial.values[0],
            )
        )

    def _command(self) -> str:
        """The command as typed, but for a storage's address, which may hold a password."""
        typed = self._options.command
        return typed if self._options.storage is None else typed.replace(self.storage, "URL")

    def _write(self, state: str) -> None:
        record = study_record(
            self._ablation,
            self.folder,
            config=self._arms[0].config,
            importances=self._importances,
            setup=self._setup(),
        )
        write_json(
            self.folder / "study.json",
            {"schema": SCHEMA, "state": state}
            | record
            | {
                "gate": self._gate,
                "command": self._command(),
                "git_revision": provenance.git_revision(),
                "versions": provenance.versions(),
                "machine": provenance.machine(),
            },
        )


def _identity(declared: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change between two runs in one folder; more trials may be asked for."""
    ablation = {k: v for k, v in declared["ablation"].items() if k not in ("trials", "quick")}
    # Through JSON tuples become lists.
    return {"ablation": _plain(ablation), "overrides": _plain(declared["overrides"])}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
