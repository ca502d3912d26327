"""The papers' claims, re-measured: reward models, a matrix of cells, many samples of the ends.

Every stage leaves files behind and is skipped where they are there already, so a run that was
stopped goes on where it was. What the numbers say is `reports.claims`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bakeoff.errors import BakeoffError
from bakeoff.records import RunDirectory
from benchmarks.compare import CompareOptions, run_suite
from benchmarks.launch import Job, run_jobs
from benchmarks.suite import Suite, load_suite, matrix, quick

SUITE = Path(__file__).parent / "suites" / "claims.yaml"
RUNS = Path("runs")
# Ends that are sampled often enough for pass@K and votes at large K.
SAMPLED_ARMS = ("ppo", "grpo", "rloo", "reinforce++", "dapo")
VERIFIED_ARMS = ("ppo_process_prm",)  # and the start: those the reward models judge
SPLITS = ("test", "ood")
SHARDS = 2  # processes that annotate


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is sampled beside the cells."""

    problems: int  # of the training split, for the reward models
    solutions: int  # a problem
    annotated: int  # of all solutions
    completions: int  # N, from the end of each step
    held_out: int  # problems of a split whose responses are verified
    responses: int  # K, of each


FULL = Scale(problems=2000, solutions=4, annotated=3000, completions=16, held_out=128, responses=64)
QUICK = Scale(problems=400, solutions=4, annotated=400, completions=8, held_out=64, responses=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsOptions:
    """What the command line says."""

    quick: bool = False
    workers: int | None = None  # None: one a core
    out: Path | None = None
    command: str = ""


def run_claims(
    options: ClaimsOptions,
    *,
    write_report: Callable[[Path], Path],
    write_claims: Callable[[Path], Path],
) -> Path:
    """Runs whatever is not there yet and judges the claims; the path of claims.md.

    Args:
        options: the command line.
        write_report: makes the report of a study folder.
        write_claims: judges the records of the folder.

    Raises:
        BakeoffError: a stage that others need has failed.
    """
    suite = load_suite(SUITE)
    suite = quick(suite) if options.quick else suite
    folder = options.out or RUNS / suite.study
    claims = _Claims(folder, suite, QUICK if options.quick else FULL, options)
    claims.make_reward_models()
    failed = run_suite(
        claims.suite,
        overrides={},
        options=CompareOptions(
            workers=claims.workers, out=folder, tracking=False, command=options.command
        ),
        write_report=write_report,
    )
    for result in failed:
        # A claim whose arm failed is inconclusive, and says why; the others still stand.
        Console().print(f"[bold red]{result.job.name} failed:[/] {result.reason}")
    claims.sample_ends()
    return write_claims(folder)


class _Claims:
    """The stages beside the matrix."""

    def __init__(self, folder: Path, suite: Suite, scale: Scale, options: ClaimsOptions) -> None:
        self._folder = folder
        self._scale = scale
        self._models = folder / "reward_models"
        self._console = Console()
        self.workers = options.workers or os.cpu_count() or 1
        self.suite = replace(
            suite,
            methods={arm: _with_folder(own, self._models) for arm, own in suite.methods.items()},
        )
        settings = suite.settings
        self._start = ("--model", settings["model"])
        self._task = (
            *("--task", settings["task"]),
            *("--max-response-tokens", settings["max_response_tokens"]),
        )

    def make_reward_models(self) -> None:
        """Samples of the start, their steps' labels, and an ORM and a PRM trained on them."""
        solutions, labels = self._folder / "solutions.jsonl", self._folder / "annotation"
        identities = self._folder / "identities.json"
        scale = self._scale
        self._run(
            "solutions of the start, and the identities",
            self._sample(solutions, "train", problems=scale.problems, responses=scale.solutions),
            self._job("identities", "benchmarks.identities", "--json", identities),
        )
        shards = [self._folder / f"annotation-{n}" for n in range(1, SHARDS + 1)]
        self._run(
            "labels of their steps",
            *(
                self._job(
                    shard.name,
                    *("bakeoff", "annotate", solutions, "--out", shard, *self._start, *self._task),
                    *("--completions", scale.completions, "--limit-solutions", scale.annotated),
                    *("--shard", f"{n}/{SHARDS}", "--seed", 0),
                )
                for n, shard in enumerate(shards, start=1)
            ),
        )
        labels.mkdir(exist_ok=True)
        with (labels / "annotations.jsonl").open("wb") as whole:
            for shard in shards:
                with (shard / "annotations.jsonl").open("rb") as part:
                    shutil.copyfileobj(part, whole)
        self._run(
            "reward models",
            self._train("orm", "outcome", solutions),
            self._train("prm", "process", labels / "annotations.jsonl"),
        )

    def sample_ends(self) -> None:
        """Many responses of the start and of some arms' ends, scored where a claim needs it."""
        samples, raw = self._folder / "samples", self._folder / "samples-unscored"
        cells = [
            cell
            for cell in matrix(self.suite, {})
            if cell.arm in (*SAMPLED_ARMS, *VERIFIED_ARMS)
            and RunDirectory(self._folder / cell.name).state == "finished"
        ]
        policies: dict[str, Sequence[object]] = {"start": self._start}
        for cell in cells:
            policy = RunDirectory(self._folder / cell.name).policy
            policies[f"{cell.arm}-s{cell.seed}"] = ("--model", policy)
        verified = ["start"] + [f"{c.arm}-s{c.seed}" for c in cells if c.arm in VERIFIED_ARMS]
        for directory in (samples, raw, raw / "orm"):
            directory.mkdir(parents=True, exist_ok=True)
        self._run(
            "responses of the ends",
            *(
                self._sample(
                    (raw if name in verified else samples) / f"{name}-{split}.jsonl",
                    split,
                    model=model,
                    problems=self._scale.held_out,
                    responses=self._scale.responses,
                )
                for name, model in policies.items()
                for split in SPLITS
            ),
        )
        files = [f"{name}-{split}.jsonl" for name in verified for split in SPLITS]
        for model, before, after in (("orm", raw, raw / "orm"), ("prm", raw / "orm", samples)):
            self._run(
                f"scores by the {model}",
                *(self._score(model, before / file, after / file) for file in files),
            )

    def _sample(
        self,
        out: Path,
        split: str,
        *,
        problems: int,
        responses: int,
        model: Sequence[object] | None = None,
    ) -> Job:
        return self._job(
            f"sample-{out.stem}",
            *("bakeoff", "sample", "--out", out, "--split", split, *(model or self._start)),
            *(*self._task, "--problems", problems, "--samples", responses, "--seed", 0),
        )

    def _train(self, name: str, kind: str, data: Path) -> Job:
        return self._job(
            f"train-{name}",
            *("bakeoff", "reward-model", "train", data, "--kind", kind, *self._start),
            *("--out", self._models / name, *self._task[:2]),
        )

    def _score(self, model: str, source: Path, out: Path) -> Job:
        return self._job(
            f"score-{model}-{source.stem}",
            *("bakeoff", "reward-model", "score", self._models / model, source),
            *("--name", model, "--out", out),
        )

    def _job(self, name: str, module: str, *arguments: object) -> Job:
        log = self._folder / "logs" / f"{name}.log"
        return Job(name=name, arguments=("-m", module, *map(str, arguments)), log=log)

    def _run(self, what: str, *jobs: Job) -> None:
        """Runs the jobs that have not been done.

        Raises:
            BakeoffError: one of them failed.
        """
        done = self._folder / "done"
        done.mkdir(parents=True, exist_ok=True)
        missing = [job for job in jobs if not (done / job.name).exists()]
        if not missing:
            return
        self._console.print(f"{what} …")
        for job in missing:
            job.log.unlink(missing_ok=True)
        failed = []
        for result in run_jobs(missing, workers=self.workers):
            if result.returncode:
                failed.append(f"{result.job.name}: {result.reason.removeprefix('bakeoff: ')}")
            else:
                (done / result.job.name).touch()
        if failed:
            raise BakeoffError(
                f"{what}: " + "; ".join(failed) + "; run the same command again to continue"
            )


def _with_folder(own: dict[str, object] | None, models: Path) -> dict[str, object] | None:
    """An arm's settings with its reward model where this run makes it."""
    if not own or "reward_model" not in own:
        return own
    return own | {"reward_model": str(models / str(own["reward_model"]))}
