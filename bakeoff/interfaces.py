"""The seams of the harness. Everything else implements one of these."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.config import Aggregation, SamplingConfig
from bakeoff.memory.components import Component
from bakeoff.types import Completion, Problem, Prompt, Reward, Rollout, Split


class Source(Enum):
    """The data source D of arXiv:2402.03300v3 eq. 5: who wrote the responses."""

    CURRENT_POLICY = "current_policy"  # pi_theta, sampled at every batch
    INITIAL_POLICY = "initial_policy"  # pi_sft: a pool sampled before training
    MIXED_POLICY = "mixed_policy"  # both, sampled at every batch
    DEMONSTRATIONS = "demonstrations"  # the task's own solutions
    GOLD = "gold"  # faultless solutions


class CriticHead(Enum):
    """How the value head starts."""

    ZEROS = "zeros"
    NORMAL = "normal"  # std 1 / sqrt(H + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticPlan:
    """The value model a method asks for."""

    shared_trunk: bool = False  # a head on the policy's trunk instead of a model of its own
    head_init: CriticHead = CriticHead.ZEROS
    loss_coefficient: float = 1.0  # of the value loss, where the trunk is shared
    warmup_batches: int = 0  # first rollout batches that train the critic alone


class Deduplicate(Enum):
    """Which correct responses to one problem count as the same."""

    TEXT = "text"
    EQUATIONS = "equations"  # the same list of equations (RFT, arXiv:2308.01825v2 section 3.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """How the pool of an offline method is built and read."""

    epochs: int = 1  # passes over the pool
    deduplicate: Deduplicate | None = None  # None: every response counts
    problems: int | None = None  # None: as many as the budget of sampled tokens pays for


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationPlan:
    """The outer loop of arXiv:2402.03300v3 Algorithm 1: what a new iteration begins with."""

    batches: int  # rollout batches of one iteration (M)
    reset_reference: bool  # pi_ref := pi_theta (line 3)
    refit_reward_model: bool  # continued training on the last iteration's rollouts (line 12)
    replay_share: float  # of a refit's examples, drawn from what it was trained on before


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The declarative half of a method: data source, extra models and schedule."""

    source: Source
    group_size: int  # G, completions per problem
    reference: bool = False  # pi_ref log-probabilities are needed
    critic: CriticPlan | None = None
    pool: PoolPlan | None = None  # Source.INITIAL_POLICY only
    offline_share: float = 0.0  # of a batch's problems for pi_sft; Source.MIXED_POLICY only
    epochs: int = 1  # mu, passes over each rollout batch
    minibatches: int = 1  # optimizer steps per pass
    uses_ratios: bool = True  # pi_theta / pi_old enters the loss
    credit_uses_old_logprobs: bool = False  # e.g. a KL penalty inside the reward
    process_supervision: bool = False  # rewards of single steps are needed
    aggregation: Aggregation = Aggregation.SEQUENCE_MEAN  # the paper's; a cell may set another
    iteration: IterationPlan | None = None  # None: one iteration, pi_ref stays the start
    sampling_rounds: int = 1  # draws until a batch is full of groups with a spread (DAPO)
    updates: int | None = None  # batches of a source that samples nothing; None: the budget's

    @property
    def needs_old_logprobs(self) -> bool:
        """Whether pi_old needs a forward pass of its own.

        With one update per rollout batch pi_old is pi_theta without its gradient.
        """
        return self.credit_uses_old_logprobs or (
            self.uses_ratios and self.epochs * self.minibatches > 1
        )


class TokenLossFunction(Protocol):
    """The differentiable half of a method, as the engine calls it on each micro-batch."""

    def __call__(self, batch: TokenBatch, credit: Credit, outputs: Outputs, /) -> TokenLosses: ...


class Algorithm(Protocol):
    """A method: its plan and two functions. It owns no model, no data and no counter."""

    @property
    def plan(self) -> Plan: ...

    @property
    def conventions(self) -> Mapping[str, str]:
        """What its name means here, a row of the report's equivalence table.

        Keys: ``advantage``, ``loss``, ``kl``.
        """
        ...

    def assign_credit(self, batch: TokenBatch) -> Credit:
        """Rewards to per-token credit; sees the whole rollout batch, without gradient."""
        ...

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        """Per-token losses of any subset of rows, unreduced and unmasked."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseAddress:
    """Where the noise of a sampling call comes from.

    Completed by problem id, sample index and position for each token.
    """

    seed: int
    batch: int | str  # rollout batch, or the name of an evaluation


class Sampler(Protocol):
    """Draws completions from the policy it was last given."""

    def publish(self, model: PreTrainedModel, *, version: int) -> None:
        """Sample from these weights from now on; `version` marks the completions."""
        ...

    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[list[Completion]]:
        """`group_size` completions per prompt, in order; temperature 0 is greedy.

        The same noise address gives the same completions however the batch is cut, up to the
        rounding of the logits.
        """
        ...


class RewardFunction(Protocol):
    """Scores completions."""

    @property
    def scores_steps(self) -> bool:
        """Whether its rewards hold `step_ends` and `step_values`, as process supervision needs."""
        ...

    @property
    def flops_per_token(self) -> float:
        """Of its reward model, for each token read; 0 without one."""
        ...

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        """One reward per completion; ``prompts[i]`` is the prompt of ``completions[i]``."""
        ...


# The problem and the texts of a solution's steps, in order -> a number for each; higher is better.
StepChecker = Callable[[Problem, Sequence[str]], Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One judged response."""

    correct: bool | None  # None: the verifier failed (time-out, crash); never counted as wrong
    extracted: str | None = None  # the answer it found; None: none in the asked format
    reason: str = ""  # why not correct, for people


class Verifier(Protocol):
    """The judge of answers, identical for every method and every reward."""

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        """One verdict per response; ``problems[i]`` is the problem of ``responses[i]``."""
        ...

    def close(self) -> None:
        """Ends whatever processes it holds; verifying again afterwards is an error."""
        ...


class Task(Protocol):
    """Problems with checkable answers, in disjoint splits."""

    @property
    def name(self) -> str: ...

    @property
    def instruction(self) -> str:
        """The prompt as a format string with ``{question}``; other braces are doubled."""
        ...

    def problems(self, split: Split, *, count: int | None = None) -> list[Problem]:
        """The first `count` problems of a split (None: all); empty when it has no such split."""
        ...

    def demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        """Endless worked solutions of training problems; ConfigError when the task has none."""
        ...

    def gold_demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        """Endless faultless solutions of training problems; ConfigError when the task has none."""
        ...

    def gold_response(self, problem: Problem) -> str:
        """A response in the asked format that states the problem's answer and nothing else."""
        ...

    def verifier(self) -> Verifier: ...

    def step_checker(self) -> StepChecker | None:
        """The exact judge of single steps; None where the task has none."""
        ...


class RolloutSource(Protocol):
    """Where the rollouts of a batch come from."""

    def prepare(self) -> None:
        """Whatever comes before the first batch, such as sampling a pool; called once."""
        ...

    @property
    def batches(self) -> int | None:
        """How many batches there are; None when the source never ends."""
        ...

    def draw(self, batch: int) -> list[Rollout]:
        """The rollouts of one batch; a function of its index and, if live, of the policy."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateResult:
    """What one optimizer step saw; means run over the kept response tokens."""

    grad_norm: float  # before clipping; 0 when nothing was kept
    critic_grad_norm: float | None = None
    loss: float
    critic_loss: float | None = None
    kept_rollouts: int
    trained_tokens: int  # response tokens with a weight
    ratio_max: float | None = None
    sampler_gap_max: float | None = None  # nats, of |sampler - trainer| log-probabilities
    token_means: Mapping[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """Owns the models and their optimizers. Knows nothing of any method."""

    def annotate(self, batch: TokenBatch) -> TokenBatch:
        """Fills what the plan asks for: old_logprobs, ref_logprobs, old_values. No gradient."""
        ...

    def measure(self, batch: TokenBatch) -> TokenBatch:
        """Fills start_logprobs, the anchor of the achieved KL, where the run measures it."""
        ...

    def policy_logprobs(self, batch: TokenBatch) -> Tensor:
        """[N, T] nats under the current policy, without gradient."""
        ...

    def update(
        self,
        batch: TokenBatch,
        credit: Credit,
        weights: Tensor,
        token_losses: TokenLossFunction,
        *,
        critic_only: bool = False,
    ) -> UpdateResult:
        """One optimizer step on ``(token_loss * weights).sum()``, in micro-batches.

        Args:
            weights: [N, T] from `loss_weights`, over all rollouts of the step.
            critic_only: leave the policy as it is (critic warm-up).
        """
        ...

    def refresh_reference(self) -> None:
        """pi_ref := pi_theta (arXiv:2402.03300v3 Algorithm 1, line 3)."""
        ...

    def frozen_checksums(self) -> Mapping[str, int]:
        """A checksum of every frozen copy by its name; only `refresh_reference` changes one."""
        ...

    def cut_reward_model(self, model: nn.Module) -> bool:
        """Cuts a frozen reward model over the ranks, if it cuts frozen weights; whether it has.

        Afterwards all ranks must call the model together, and the engine has its checksum and its
        memory.
        """
        ...

    def memory_owners(self) -> Mapping[Component, Iterable[Tensor]]:
        """The tensors that it holds now, by what they are for."""
        ...

    def publish_policy(self, sampler: Sampler) -> None:
        """Hand the current weights to the sampler."""
        ...

    def save(self, directory: Path) -> None:
        """Write every weight, optimizer state and schedule, as safetensors and JSON."""
        ...

    def load(self, directory: Path) -> None:
        """Continue bitwise from what `save` wrote."""
        ...

    def save_policy(self, directory: Path) -> None:
        """Write the policy as an ordinary Hugging Face checkpoint."""
        ...
