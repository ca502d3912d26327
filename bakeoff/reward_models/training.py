"""Fitting a reward model to labelled solutions, at first and again while a policy trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import get_constant_schedule_with_warmup

from bakeoff import checkpoint
from bakeoff.errors import CanaryError, ConfigError
from bakeoff.records import read_json, write_json
from bakeoff.reward_models.batching import cut_by_tokens
from bakeoff.reward_models.encoding import EncodedSolution
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.metrics import HeldOutMetrics, held_out_metrics
from bakeoff.reward_models.model import LoadedRewardModel
from bakeoff.reward_models.settings import RewardTrainingConfig
from bakeoff.seeds import generator

REPORTS = 20  # progress lines of a fit


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What one `fit` did."""

    solutions: int  # that were trained on
    too_long: int  # left out: longer than the positions of the model
    optimizer_steps: int
    tokens: int  # read, over all passes
    loss: float  # nats a solution, mean of the last pass, before each step
    wall_seconds: float


class RewardModelTrainer:
    """Trains a reward model in place.

    Its optimizer and its place in the data order outlive a fit: fitting the same trainer again
    continues, a new trainer on the same model starts with fresh moments.
    """

    def __init__(
        self, loaded: LoadedRewardModel, config: RewardTrainingConfig, *, seed: int
    ) -> None:
        self._loaded = loaded
        self._config = config
        self._seed = seed
        self._passes = 0
        self._steps = 0
        groups: list[dict[str, Any]] = [{"params": list(loaded.model.backbone.parameters())}]
        if own := list(loaded.model.head.parameters()):
            groups.append({"params": own, "lr": config.head_learning_rate or config.learning_rate})
        self._optimizer = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=0.0, fused=True
        )
        self._schedule = get_constant_schedule_with_warmup(
            self._optimizer, config.learning_rate_warmup_steps
        )

    def fit(
        self, examples: Sequence[LabelledSolution], *, echo: Callable[[str], None] | None = None
    ) -> TrainingResult:
        """`epochs` passes over the examples, each in an order of its own.

        Raises:
            ConfigError: there is no example, or none that the model can read.
            CanaryError: a loss or gradient that is not finite.
        """
        start = time.perf_counter()
        solutions, labels = _encoded(self._loaded, examples)
        if not solutions:
            raise ConfigError(
                f"no labelled solution to train on: {len(examples)} given, none as short as "
                "the positions of the model; give shorter ones, or another model"
            )
        size = self._config.batch_solutions
        batches = -(-len(solutions) // size)
        total = batches * self._config.epochs
        done = 0
        loss = 0.0
        for _ in range(self._config.epochs):
            order = generator(self._seed, "reward_model", self._passes).permutation(len(solutions))
            losses = []
            for first in range(0, len(order), size):
                chosen = order[first : first + size].tolist()
                losses.append(
                    self._step([solutions[i] for i in chosen], [labels[i] for i in chosen])
                )
                done += 1
                if echo is not None and done * REPORTS // total > (done - 1) * REPORTS // total:
                    recent = losses[-max(1, total // REPORTS) :]
                    echo(f"step {done}/{total}  loss {np.mean(recent):.4f}")
            self._passes += 1
            loss = float(np.mean(losses))
        return TrainingResult(
            solutions=len(solutions),
            too_long=len(examples) - len(solutions),
            optimizer_steps=done,
            tokens=self._config.epochs * sum(len(one.token_ids) for one in solutions),
            loss=loss,
            wall_seconds=time.perf_counter() - start,
        )

    def save(self, directory: Path) -> None:
        """Writes weights, optimizer and place in the data order into an existing directory."""
        checkpoint.save_module(directory / "reward_model.safetensors", self._loaded.model)
        checkpoint.save_optimizer(directory / "reward_optimizer", self._optimizer)
        state = {"passes": self._passes, "steps": self._steps}
        write_json(
            directory / "reward_trainer.json", state | {"schedule": self._schedule.state_dict()}
        )

    def load(self, directory: Path) -> None:
        """Continues bitwise from what `save` wrote."""
        checkpoint.load_module(directory / "reward_model.safetensors", self._loaded.model)
        state = read_json(directory / "reward_trainer.json")
        self._passes, self._steps = state["passes"], state["steps"]
        self._schedule.load_state_dict(state["schedule"])
        checkpoint.load_optimizer(directory / "reward_optimizer", self._optimizer)

    def _step(
        self, solutions: Sequence[EncodedSolution], labels: Sequence[Sequence[float]]
    ) -> float:
        """One optimizer step; returns the loss before it, in nats a solution."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = accumulate_gradients(
            self._loaded, solutions, labels, max_tokens=self._config.micro_batch_tokens
        )
        norm = nn.utils.clip_grad_norm_(
            self._loaded.model.parameters(), self._config.max_grad_norm
        ).item()
        if not np.isfinite(loss) or not np.isfinite(norm):
            raise CanaryError(
                f"the reward model's loss is {loss} and its gradient norm {norm} at step "
                f"{self._steps}; lower the learning rate"
            )
        self._optimizer.step()
        self._schedule.step()
        self._steps += 1
        return loss


def accumulate_gradients(
    loaded: LoadedRewardModel,
    solutions: Sequence[EncodedSolution],
    labels: Sequence[Sequence[float]],
    *,
    max_tokens: int,
) -> float:
    """Adds the gradient of the mean loss of some solutions; returns that loss, in nats.

    The loss of a solution is the binary cross-entropy of its label, or the sum over its steps
    (arXiv:2312.08935v3 section 3.2, L_ORM and L_PRM). The mean is over solutions whatever the cut.

    Args:
        loaded: the model.
        solutions: of one optimizer step.
        labels: in [0, 1], one for each end of each solution.
        max_tokens: padded tokens of one forward pass.
    """
    total = 0.0
    for cut in cut_by_tokens([len(one.token_ids) for one in solutions], max_tokens=max_tokens):
        log_odds = loaded.log_odds([solutions[i] for i in cut])
        target = torch.tensor([label for i in cut for label in labels[i]], dtype=torch.float32)
        loss = binary_cross_entropy_with_logits(
            log_odds, target.to(log_odds.device), reduction="sum"
        ) / len(solutions)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


@torch.no_grad()
def evaluate_reward_model(
    loaded: LoadedRewardModel, examples: Sequence[LabelledSolution], *, max_tokens: int
) -> HeldOutMetrics | None:
    """The metrics of a reward model on labelled solutions; None when there is none it can read.

    Args:
        loaded: the model.
        examples: solutions that it was not trained on.
        max_tokens: padded tokens of one forward pass.
    """
    solutions, labels = _encoded(loaded, examples)
    if not solutions:
        return None
    found: list[list[float]] = [[] for _ in solutions]
    for cut in cut_by_tokens([len(one.token_ids) for one in solutions], max_tokens=max_tokens):
        values = iter(loaded.log_odds([solutions[i] for i in cut]).tolist())
        for index in cut:
            found[index] = [next(values) for _ in solutions[index].ends]
    return held_out_metrics(found, labels)


def _encoded(
    loaded: LoadedRewardModel, examples: Sequence[LabelledSolution]
) -> tuple[list[EncodedSolution], list[tuple[float, ...]]]:
    """The examples that the model can read, and their labels."""
    positions = getattr(
        loaded.model.backbone.config.get_text_config(), "max_position_embeddings", None
    )
    solutions, labels = [], []
    for example in examples:
        solution = loaded.encode(
            example.question, example.response, ends=example.ends, finished=example.finished
        )
        if positions is None or len(solution.token_ids) <= positions:
            solutions.append(solution)
            labels.append(example.labels)
    return solutions, labels
