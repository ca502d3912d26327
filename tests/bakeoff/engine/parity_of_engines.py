"""One rank of a group that trains the same on the local engine and on DeepSpeed.

Started by `test_deepspeed.py`; the first rank writes how far the two are apart.
"""

import copy
import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["DS_ACCELERATOR"] = "cpu"

import torch
from safetensors.torch import load_file

from algorithms import PRESETS
from algorithms.configs import GRPOConfig, OnlineRFTConfig, PPOConfig
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import collate, take
from bakeoff.config import EngineConfig, ModelConfig, OptimizerConfig, TrainingConfig
from bakeoff.engine.deepspeed import DeepSpeedEngine
from bakeoff.engine.local import LocalEngine
from bakeoff.models.loading import Policy, load_policy
from bakeoff.processes import end_rank, failures_told
from bakeoff.ranks import join_ranks

METHODS = PRESETS | {
    "ppo_shared": PPOConfig(critic="shared", critic_head_init="normal"),
    "grpo_no_kl": GRPOConfig(kl_coefficient=0),
    "grpo_moving": GRPOConfig(iteration_batches=1, reset_reference=True),
}
# A norm that some steps exceed and others do not, and steps so small that Adam, which divides by
# the gradient's size, does not blow rounding up.
OPTIMIZER = OptimizerConfig(
    learning_rate=2e-4, max_grad_norm=0.5, learning_rate_warmup_steps=2, weight_decay=0.01
)
# Small weights would be kept whole on every rank.
SHARD_EVERYTHING = {"zero_optimization": {"stage3_param_persistence_threshold": 0}}


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    method: object
    engine: dict
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(micro_batch_tokens=300))
    dtype: torch.dtype | None = None
    correct: int | None = None  # rollouts that are correct; None: every other one
    minibatches: int = 1
    warm_up: int = 0


def cases():
    for stage in (0, 2, 3):
        for name, method in METHODS.items():
            yield Case(
                name=f"{name}, stage {stage}",
                method=method,
                engine={"zero_stage": stage},
                warm_up=name == "ppo_shared",
                minibatches=3 if name == "ppo" else 1,
            )
        # Fewer rows than ranks: one has nothing that counts.
        yield Case(
            name=f"one kept, stage {stage}",
            method=OnlineRFTConfig(),
            engine={"zero_stage": stage},
            correct=1,
        )
        yield Case(
            name=f"nothing kept, stage {stage}",
            method=OnlineRFTConfig(),
            engine={"zero_stage": stage},
            correct=0,
        )
        yield Case(
            name=f"bfloat16, stage {stage}",
            method=PPOConfig(),
            engine={"zero_stage": stage},
            dtype=torch.bfloat16,
        )
    ppo = PPOConfig()
    yield Case(name="ppo, stage 1", method=ppo, engine={"zero_stage": 1})
    yield Case(
        name="optimizer offloaded", method=ppo, engine={"zero_stage": 2, "offload": "optimizer"}
    )
    yield Case(name="all offloaded", method=ppo, engine={"zero_stage": 3, "offload": "both"})
    checkpointing = TrainingConfig(micro_batch_tokens=300, activation_checkpointing=True)
    yield Case(
        name="activation checkpointing",
        method=ppo,
        engine={"zero_stage": 3},
        training=checkpointing,
    )
    for stage in (0, 2):
        adapters = TrainingConfig(micro_batch_tokens=300, lora_rank=4)
        yield Case(
            name=f"adapters, stage {stage}",
            method=ppo,
            engine={"zero_stage": stage},
            training=adapters,
        )


class Bench:
    """Engines on copies of one policy, and one batch for all of them."""

    def __init__(self, folder):
        self.ranks = join_ranks("cpu")
        self.folder = folder
        file = folder / "deepspeed.json"
        if self.ranks.first:
            file.write_text(json.dumps(SHARD_EVERYTHING))
        self.file = str(file)
        self.policy = load_policy(ModelConfig(model="config:builtin"), init_seed=3)
        model = self.policy.model
        # One layer: ZeRO-3 takes its time for every tensor, however small.
        model.config.num_hidden_layers = 1
        del model.model.layers[1:]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3)
        self.batch = collate(sampled_rollouts(self.policy)[:-1], pad_token_id=0)

    def local(self, case):
        return LocalEngine(self._copy(), build(case.method).plan, **self._settings(case))

    def deepspeed(self, case):
        file = self.file if case.engine.get("zero_stage") == 3 else None
        return DeepSpeedEngine(
            self._copy(),
            build(case.method).plan,
            settings=EngineConfig(engine="deepspeed", deepspeed_config=file, **case.engine),
            ranks=self.ranks,
            **self._settings(case),
        )

    def updates(self, engine, case, *, count=3):
        algorithm = build(case.method)
        batch = self.batch
        if case.correct is not None:
            correct = torch.arange(len(batch.groups)) < case.correct
            batch = replace(batch, correct=correct, rewards=correct.float())
        results = []
        for turn in range(count):
            annotated = engine.measure(engine.annotate(batch))
            credit = algorithm.assign_credit(annotated)
            for rows in torch.arange(len(batch.groups)).chunk(case.minibatches):
                part = take(annotated, rows)
                own = take(credit, rows)
                weights = loss_weights(
                    part.response_mask, own.keep, algorithm.plan.aggregation, max_response_tokens=12
                )
                results.append(
                    engine.update(
                        part,
                        own,
                        weights,
                        algorithm.token_losses,
                        critic_only=turn < case.warm_up,
                    )
                )
            if turn == 1 and algorithm.plan.iteration is not None:
                engine.refresh_reference()
        return results

    def _copy(self):
        return replace(self.policy, model=copy.deepcopy(self.policy.model))

    def _settings(self, case):
        return {
            "optimizer": OPTIMIZER,
            "training": case.training,
            "temperature": 0.9,
            "autocast_dtype": case.dtype,
            "init_seed": 0,
        }


def sampled_rollouts(policy: Policy):
    """Those of the fixtures beside this file."""
    path = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("fixtures", path)
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    return fixtures.rollouts_of(policy, fixtures.prompts_of(policy))


def saved_by_all(engine, folder, ranks):
    """What an engine saves, by file and name; every rank calls it, the first one gets it."""
    if ranks.first:
        folder.mkdir()
    ranks.gather(None)
    engine.save(folder)
    return tensors_in(folder) if ranks.first else {}


def tensors_in(folder):
    return {
        f"{path.stem}/{name}": tensor
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def furthest(one, other, *, of):
    """The largest difference between tensors whose names hold a word."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    return max([0.0, *((one[n] - other[n]).abs().max().item() for n in one if of in n)])


def gaps_between(expected, found):
    pairs = list(zip(expected, found, strict=True))
    return {
        "loss": max(abs(a.loss - b.loss) / max(1, abs(a.loss)) for a, b in pairs),
        "critic_loss": max(abs((a.critic_loss or 0) - (b.critic_loss or 0)) for a, b in pairs),
        "grad_norm": max(abs(a.grad_norm - b.grad_norm) / max(1, a.grad_norm) for a, b in pairs),
        "token_means": max(
            (abs(a.token_means[n] - b.token_means[n]) for a, b in pairs for n in a.token_means),
            default=0.0,
        ),
        "same_counts": all(
            (a.kept_rollouts, a.trained_tokens) == (b.kept_rollouts, b.trained_tokens)
            for a, b in pairs
        ),
    }


def compare(bench, case, known):
    """How far the two are apart after the same updates; empty but on the first rank."""
    local = known_of(bench, case, known)
    engine = bench.deepspeed(case)
    checksums = engine.frozen_checksums()
    found = bench.updates(engine, case)
    with TemporaryDirectory(dir=bench.folder) as folder:
        shared = bench.ranks.once(lambda: folder)
        ours = saved_by_all(engine, Path(shared, "saved"), bench.ranks)
        bench.ranks.gather(None)
    if not bench.ranks.first:
        return {}
    theirs = local.tensors
    return gaps_between(local.results, found) | {
        "policy": furthest(theirs, ours, of="policy/"),
        "critic": furthest(theirs, ours, of="critic/"),
        "frozen": furthest(theirs, ours, of="reference/"),
        "moments": furthest(theirs, ours, of="exp_avg"),
        "steps": furthest(theirs, ours, of="step"),
        "same_checksums": checksums == local.checksums,
        "same_version": engine.version == local.version,
        "moments_moved": max([0.0, *(t.max().item() for n, t in theirs.items() if "exp_avg" in n)]),
    }


@dataclass(frozen=True, kw_only=True)
class Local:
    """What the local engine came to."""

    results: list
    checksums: dict
    version: int
    tensors: dict


def known_of(bench, case, known):
    """The local engine's updates, which the stages share."""
    key = repr(replace(case, name="", engine={}))
    if key not in known:
        engine = bench.local(case)
        checksums = engine.frozen_checksums()
        results = bench.updates(engine, case)
        with TemporaryDirectory() as folder:
            engine.save(Path(folder))
            known[key] = Local(
                results=results,
                checksums=checksums,
                version=engine.version,
                tensors=tensors_in(Path(folder)),
            )
    return known[key]


PPO = Case(name="ppo", method=PPOConfig(), engine={"zero_stage": 3})


def resume(bench, before):
    """How far a resumed run is from one that went on; `before` is the folder of another layout."""
    apart = {}
    for stage in (0, 2, 3):
        case = replace(PPO, engine={"zero_stage": stage})
        straight, resumed = bench.deepspeed(case), bench.deepspeed(case)
        bench.updates(straight, case, count=2)
        kept = bench.folder / f"saved-{stage}"
        saved_by_all(straight, kept, bench.ranks)
        bench.ranks.gather(None)
        resumed.load(kept)
        ends = []
        for name, engine in (("straight", straight), ("resumed", resumed)):
            bench.updates(engine, case, count=2)
            ends.append(saved_by_all(engine, bench.folder / f"{name}-{stage}", bench.ranks))
        if before is not None:
            other = bench.deepspeed(case)
            other.load(before / f"saved-{stage}")
            bench.updates(other, case, count=2)
            ends.append(saved_by_all(other, bench.folder / f"other-{stage}", bench.ranks))
        exported = bench.folder / f"policy-{stage}"
        resumed.save_policy(exported)
        if bench.ranks.first:
            apart[f"same layout, stage {stage}"] = furthest(*ends[:2], of="")
            if before is not None:
                apart[f"other layout, stage {stage}"] = furthest(ends[0], ends[2], of="")
    return apart


def main(folder, before=None):
    bench = Bench(folder)
    known, found, seconds = {}, {}, {}
    for case in cases():
        start = time.perf_counter()
        found[case.name] = compare(bench, case, known)
        seconds[case.name] = time.perf_counter() - start
    record = {"gaps": found, "resumed": resume(bench, before), "seconds": seconds}
    if bench.ranks.first:
        (folder / "found.json").write_text(json.dumps(record))


if __name__ == "__main__":
    with failures_told():
        main(*map(Path, sys.argv[1:]))
    end_rank()
