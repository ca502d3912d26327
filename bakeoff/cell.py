"""One run from start to end: put together, trained, evaluated, recorded, resumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bakeoff import checkpoint, records
from bakeoff.batch import collate
from bakeoff.canaries import Canaries
from bakeoff.config import CellConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.engine.settings import check_engine
from bakeoff.errors import ConfigError
from bakeoff.evaluate import transcripts
from bakeoff.identity import check_compatible, config_record, require_same_run
from bakeoff.interfaces import Algorithm, Plan, RewardFunction, RolloutSource, Source
from bakeoff.journal import Echo, Journal
from bakeoff.ledger import Ledger
from bakeoff.locks import exclusive_folder
from bakeoff.loop import Trainer
from bakeoff.memory.components import Component
from bakeoff.memory.owners import weight_tensors
from bakeoff.memory.tracker import PeakMemory
from bakeoff.metrics import achieved_kl
from bakeoff.models.flops import flops_model
from bakeoff.ranks import Ranks, join_ranks
from bakeoff.records import Row, RunDirectory
from bakeoff.rewards.gold import CONTROLS, gold_rewards
from bakeoff.rewards.once import RewardedOnce
from bakeoff.rewards.refitting import build_refit
from bakeoff.rewards.registry import load_reward
from bakeoff.rewards.scoring_model import scoring_model
from bakeoff.rollouts.demonstrations import DemonstrationSource
from bakeoff.rollouts.mixed import MixedSampler
from bakeoff.rollouts.sources import LiveSource, PoolSource, RolloutMaker
from bakeoff.types import Rollout, Split
from bakeoff.weight_probe import WeightProbe
from bakeoff.world import World, autocast_dtype, build_world

if TYPE_CHECKING:
    from bakeoff.engine.deepspeed import DeepSpeedEngine


def run_cell(
    config: CellConfig,
    algorithm: Algorithm,
    directory: RunDirectory,
    *,
    echo: Echo | None = None,
    memory: Callable[[torch.device], PeakMemory] = PeakMemory,
) -> None:
    """Trains one cell to its budget, from its last checkpoint if there is one.

    `echo` gets a line a batch, for people; `memory` makes what measures it. Where a launcher has
    started this process as one of several ranks, all of them call this.

    Raises:
        ConfigError: before anything is written.
        BakeoffError: a canary stopped the run; the status says why.
    """
    check_compatible(config, algorithm)
    check_engine(config)
    record = config_record(config, algorithm)
    require_same_run(directory, record)
    ranks = join_ranks(config.model.device)
    say = echo if echo is not None and ranks.first else (lambda _: None)
    # A launcher that was killed leaves its cell behind, and its successor starts the cell again.
    waits = partial(say, f"{directory.path} is being trained by another process; waiting for it")
    with exclusive_folder(directory.path, on_wait=waits) if ranks.first else nullcontext():
        finished = ranks.once(lambda: _finished(directory, record))
        if finished:
            say(f"{directory.path} is finished already")
            return
        _build_and_run(config, algorithm, directory, record, ranks, echo, memory)
        # Nobody lets go of the folder, or of a connection, before all are done with it.
        ranks.gather(None)


def _finished(directory: RunDirectory, record: dict[str, Any]) -> bool:
    require_same_run(directory, record)
    return directory.state == "finished"


def _build_and_run(
    config: CellConfig,
    algorithm: Algorithm,
    directory: RunDirectory,
    record: dict[str, Any],
    ranks: Ranks,
    echo: Echo | None,
    memory: Callable[[torch.device], PeakMemory],
) -> None:
    def journal_with(ledger: Ledger) -> Journal:
        return Journal(directory, record, ledger, ranks=ranks, echo=echo)

    try:
        world = build_world(config, ranks=ranks)
    except Exception as error:
        journal_with(Ledger(PeakMemory(torch.device("cpu")))).fail_unbegun(error)
        raise
    try:
        ledger = Ledger(memory(world.policy.model.device), ranks)
        _run(world, algorithm, journal_with(ledger), ledger)
    finally:
        world.verifier.close()


def _run(world: World, algorithm: Algorithm, journal: Journal, ledger: Ledger) -> None:
    try:
        # Whatever the settings can get wrong comes out here, before there is a folder.
        run = _Run(world, algorithm, journal, ledger)
    except Exception as error:
        journal.fail_unbegun(error)
        raise
    journal.begin()
    try:
        run.to_the_end()
    except Exception as error:
        journal.fail(error)
        raise


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
        journal: Journal,
        ledger: Ledger,
    ) -> None:
        config = world.config
        self._world = world
        self._config = config
        self._journal = journal
        self._ledger = ledger
        flops = flops_model(world.policy.model)
        dtype = autocast_dtype(config.model)
        with self._ledger.phase("load"):
            self._engine = _engine(world, algorithm.plan)
            reward = load_reward(config.reward, world.reward_context())
            prompts = world.training_prompts()
        self._ledger.watch(self._engine.memory_owners)
        _require_rewards(algorithm.plan, reward)
        self._refit = build_refit(algorithm.plan.iteration, reward, world, self._ledger)
        reward_model = scoring_model(reward)
        # One that is refitted is trained whole on every rank.
        cut = (
            reward_model is not None
            and self._refit is None
            and self._engine.cut_reward_model(reward_model)
        )
        if not cut:
            self._ledger.watch(lambda: {Component.REWARD_MODEL: weight_tensors(reward_model)})
        judged: RewardFunction = reward
        if world.ranks.count > 1:
            judged = RewardedOnce(reward, world.ranks, together=cut)
        maker = RolloutMaker(
            prompts=prompts,
            sampler=world.shared_sampler,
            reward=judged,
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
            gold_rewards=partial(gold_rewards, world=world, reward=judged),
            reward_judges=config.reward.reward not in CONTROLS,
        )
        self._trainer = Trainer(
            config=config,
            algorithm=algorithm,
            source=self._source(algorithm, maker),
            sampler=world.shared_sampler,
            engine=self._engine,
            ledger=self._ledger,
            ranks=world.ranks,
            flops=flops,
            canaries=self._canaries,
            probe=WeightProbe(
                prompts[0],
                sampler=world.shared_sampler,
                engine=self._engine,
                sampling=config.sampling,
                seed=world.seeds.sampling,
                pad_token_id=world.policy.pad_token_id,
            ),
            seeds=world.seeds,
            pad_token_id=world.policy.pad_token_id,
            reward_model=None if cut else reward_model,
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
            self._journal.batch(done, metrics, reached)
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
                    world.shared_sampler,
                    share=plan.offline_share,
                    autocast_dtype=autocast_dtype(self._config.model),
                    ranks=world.ranks,
                )
                self._ledger.watch(lambda: {Component.REFERENCE: weight_tensors(mixed.initial)})
                return LiveSource(replace(maker, sampler=mixed), rounds=plan.sampling_rounds)
            case Source.INITIAL_POLICY:
                if plan.pool is None:
                    raise ConfigError(f"{self._config.method} samples a pool but plans none")
                return PoolSource(
                    maker,
                    plan.pool,
                    path=self._journal.directory.pool,
                    budget=self._config.budget,
                    ranks=world.ranks,
                    on_chunk=self._journal.pool,
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

    def _evaluate(self, done: int, *, final: bool, samples: int) -> None:
        with self._ledger.phase("evaluate"):
            rows: list[Row] = []
            shown: list[Row] = []
            for evaluator in (self._evaluator, self._ood_evaluator if final or not done else None):
                if evaluator is None:
                    continue
                found, rollouts = evaluator.records(samples=samples, greedy=True)
                kl = self._achieved_kl(rollouts)
                place = {"batch": done, "final": final, **self._ledger.position()}
                rows += [place | row | {"kl_to_start": kl} for row in found]
                if evaluator is self._evaluator and (final or not done):
                    shown = [place | row for row in transcripts(rollouts)]
            self._journal.evaluation(rows, shown)

    def _achieved_kl(self, rollouts: Sequence[Rollout]) -> float | None:
        batch = collate(rollouts, pad_token_id=self._world.policy.pad_token_id)
        return achieved_kl(self._engine.measure(batch), self._engine.policy_logprobs(batch))

    def _save(self, path: Path, done: int) -> None:
        self._engine.save(path)
        if not self._world.ranks.first:
            return
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

    def _checkpoint(self, done: int) -> None:
        self._journal.checkpoint(done, lambda path: self._save(path, done))

    def _resume(self) -> int:
        """Batches done so far; the state is that of the last checkpoint."""
        path = checkpoint.latest_checkpoint(self._journal.directory.checkpoints)
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
        self._journal.keep_through(done if done else -1, "metrics", "evaluations", "transcripts")
        return done

    def _finish(self, done: int) -> None:
        # A process killed between here and the last checkpoint has written these rows already.
        self._journal.keep_through(done - 1, "evaluations", "transcripts")
        self._evaluate(done, final=True, samples=self._config.evaluation.final_samples)
        self._journal.policy(self._engine.save_policy)
        self._checkpoint(done)
        self._journal.finish(collapsed=self._canaries.collapsed)


def _engine(world: World, plan: Plan) -> LocalEngine | DeepSpeedEngine:
    config = world.config
    make: Callable[..., LocalEngine | DeepSpeedEngine] = LocalEngine
    if config.engine.engine == "deepspeed":
        # Seconds to import, and not on every machine.
        from bakeoff.engine.deepspeed import DeepSpeedEngine

        make = partial(DeepSpeedEngine, settings=config.engine, ranks=world.ranks)
    return make(
        world.policy,
        plan,
        optimizer=config.optimizer,
        training=config.training,
        temperature=config.sampling.temperature,
        autocast_dtype=autocast_dtype(config.model),
        init_seed=world.seeds.initialisation,
    )
