"""Reward models: a causal language model and a head that judges what was read so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bakeoff import checkpoint
from bakeoff.config import ModelConfig
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.interfaces import CriticHead
from bakeoff.logprobs import position_ids, selected_logprobs
from bakeoff.models.critic import ValueHead, hidden_size
from bakeoff.models.loading import Policy, load_policy
from bakeoff.models.prompts import PromptFormat
from bakeoff.reward_models.encoding import EncodedSolution, encode_solution
from bakeoff.reward_models.folder import (
    HEAD_FILE,
    RewardHead,
    RewardKind,
    RewardModelInfo,
    read_info,
    write_info,
)
from bakeoff.types import Problem


class TwoTokenHead(nn.Module):
    """The difference of the output head's logits of two tokens; has no weights of its own.

    After arXiv:2312.08935v3 with two departures: the cross-entropy is over the two tokens and not
    over the vocabulary, and a step is scored at its last token and not at a tag after it.
    """

    def __init__(self, *, potential: int, no_potential: int) -> None:
        super().__init__()
        self._tokens = (potential, no_potential)

    def forward(self, hidden: Tensor, output: nn.Module) -> Tensor:
        """[N, L] log-odds of the states [N, L, H] under an output head."""
        potential, no_potential = self._tokens
        weight: Any = output.weight
        log_odds: Tensor = hidden @ (weight[potential] - weight[no_potential]).float()
        bias: Any = getattr(output, "bias", None)
        return log_odds if bias is None else log_odds + (bias[potential] - bias[no_potential])


class LikelihoodHead(nn.Module):
    """A linear map of the state plus a scale times the log-likelihood of the response so far.

    A small model that can compute a result need not learn to compare it with the one it reads; its
    likelihood is that comparison. The log-likelihood reward of arXiv:2412.01981 without its
    reference model. A likelihood only falls, so step labels should be of potential, which a wrong
    step ends, and not of single steps.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.value = ValueHead(hidden, CriticHead.ZEROS, seed=0)
        # One place and not none: DeepSpeed cannot send what has no dimension.
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, hidden: Tensor, logprobs: Tensor) -> Tensor:
        """[N, L] log-odds of the states [N, L, H] and of log-probabilities [N, L] in nats."""
        values: Tensor = self.value(hidden)
        return values + self.scale * logprobs.cumsum(dim=1)


Head = ValueHead | TwoTokenHead | LikelihoodHead


class RewardModel(nn.Module):
    """Log-odds that the solution read so far is right (ORM) or has potential (PRM)."""

    def __init__(self, backbone: PreTrainedModel, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor) -> Tensor:
        """[N, L] float32 log-odds at every position.

        With `TwoTokenHead` their sigmoid is the softmax over the two tokens' logits.

        Args:
            input_ids: [N, L].
            attention_mask: [N, L] bool; False on padding, on either side.
            response_mask: [N, L] bool; True on the solution, EOS included.
        """
        hidden = self.backbone.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask.long(),
            position_ids=position_ids(attention_mask),
            use_cache=False,
        ).last_hidden_state
        # A probability near 1 has no digits left in bfloat16.
        with torch.autocast(hidden.device.type, enabled=False):
            log_odds: Tensor
            match self.head:
                case TwoTokenHead():
                    log_odds = self.head(hidden.float(), self.backbone.get_output_embeddings())
                case LikelihoodHead():
                    log_odds = self.head(hidden, self._logprobs(hidden, input_ids, response_mask))
                case _:
                    log_odds = self.head(hidden)
            return log_odds

    def _logprobs(self, hidden: Tensor, input_ids: Tensor, response_mask: Tensor) -> Tensor:
        """[N, L] nats of each response token after what stands before it, else 0."""
        output = self.backbone.get_output_embeddings()
        read = response_mask[:, 1:]
        logprobs, _ = selected_logprobs(
            hidden[:, :-1][read],
            output.weight,
            getattr(output, "bias", None),
            input_ids[:, 1:][read],
            temperature=1.0,
        )
        found = torch.zeros(read.shape, device=hidden.device).masked_scatter(read, logprobs)
        return pad(found, (1, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRewardModel:
    """A reward model with everything that turns text into what it reads."""

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    prompts: PromptFormat
    pad_token_id: int
    info: RewardModelInfo
    autocast_dtype: torch.dtype | None = None  # of forward and backward passes; None: float32

    @property
    def kind(self) -> RewardKind:
        """Whether it scores solutions or steps."""
        return self.info.kind

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        device: torch.device = self.model.backbone.device
        return device

    def encode(
        self, question: str, response: str, *, ends: Sequence[int], finished: bool
    ) -> EncodedSolution:
        """What it reads of a solution, with the token at which each step is scored.

        Args:
            question: of the problem.
            response: the solution.
            ends: character offsets into `response`, each just past a step.
            finished: whether it ended by itself; no EOS is invented for one that was cut.
        """
        problem = Problem(id=question, question=question, answer="")
        return encode_solution(
            self.prompts.render(problem),
            response,
            ends=ends,
            tokenizer=self.tokenizer,
            eos_token_id=self.info.eos_token_id if finished else None,
        )

    def log_odds(self, solutions: Sequence[EncodedSolution]) -> Tensor:
        """[K] float32 log-odds at the ends of all steps of some solutions, in their order."""
        longest = max(len(solution.token_ids) for solution in solutions)
        # Padding on the right is behind everything that a causal model looks at.
        input_ids = torch.full((len(solutions), longest), self.pad_token_id, dtype=torch.int64)
        attention_mask = torch.zeros(len(solutions), longest, dtype=torch.bool)
        response_mask = torch.zeros(len(solutions), longest, dtype=torch.bool)
        for row, solution in enumerate(solutions):
            length = len(solution.token_ids)
            input_ids[row, :length] = torch.tensor(solution.token_ids)
            attention_mask[row, :length] = True
            response_mask[row, solution.prompt_tokens : length] = True
        rows = [row for row, solution in enumerate(solutions) for _ in solution.ends]
        columns = [end for solution in solutions for end in solution.ends]
        with torch.autocast(
            self.device.type, self.autocast_dtype, enabled=self.autocast_dtype is not None
        ):
            everywhere: Tensor = self.model(
                input_ids.to(self.device),
                attention_mask.to(self.device),
                response_mask.to(self.device),
            )
        return everywhere[rows, columns]


def new_reward_model(
    policy: Policy,
    *,
    kind: RewardKind,
    head: RewardHead,
    config: ModelConfig,
    instruction: str,
    init_seed: int,
    potential_token: str = "+",
    no_potential_token: str = "-",
    autocast_dtype: torch.dtype | None = None,
) -> LoadedRewardModel:
    """An untrained reward model on the policy's weights themselves, not on a copy.

    Args:
        policy: the base model.
        kind: ORM or PRM.
        head: SCALAR starts at std 1 / sqrt(H + 1) and bias 0, TWO_TOKEN from the output head,
            LIKELIHOOD from the log-likelihood itself.
        config: names the base model and its prompt format.
        instruction: of the task, a format string with ``{question}``.
        init_seed: of a scalar head.
        potential_token: TWO_TOKEN's token for "has potential".
        no_potential_token: TWO_TOKEN's token for "no potential".
        autocast_dtype: of forward and backward passes; None: float32.

    Raises:
        ConfigError: TWO_TOKEN with texts that are not two tokens of the tokenizer.
    """
    eos = policy.tokenizer.eos_token_id
    info = RewardModelInfo(
        kind=kind,
        head=head,
        instruction=instruction,
        prompt_format=config.prompt_format,
        eos_token_id=policy.eos_token_ids[0] if eos is None else eos,
        base_model=config.model,
        potential_token=potential_token,
        no_potential_token=no_potential_token,
    )
    return _assemble(policy, info, config, init_seed=init_seed, autocast_dtype=autocast_dtype)


def save_reward_model(loaded: LoadedRewardModel, folder: Path, *, info: RewardModelInfo) -> None:
    """Writes an ordinary Hugging Face checkpoint, the head and `info` into an existing folder."""
    loaded.model.backbone.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    if info.head is not RewardHead.TWO_TOKEN:
        checkpoint.save_module(folder / HEAD_FILE, loaded.model.head)
    write_info(folder, info)


def load_reward_model(
    folder: Path, *, device: str = "auto", autocast_dtype: torch.dtype | None = None
) -> LoadedRewardModel:
    """A reward model from its folder, in evaluation mode (no dropout).

    Raises:
        ConfigError: the folder holds no reward model, or parts of one are missing.
    """
    info = read_info(folder)
    config = ModelConfig(
        # Resolved: a folder of the name `builtin` would mean something else.
        model=str(folder.resolve()),
        prompt_format=info.prompt_format,
        device=device,
    )
    policy = load_policy(config, init_seed=0)
    loaded = _assemble(policy, info, config, init_seed=0, autocast_dtype=autocast_dtype)
    if info.head is not RewardHead.TWO_TOKEN:
        try:
            checkpoint.load_module(folder / HEAD_FILE, loaded.model.head)
        except (OSError, SafetensorError, BakeoffError) as error:
            raise ConfigError(
                f"{folder / HEAD_FILE} cannot be read: {' '.join(str(error).split())}; train the "
                "reward model again"
            ) from error
    return loaded


def _assemble(
    policy: Policy,
    info: RewardModelInfo,
    config: ModelConfig,
    *,
    init_seed: int,
    autocast_dtype: torch.dtype | None,
) -> LoadedRewardModel:
    model = RewardModel(policy.model, _head(policy, info, init_seed))
    return LoadedRewardModel(
        model=model.to(policy.model.device).eval(),
        tokenizer=policy.tokenizer,
        prompts=PromptFormat(policy.tokenizer, instruction=info.instruction, config=config),
        pad_token_id=policy.pad_token_id,
        info=info,
        autocast_dtype=autocast_dtype,
    )


def _head(policy: Policy, info: RewardModelInfo, init_seed: int) -> Head:
    match info.head:
        case RewardHead.SCALAR:
            return ValueHead(hidden_size(policy.model), CriticHead.NORMAL, seed=init_seed)
        case RewardHead.LIKELIHOOD:
            return LikelihoodHead(hidden_size(policy.model))
        case RewardHead.TWO_TOKEN:
            potential = _single_token(policy.tokenizer, info.potential_token)
            no_potential = _single_token(policy.tokenizer, info.no_potential_token)
            if potential == no_potential:
                raise ConfigError(
                    f"potential_token {info.potential_token!r} and no_potential_token "
                    f"{info.no_potential_token!r} are the same token; name two"
                )
            return TwoTokenHead(potential=potential, no_potential=no_potential)


def _single_token(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise ConfigError(
            f"{text!r} is not a single token of this tokenizer; name two that are, or take the "
            "scalar head"
        )
    return int(ids[0])
