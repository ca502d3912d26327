"""One run from start to end: put together, trained, evaluated, recorded, resumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bakeoff import checkpoint, records
from bakeoff.canaries import Canaries
from bakeoff.config import CellConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.errors import ConfigError
from bakeoff.evaluate import achieved_kl, transcripts
from bakeoff.failures import failure_kind, record_failure
from bakeoff.identity import check_compatible, config_record, require_same_run
from bakeoff.interfaces import Algorithm, Plan, RewardFunction, RolloutSource, Source
from bakeoff.ledger import Ledger
from bakeoff.locks import exclusive_folder
from bakeoff.loop import Trainer
from bakeoff.memory.components import Component
from bakeoff.memory.owners import weight_tensors
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.records import RunDirectory
from bakeoff.rewards.gold import CONTROLS, gold_rewards
from bakeoff.rewards.refitting import build_refit
from bakeoff.rewards.registry import load_reward
from bakeoff.rewards.scoring_model import scoring_model
from bakeoff.rollouts.demonstrations import DemonstrationSource
from bakeoff.rollouts.mixed import MixedSampler
from bakeoff.rollouts.sources import LiveSource, PoolSource, RolloutMaker
from bakeoff.types import Split
from bakeoff.weight_probe import WeightProbe
from bakeoff.world import World, autocast_dtype, build_world

Echo = Callable[[str], None]


def run_cell(
    config: CellConfig,
    algorithm: Algorithm,
    directory: RunDirectory,
    *,
    echo: Echo | None = None,
    memory: Callable[[torch.device], PeakMemory] = PeakMemory,
) -> None:
    """Trains one cell to its budget, from its last checkpoint if there is one.

    `echo` gets a line a batch, for people; `memory` makes what measures it.

    Raises:
        ConfigError: before anything is written.
        BakeoffError: a canary stopped the run; the status says why.
    """
    check_compatible(config, algorithm)
    record = config_record(config, algorithm)
    require_same_run(directory, record)
    say = echo or (lambda _: None)
    # A launcher that was killed leaves its cell behind, and its successor starts the cell again.
    waits = partial(say, f"{directory.path} is being trained by another process; waiting for it")
    with exclusive_folder(directory.path, on_wait=waits):
        require_same_run(directory, record)
        if directory.state == "finished":
            say(f"{directory.path} is finished already")
            return
        _build_and_run(config, algorithm, directory, record, echo, memory)


def _build_and_run(
    config: CellConfig,
    algorithm: Algorithm,
    directory: RunDirectory,
    record: dict[str, Any],
    echo: Echo | None,
    memory: Callable[[torch.device], PeakMemory],
) -> None:
    try:
        world = build_world(config)
    except Exception as error:
        _record_unfit(error, directory, record, Ledger(PeakMemory(torch.device("cpu"))))
        raise
    try:
        ledger = Ledger(memory(world.policy.model.device))
        _run(world, algorithm, directory, record, ledger, echo)
    finally:
        world.verifier.close()


def _run(
    world: World,
    algorithm: Algorithm,
    directory: RunDirectory,
    record: dict[str, Any],
    ledger: Ledger,
    echo: Echo | None,
) -> None:
    try:
        # Whatever the settings can get wrong comes out here, before there is a folder.
        run = _Run(world, algorithm, directory, ledger, echo)
    except Exception as error:
        _record_unfit(error, directory, record, ledger)
        raise
    _begin(directory, record)
    try:
        run.to_the_end()
    except Exception as error:
        record_failure(error, directory, ledger)
        raise


def _begin(directory: RunDirectory, record: Mapping[str, Any]) -> None:
    directory.path.mkdir(parents=True, exist_ok=True)
    if not directory.config.exists():
        records.write_json(directory.config, record)
    directory.write_status("running")


def _record_unfit(
    error: Exception, directory: RunDirectory, record: Mapping[str, Any], ledger: Ledger
) -> None:
    """Models that do not fit are a result; any other fault before a run leaves nothing behind."""
    if failure_kind(error) == "out_of_memory":
        _begin(directory, record)
        record_failure(error, directory, ledger)


def _require_rewards(plan: Plan, reward: RewardFunction) -> None:
    if plan.process_supervision and not reward.scores_steps:
        raise ConfigError(
            "this method is supervised step by step, but its reward scores whole responses: set "
            "reward `steps`, or `model` with a process reward model"
        )


class _Run:
    """The moving parts of a cell and the records they leave."""

    def __init__(
        self,
        world: World,
        algorithm: Algorithm,
        directory: RunDirectory,
        ledger: Ledger,
        echo: Echo | None,
    ) -> None:
        config = world.config
        self._echo = echo
        self._world = world
        self._config = config
        self._directory = directory
        self._ledger = ledger
        flops = flops_model(world.policy.model)
        dtype = autocast_dtype(config.model)
        with self._ledger.phase("load"):
            self._engine = LocalEngine(
                world.policy,
                algorithm.plan,
                optimizer=config.optimizer,
                training=config.training,
                temperature=config.sampling.temperature,
                autocast_dtype=dtype,
                init_seed=world.seeds.initialisation,
            )
            reward = load_reward(config.reward, world.reward_context())
            prompts = world.training_prompts()
        self._ledger.watch(self._engine.memory_owners)
        self._ledger.watch(lambda: {Component.REWARD_MODEL: weight_tensors(scoring_model(reward))})
        _require_rewards(algorithm.plan, reward)
        self._refit = build_refit(algorithm.plan.iteration, reward, world, self._ledger)
        maker = RolloutMaker(
            prompts=prompts,
            sampler=world.sampler,
            reward=reward,
            sampling=config.sampling,
            ledger=self._ledger,
            seeds=world.seeds,
            flops=flops,
            group_size=algorithm.plan.group_size,
            problems_per_step=config.training.problems_per_step,
        )
        evaluation = config.evaluation
        self._evaluator = world.evaluator(
            evaluation.evaluation_split, problems=evaluation.evaluation_problems
        )
        self._ood_evaluator = world.evaluator(Split.OOD, problems=evaluation.ood_problems)
        if self._evaluator is None:
            raise ConfigError(
                f"task {world.task.name!r} has no {evaluation.evaluation_split.value} problems; "
                "choose another evaluation_split"
            )
        self._canaries = Canaries(
            autocast_dtype=dtype,
            verifier_error_ceiling=config.task.verifier_error_ceiling,
            sampling=config.sampling,
            gold_rewards=partial(gold_rewards, world=world, reward=reward),
            reward_judges=config.reward.reward not in CONTROLS,
        )
        self._trainer = Trainer(
            config=config,
            algorithm=algorithm,
            source=self._source(algorithm, maker),
            sampler=world.sampler,
            engine=self._engine,
            ledger=self._ledger,
            flops=flops,
            canaries=self._canaries,
            probe=WeightProbe(
                prompts[0],
                sampler=world.sampler,
                engine=self._engine,
                sampling=config.sampling,
                seed=world.seeds.sampling,
                pad_token_id=world.policy.pad_token_id,
            ),
            seeds=world.seeds,
            pad_token_id=world.policy.pad_token_id,
            reward_model=scoring_model(reward),
            refit=self._refit,
        )

    def to_the_end(self) -> None:
        self._trainer.source.prepare()
        finished = self._resume()
        if finished == 0 and self._config.evaluation.evaluate_start:
            self._evaluate(0, final=False, samples=self._config.evaluation.final_samples)
        points = self._config.evaluation.evaluations
        reached = self._trainer.progress(finished)
        done = finished
        for done, metrics in self._trainer.train(done=finished):
            before, reached = reached, self._trainer.progress(done)
            self._record(done, metrics, reached)
            if reached < 1 and math.floor(reached * points) > math.floor(before * points):
                self._evaluate(
                    done, final=False, samples=self._config.evaluation.evaluation_samples
                )
            every = self._config.training.checkpoint_every
            if every and done % every == 0:
                self._checkpoint(done)
        self._finish(done)

    def _source(self, algorithm: Algorithm, maker: RolloutMaker) -> RolloutSource:
        world, plan = self._world, algorithm.plan
        match plan.source:
            case Source.CURRENT_POLICY:
                return LiveSource(maker, rounds=plan.sampling_rounds)
            case Source.MIXED_POLICY:
                mixed = MixedSampler(
                    world.policy,
                    world.sampler,
                    share=plan.offline_share,
                    autocast_dtype=autocast_dtype(self._config.model),
                )
                self._ledger.watch(lambda: {Component.REFERENCE: weight_tensors(mixed.initial)})
                return LiveSource(replace(maker, sampler=mixed), rounds=plan.sampling_rounds)
            case Source.INITIAL_POLICY:
                if plan.pool is None:
                    raise ConfigError(f"{self._config.method} samples a pool but plans none")
                return PoolSource(
                    maker,
                    plan.pool,
                    path=self._directory.pool,
                    budget=self._config.budget,
                    on_chunk=lambda groups: self._directory.write_status(
                        "running", message=f"pool: {groups} problems sampled"
                    ),
                )
            case Source.DEMONSTRATIONS | Source.GOLD:
                task = world.task
                gold = plan.source is Source.GOLD
                solutions = task.gold_demonstrations if gold else task.demonstrations
                return DemonstrationSource(
                    lambda: solutions(seed=world.seeds.data),
                    world.prompts,
                    world.policy.tokenizer,
                    eos_token_id=world.policy.eos_token_ids[0],
                    per_batch=maker.problems_per_step * plan.group_size,
                    updates=plan.updates,
                )

    def _record(self, done: int, metrics: Mapping[str, Any], reached: float) -> None:
        ledger = self._ledger.snapshot()
        records.append_lines(
            self._directory.metrics,
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
        self._directory.write_status(
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

    def _evaluate(self, done: int, *, final: bool, samples: int) -> None:
        with self._ledger.phase("evaluate"):
            rows = []
            for evaluator in (self._evaluator, self._ood_evaluator if final or not done else None):
                if evaluator is None:
                    continue
                found, rollouts = evaluator.records(samples=samples, greedy=True)
                kl = achieved_kl(
                    self._engine, rollouts, pad_token_id=self._world.policy.pad_token_id
                )
                place = {"batch": done, "final": final, **self._ledger.position()}
                rows += [place | row | {"kl_to_start": kl} for row in found]
                if evaluator is self._evaluator and (final or not done):
                    records.append_lines(
                        self._directory.transcripts,
                        [place | row for row in transcripts(rollouts)],
                    )
            records.append_lines(self._directory.evaluations, rows)

    def _checkpoint(self, done: int) -> None:
        with self._ledger.phase("checkpoint"):
            checkpoint.write_checkpoint(
                self._directory.checkpoints, done, lambda path: self._save(path, done)
            )
        records.write_json(self._directory.ledger, self._ledger.snapshot())

    def _save(self, path: Path, done: int) -> None:
        self._engine.save(path)
        if self._refit is not None:
            self._refit.save(path)
        checkpoint.save_random_state(path / "random.safetensors")
        records.write_json(
            path / "progress.json",
            {
                "batch": done,
                "ledger": self._ledger.snapshot(),
                "canaries": self._canaries.state(),
            },
        )

    def _resume(self) -> int:
        """Batches done so far; the state is that of the last checkpoint."""
        path = checkpoint.latest_checkpoint(self._directory.checkpoints)
        done = 0
        if path is not None:
            progress = records.read_json(path / "progress.json")
            done = int(progress["batch"])
            self._engine.load(path)
            if self._refit is not None:
                self._refit.load(path)
            checkpoint.load_random_state(path / "random.safetensors")
            self._ledger.restore(progress["ledger"])
            self._canaries.restore(progress["canaries"])
            self._engine.publish_policy(self._world.sampler)
        for name in ("metrics", "evaluations", "transcripts"):
            file: Path = getattr(self._directory, name)
            if file.exists():
                records.keep_lines_through(file, done if done else -1)
        return done

    def _finish(self, done: int) -> None:
        # A process killed between here and the last checkpoint has written these rows already.
        for file in (self._directory.evaluations, self._directory.transcripts):
            records.keep_lines_through(file, done - 1)
        self._evaluate(done, final=True, samples=self._config.evaluation.final_samples)
        with self._ledger.phase("checkpoint"):
            checkpoint.replace_directory(self._directory.policy, self._engine.save_policy)
        self._checkpoint(done)
        last = records.read_json(self._directory.status)
        shown = {name: last[name] for name in ("reward", "tokens_per_second") if name in last}
        collapsed = self._canaries.collapsed
        self._directory.write_status(
            "finished",
            progress=1.0,
            message=collapsed or "",
            collapsed=collapsed is not None,
            step=self._ledger.optimizer_steps,
            **shown,
        )
