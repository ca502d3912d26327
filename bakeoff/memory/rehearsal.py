"""A batch of a run, rehearsed for its bytes: the run's own engine and sampler, without weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from bakeoff.aggregation import loss_weights
from bakeoff.batch import TokenBatch, numbered_prompts, take
from bakeoff.config import ModelConfig, OptimizerConfig, SamplingConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Algorithm, NoiseAddress, Source
from bakeoff.logprobs import LOGITS_PER_TILE
from bakeoff.memory.attribution import AllocationTracker
from bakeoff.memory.components import Component
from bakeoff.memory.decoding import Begun, having_written, last_growth
from bakeoff.memory.moments import COMPONENTS, Bytes, Moments, moments
from bakeoff.memory.owners import weight_tensors
from bakeoff.memory.weightless import Weightless
from bakeoff.micro_batches import Cuts, balanced, by_length, by_prompt, micro_batches
from bakeoff.models.attention import shares_prompts
from bakeoff.models.loading import Policy
from bakeoff.rollouts.attention import BY_PRODUCTS
from bakeoff.rollouts.cache import ROOM
from bakeoff.rollouts.mixed import MixedSampler
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.types import Problem, Prompt
from bakeoff.world import autocast_dtype

PHASES = ("load", "sample", "score", "annotate", "update")

# Responses of these lengths are sampled; more tokens add the same bytes each.
_SHORT, _LONG = 3, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The settings of a run that its memory depends on; the worst case is rehearsed.

    Every response has `max_response_tokens`, and every rollout enters the loss.
    """

    prompt_tokens: int
    model: ModelConfig
    sampling: SamplingConfig
    training: TrainingConfig
    device_type: str = "cuda"  # that the run will be on; the rehearsal needs none

    @property
    def row_tokens(self) -> int:
        """Tokens of a prompt and its response."""
        return self.prompt_tokens + self.sampling.max_response_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What is live in each phase of a batch in the middle of a run."""

    phases: Mapping[str, Moments]
    parameters: int
    trained_parameters: int  # of policy and critic
    micro_batch_tokens: int  # of the largest micro-batch that was rehearsed
    largest_layer_bytes: int  # float32 weights of the largest layer, embedding or output head


def rehearse(architecture: PretrainedConfig, algorithm: Algorithm, workload: Workload) -> Rehearsal:
    """The bytes of every phase of a run of `algorithm`, by the code that a run takes.

    Nothing of the model's size is allocated and no GPU is needed. The kernels are those of the
    CPU. Rows beyond two micro-batches change no peak and are left out.
    """
    with _stage(architecture, algorithm, workload) as stage:
        return stage.play()


def rehearse_update(
    architecture: PretrainedConfig, algorithm: Algorithm, workload: Workload
) -> Rehearsal:
    """The update alone, of two micro-batches as large as `workload` allows."""
    with _stage(architecture, algorithm, workload) as stage:
        return stage.play_update()


@contextmanager
def _stage(
    architecture: PretrainedConfig, algorithm: Algorithm, workload: Workload
) -> Iterator[_Stage]:
    mode, tracker = Weightless(), AllocationTracker(keep_events=True)
    # The tensors of a rehearsal say that they are on the CPU, whatever they stand for.
    tile = {"cpu": LOGITS_PER_TILE[workload.device_type]}
    places = {"cpu": ROOM[workload.device_type]}
    products = {"cpu": BY_PRODUCTS[workload.device_type]}
    with (
        patch.dict(LOGITS_PER_TILE, tile),
        patch.dict(ROOM, places),
        patch.dict(BY_PRODUCTS, products),
        mode,
        tracker,
    ):
        yield _Stage(mode, tracker, architecture, algorithm, workload)


class _Stage:
    """The moving parts of one rehearsal."""

    def __init__(
        self,
        mode: Weightless,
        tracker: AllocationTracker,
        architecture: PretrainedConfig,
        algorithm: Algorithm,
        workload: Workload,
    ) -> None:
        self._mode = mode
        self._tracker = tracker
        self._algorithm = algorithm
        self._workload = workload
        self._spans: dict[str, tuple[int, int]] = {}
        self._decoding: tuple[tuple[int, int], ...] = ()  # the last token, at two lengths
        self._since_growth = 0  # tokens, of the cache
        self._copied = 0.0  # share of it, when it grew
        self._prompt_bytes = 0  # of the cache, where rows share them
        self._layers = int(architecture.num_hidden_layers)
        dtype = autocast_dtype(workload.model)
        with mode.building():
            model = AutoModelForCausalLM.from_config(architecture, dtype=torch.float32).eval()
            self._largest_layer_bytes = largest_layer_bytes(model)
            self._parameters = int(model.num_parameters())
            policy = Policy(
                model=model, tokenizer=Speechless(), eos_token_ids=(-1,), pad_token_id=0
            )
            self._engine = LocalEngine(
                policy,
                algorithm.plan,
                optimizer=OptimizerConfig(),
                training=workload.training,
                temperature=workload.sampling.temperature,
                autocast_dtype=dtype,
                init_seed=0,
            )
            self._sampler: TransformersSampler | MixedSampler = TransformersSampler(
                policy, autocast_dtype=dtype
            )
            if algorithm.plan.source is Source.MIXED_POLICY:
                mixed = MixedSampler(policy, self._sampler, share=0.0, autocast_dtype=dtype)
                tracker.own(Component.REFERENCE, weight_tensors(mixed.initial))
                self._sampler = mixed
        self._model: PreTrainedModel = model
        self._own()
        self._spans["load"] = (0, self._now())

    def play(self) -> Rehearsal:
        """All phases of a batch that is not the first."""
        live = self._algorithm.plan.source in (Source.CURRENT_POLICY, Source.MIXED_POLICY)
        rows = self._rows()
        if not live:
            # A pool is sampled and scored before the first update.
            self._sample(rows)
        self._first_update()
        if live:
            self._sample(rows)
        batch = self._batch(rows)
        with self._phase("annotate"):
            batch = _known(self._engine.annotate(batch))
        with self._phase("update"):
            self._update(batch)
        return self._found(batch)

    def play_update(self) -> Rehearsal:
        """An update that is not the first, of two whole micro-batches."""
        self._first_update()
        batch = self._batch(self._whole_rows())
        with self._phase("update"):
            self._update(batch)
        return self._found(batch)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = self._now()
        yield
        self._spans[name] = (start, self._now())

    def _found(self, updated: TokenBatch) -> Rehearsal:
        self._own()
        events = self._tracker.timeline()
        phases = {name: moments(events, span) for name, span in self._spans.items()}
        if self._decoding:
            phases["sample"] = phases["sample"].beside(*self._last_tokens(events))
        owners = self._engine.memory_owners()
        weights = [*owners[Component.POLICY_WEIGHTS], *owners[Component.CRITIC_WEIGHTS]]
        return Rehearsal(
            phases={name: phases[name] for name in PHASES if name in phases},
            parameters=self._parameters,
            trained_parameters=sum(w.numel() for w in weights if w.requires_grad),
            micro_batch_tokens=self._most_tokens(updated),
            largest_layer_bytes=self._largest_layer_bytes,
        )

    @property
    def _rollouts(self) -> int:
        return self._workload.training.problems_per_step * self._algorithm.plan.group_size

    def _cuts(self, rows: int, *, size: int) -> Cuts:
        """The micro-batches of as many rows, group after group, of up to `size` tokens."""
        if not shares_prompts(self._model):
            return by_length([self._workload.row_tokens] * rows, size=size)
        prompts = [row // self._algorithm.plan.group_size for row in range(rows)]
        heads = [self._workload.prompt_tokens] * rows
        tails = [self._workload.sampling.max_response_tokens] * rows
        return by_prompt(prompts, heads, tails, size=size)

    def _rows(self) -> int:
        """Rows of two micro-batches of the batch, which is cut into equal ones; or all."""
        size = self._workload.training.micro_batch_tokens
        cuts = balanced(lambda size: self._cuts(self._rollouts, size=size), size)
        return cuts[:2][-1][1]

    def _whole_rows(self) -> int:
        """Rows of two micro-batches as large as they may be."""
        size = self._workload.training.micro_batch_tokens
        enough = 2 * (1 + size // self._workload.sampling.max_response_tokens)
        return self._cuts(enough, size=size)[:2][-1][1]

    def _most_tokens(self, batch: TokenBatch) -> int:
        """Of the largest micro-batch of an update."""
        shared = shares_prompts(self._model)
        cuts = micro_batches(
            batch,
            max_tokens=self._workload.training.micro_batch_tokens,
            rows=torch.arange(len(batch.groups)),
            shared_prompts=shared,
        )
        return max(
            int(part.response_mask.sum())
            + self._workload.prompt_tokens
            * (len(numbered_prompts(part)[1]) if shared else len(part.groups))
            for part in (take(batch, cut) for cut in cuts)
        )

    def _first_update(self) -> None:
        """Makes the optimizers' states, which then stay."""
        self._update(self._batch(min(2, self._rollouts)))

    def _batch(self, rows: int) -> TokenBatch:
        """As many rollouts of full length, every second one correct."""
        sampling = self._workload.sampling
        length, width = sampling.max_response_tokens, self._workload.row_tokens
        group = min(self._algorithm.plan.group_size, rows)
        odd = torch.arange(rows) % 2 == 1
        groups = torch.arange(rows) // group
        input_ids = torch.zeros(rows, width, dtype=torch.int64)
        input_ids[:, 0] = groups  # a prompt of its own for each
        with self._mode.computing():
            zeros = torch.zeros(rows, length)
        return TokenBatch(
            input_ids=input_ids,
            attention_mask=torch.ones(rows, width, dtype=torch.bool),
            response_mask=torch.ones(rows, length, dtype=torch.bool),
            groups=groups,
            correct=odd,
            rewards=odd.float(),
            truncated=torch.zeros(rows, dtype=torch.bool),
            step_rewards=zeros.clone(),
            step_mask=torch.ones(rows, length, dtype=torch.bool),
            sampler_logprobs=zeros.clone(),
            old_logprobs=zeros.clone(),
            ref_logprobs=zeros.clone(),
            old_values=zeros,
        )

    def _update(self, batch: TokenBatch) -> None:
        plan, training = self._algorithm.plan, self._workload.training
        if not plan.needs_old_logprobs:
            batch = replace(batch, old_logprobs=None)
        with self._mode.computing():
            credit = self._algorithm.assign_credit(batch)
            credit = replace(credit, keep=torch.ones_like(batch.correct))
            weights = loss_weights(
                batch.response_mask,
                credit.keep,
                training.aggregation or plan.aggregation,
                max_response_tokens=self._workload.sampling.max_response_tokens,
            )
        self._engine.update(batch, credit, weights, self._algorithm.token_losses)
        self._engine.publish_policy(self._sampler)

    def _sample(self, rows: int) -> None:
        """Notes the bytes of sampling a batch and of scoring it."""
        plan = self._algorithm.plan
        if plan.source not in (Source.DEMONSTRATIONS, Source.GOLD):
            self._decode()
        with self._phase("score"):
            self._batch(rows)

    def _decode(self) -> None:
        """Notes the bytes of reading the prompts, and those of the last token."""
        sampling = self._workload.sampling
        begin = self._now()
        limit = sampling.max_response_tokens
        first, begun = self._draw(min(limit, _LONG))
        if limit <= _LONG:
            self._spans["sample"] = (begin, first[-1])
            return
        self._spans["sample"] = (begin, first[0])
        grown, self._copied = last_growth(
            limit,
            prompt_tokens=self._workload.prompt_tokens,
            device_type=self._workload.device_type,
            branched=begun.prompt_bytes > 0,
        )
        (short, _), (long, begun) = (self._draw(each, written=grown) for each in (_SHORT, _LONG))
        self._decoding = ((short[-2], short[-1]), (long[-2], long[-1]))
        self._since_growth = limit - grown
        self._prompt_bytes = begun.prompt_bytes

    def _last_tokens(self, events: Sequence[tuple[float, Component, int]]) -> list[Bytes]:
        """[components] bytes at the last token, and when the cache last grew."""
        short, long = (moments(events, span).highest() for span in self._decoding)
        more = (self._since_growth - _LONG) / (_LONG - _SHORT)
        last = long + np.ceil(more * (long - short)).astype(np.int64)
        grown = last.copy()
        for which in (Component.ACTIVATIONS, Component.LOGITS):
            grown[COMPONENTS.index(which)] = 0
        # A layer at a time is copied, and what it held is there beside it.
        cache = COMPONENTS.index(Component.KV_CACHE)
        grown[cache] += int(self._copied * (last[cache] - self._prompt_bytes) / self._layers)
        return [last, grown]

    def _draw(self, length: int, *, written: int = 0) -> tuple[list[int], Begun]:
        """Samples; when each forward pass after that of the prompts began, and the end.

        Rows have written so many tokens before.
        """
        plan, sampling = self._algorithm.plan, self._workload.sampling
        at_once = max(1, sampling.sampling_rows // plan.group_size)
        problems = min(at_once, self._workload.training.problems_per_step)
        # Prompts of two lengths, as real ones, so that they are padded.
        tokens = self._workload.prompt_tokens
        prompts = [_prompt(name, max(1, tokens - (name > 0))) for name in range(problems)]
        starts: list[int] = []
        hook = self._model.base_model.register_forward_pre_hook(
            lambda *_: starts.append(self._now())
        )
        with having_written(written) as begun:
            self._sampler.sample(
                prompts,
                group_size=plan.group_size,
                sampling=replace(sampling, max_response_tokens=length),
                noise=NoiseAddress(seed=0, batch=0),
            )
        hook.remove()
        return [*starts[1:], self._now()], begun

    def _own(self) -> None:
        for which, tensors in self._engine.memory_owners().items():
            self._tracker.own(which, tensors)

    def _now(self) -> int:
        return len(self._tracker.timeline())


def largest_layer_bytes(model: PreTrainedModel) -> int:
    """Bytes of the largest decoder layer, embedding or output head, as stored."""
    layers: Iterable[Any] = model.base_model.layers
    units = [model.get_input_embeddings(), model.get_output_embeddings(), *layers]
    present = [list(unit.parameters()) for unit in units if unit is not None]
    return max(sum(int(parameter.nbytes) for parameter in each) for each in present)


def _known(batch: TokenBatch) -> TokenBatch:
    """The batch with zeros for annotations, for a method may count by values."""
    names = ("old_logprobs", "ref_logprobs", "old_values")
    there = [name for name in names if getattr(batch, name) is not None]
    return replace(batch, **{name: batch.sampler_logprobs.clone() for name in there})


def _prompt(name: int, tokens: int) -> Prompt:
    problem = Problem(id=str(name), question="", answer="")
    return Prompt(problem=problem, text="", token_ids=(0,) * tokens)


class Speechless:
    """Stands for a tokenizer, where no text is read."""

    def decode(self, token_ids: object, **_: object) -> str:
        return ""
