"""Every setting of a cell. Each leaf name is unique, so it is also a YAML key and a flag.

The text beside a type is the flag's help. Methods bring settings of their own (`algorithms`).
Standard library only, so that `--help` is quick.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Literal

from bakeoff.errors import ConfigError
from bakeoff.types import Split


class Aggregation(Enum):
    """Which mean the scalar loss is."""

    SEQUENCE_MEAN = "sequence_mean"  # arXiv:2402.03300v3 eq. 3: mean over rollouts of token means
    TOKEN_MEAN = "token_mean"  # DAPO, arXiv:2503.14476 eq. 8: mean over all sampled tokens
    SEQUENCE_SUM = "sequence_sum"  # RLOO, arXiv:2402.14740: mean over rollouts of token sums
    CONSTANT = "constant"  # Dr. GRPO, arXiv:2503.20783: a length that does not depend on the data


class SolutionScore(Enum):
    """How the scores of a solution's steps make one score of the solution."""

    MIN = "min"  # Math-Shepherd, arXiv:2312.08935v3 section 3.4
    PRODUCT = "product"  # the chance that every step is right: arXiv:2305.20050v1 section 2.6
    LAST = "last"
    MEAN = "mean"


class BudgetAxis(Enum):
    """What every arm of a comparison may spend equally much of."""

    SAMPLED_TOKENS = "sampled_tokens"
    OPTIMIZER_STEPS = "optimizer_steps"
    DEVICE_SECONDS = "device_seconds"
    FLOPS = "flops"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    model: Annotated[
        str,
        "policy to start from: `builtin`, a local folder, a .gguf file, "
        "`package:NAME/FILE.gguf` inside an installed package, or a hub id",
    ] = "builtin"
    revision: Annotated[str | None, "hub revision; none: the default branch"] = None
    compute_dtype: Annotated[
        Literal["float32", "bfloat16"], "forward and backward passes; master weights stay float32"
    ] = "float32"
    prompt_format: Annotated[
        Literal["auto", "chat", "plain"],
        "auto: the tokenizer's chat template where it has one, else the plain question",
    ] = "auto"
    trust_remote_code: Annotated[bool, "run code that comes with a hub model"] = False
    device: Annotated[str, "auto: a GPU when there is one"] = "auto"
    threads: Annotated[int, "CPU threads of this process"] = 1

    def __post_init__(self) -> None:
        _at_least("threads", self.threads, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    task: Annotated[
        str, "a built-in task, a FILE.jsonl of question and answer, or FILE.py:NAME"
    ] = "arithmetic"
    data: Annotated[str | None, "folder with the task's files; none: its hub data set"] = None
    train_problems: Annotated[int | None, "first problems of the training split; none: all"] = None
    verifier_seconds: Annotated[
        float, "wall-clock limit of checking one answer, which then gets no verdict"
    ] = 5.0
    verifier_workers: Annotated[int, "processes that check answers, where they need algebra"] = 1
    verifier_error_ceiling: Annotated[
        float, "share of responses without a verdict above which a run stops"
    ] = 0.02

    def __post_init__(self) -> None:
        _at_least("train_problems", self.train_problems, 1)
        _at_least("verifier_workers", self.verifier_workers, 1)
        if self.verifier_seconds <= 0:
            raise ConfigError(f"verifier_seconds must be above 0, got {self.verifier_seconds}")
        if not 0 <= self.verifier_error_ceiling <= 1:
            raise ConfigError(
                f"verifier_error_ceiling must be in [0, 1], got {self.verifier_error_ceiling}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    reward: Annotated[
        str,
        "`rule` (the verifier), `steps` (rule, and every step by a checker), `model` (a reward "
        "model), the controls `format`, `constant` and `random`, or FILE.py:NAME of a callable in "
        "TRL's form",
    ] = "rule"
    wrong_reward: Annotated[float, "of a wrong response under `rule`; DAPO takes -1"] = 0.0
    step_checker: Annotated[
        str | None, "FILE.py:NAME that judges steps, for `steps`; none: the task's own"
    ] = None
    reward_model: Annotated[
        str | None, "folder of a trained reward model, for `model`; none: the reward has no model"
    ] = None
    solution_score: Annotated[
        SolutionScore, "how step scores make the outcome: min, product, last, mean"
    ] = SolutionScore.MIN
    refit_learning_rate: Annotated[
        float, "AdamW, of a reward model that is refitted while the policy trains"
    ] = 2e-5
    refit_solutions: Annotated[int, "responses of an iteration that a refit takes at most"] = 1024
    refit_completions: Annotated[
        int, "completions from every step that label a response for a process reward model (N)"
    ] = 4
    length_penalty: Annotated[float, "taken off times the share of max_response_tokens used"] = 0.0
    overlong_buffer_tokens: Annotated[
        int | None, "last tokens before the limit over which up to 1 is taken off; none: no penalty"
    ] = None

    def __post_init__(self) -> None:
        if (self.reward == "model") != (self.reward_model is not None):
            raise ConfigError(
                "reward `model` and reward_model go together: the first says what scores, the "
                f"second where it is; got reward {self.reward!r}, reward_model "
                f"{self.reward_model!r}"
            )
        rate = self.refit_learning_rate
        if rate <= 0:
            raise ConfigError(f"refit_learning_rate must be above 0, got {rate}")
        _at_least("refit_solutions", self.refit_solutions, 1)
        _at_least("refit_completions", self.refit_completions, 1)
        if self.step_checker is not None and self.reward != "steps":
            raise ConfigError(f"step_checker is for reward `steps`, got {self.reward!r}")
        if self.wrong_reward >= 1:
            raise ConfigError(f"wrong_reward must be below 1, got {self.wrong_reward}")
        if self.length_penalty < 0:
            raise ConfigError(f"length_penalty must be 0 or more, got {self.length_penalty}")
        _at_least("overlong_buffer_tokens", self.overlong_buffer_tokens, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    temperature: Annotated[
        float, "divides the logits; also when log-probabilities are recomputed"
    ] = 1.0
    top_p: Annotated[float, "nucleus mass; 1 disables; below 1 only for methods without ratios"] = (
        1.0
    )
    top_k: Annotated[int, "most likely tokens kept; 0 disables"] = 0
    max_response_tokens: Annotated[int, "longer responses are cut, and are wrong"] = 64
    sampling_rows: Annotated[int, "completions decoded at once"] = 256

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ConfigError(f"temperature must be 0 (greedy) or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be in (0, 1], got {self.top_p}; 1 disables it")
        _at_least("top_k", self.top_k, 0)
        _at_least("max_response_tokens", self.max_response_tokens, 1)
        _at_least("sampling_rows", self.sampling_rows, 1)

    @property
    def truncates(self) -> bool:
        """Whether some tokens of the policy's distribution cannot be drawn."""
        return self.top_p < 1 or self.top_k > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    learning_rate: Annotated[float, "AdamW, of the policy; constant after the warm-up"] = 1e-6
    critic_learning_rate: Annotated[float | None, "none: the policy's"] = None
    learning_rate_warmup_steps: Annotated[int, "optimizer steps of linear warm-up"] = 0
    learning_rate_decay_steps: Annotated[
        int | None, "optimizer steps until a linear decay reaches 0; none: constant"
    ] = None
    adam_beta1: Annotated[float, "AdamW"] = 0.9
    adam_beta2: Annotated[float, "AdamW"] = 0.999
    adam_epsilon: Annotated[float, "AdamW"] = 1e-8
    weight_decay: Annotated[float, "AdamW, decoupled"] = 0.0
    max_grad_norm: Annotated[float, "gradient norm above which the gradient is scaled down"] = 1.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "critic_learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be above 0, got {value}")
        _at_least("learning_rate_warmup_steps", self.learning_rate_warmup_steps, 0)
        _at_least("learning_rate_decay_steps", self.learning_rate_decay_steps, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    problems_per_step: Annotated[int, "problems of one rollout batch; each gets a group"] = 16
    micro_batch_tokens: Annotated[
        int, "tokens of one forward pass; changes memory and speed, never the gradient"
    ] = 4096
    aggregation: Annotated[
        Aggregation | None,
        "mean that makes the loss a scalar: sequence_mean, token_mean, sequence_sum, constant; "
        "none: the method's own",
    ] = None
    mask_truncated: Annotated[bool, "leave responses cut at the limit out of the loss"] = False
    checkpoint_every: Annotated[int, "rollout batches between checkpoints; 0: only at the end"] = 20
    measure_kl: Annotated[
        bool, "achieved KL to the start at every batch; costs a frozen copy where none is needed"
    ] = True
    activation_checkpointing: Annotated[
        bool,
        "store only each layer's input and compute the rest again in the backward pass; less "
        "memory, about a third more time",
    ] = False
    compile_model: Annotated[
        bool,
        "torch.compile of the decoder layers where gradients are computed; pays on a GPU, and in "
        "long runs of larger models",
    ] = False
    lora_rank: Annotated[
        int,
        "rank of adapters on all linear layers but the output head, trained in place of the "
        "weights; the reference is then the policy without them; 0: full training",
    ] = 0
    lora_alpha: Annotated[
        float | None, "adapters enter at lora_alpha / lora_rank; none: twice the rank"
    ] = None

    def __post_init__(self) -> None:
        _at_least("problems_per_step", self.problems_per_step, 1)
        _at_least("micro_batch_tokens", self.micro_batch_tokens, 1)
        _at_least("checkpoint_every", self.checkpoint_every, 0)
        _at_least("lora_rank", self.lora_rank, 0)
        if self.lora_alpha is not None and self.lora_alpha <= 0:
            raise ConfigError(f"lora_alpha must be above 0, got {self.lora_alpha}")
        if self.lora_alpha is not None and not self.lora_rank:
            raise ConfigError("lora_alpha is for lora_rank above 0, got lora_rank 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConfig:
    budget_axis: Annotated[
        BudgetAxis, "sampled_tokens, optimizer_steps, device_seconds or flops"
    ] = BudgetAxis.SAMPLED_TOKENS
    budget: Annotated[float, "how much of it a cell may spend"] = 100_000

    def __post_init__(self) -> None:
        if self.budget <= 0:
            raise ConfigError(f"budget must be above 0, got {self.budget}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    evaluations: Annotated[int, "points of the learning curve, evenly over the budget"] = 6
    evaluation_split: Annotated[Split, "test, or validation while tuning"] = Split.TEST
    evaluation_problems: Annotated[int, "first problems of the split; at most all of it"] = 128
    evaluation_samples: Annotated[int, "completions a problem at each point, at temperature 1"] = 4
    final_samples: Annotated[int, "completions a problem at the end (pass@k, maj@k)"] = 16
    ood_problems: Annotated[int, "problems of the out-of-domain split at start and end"] = 64
    evaluate_start: Annotated[bool, "evaluate before training too; a study does it once"] = True

    def __post_init__(self) -> None:
        if self.evaluation_split is Split.TRAIN:
            raise ConfigError("evaluation_split is train; take validation, test or ood")
        for name in ("evaluations", "evaluation_problems", "evaluation_samples", "final_samples"):
            _at_least(name, getattr(self, name), 1)
        _at_least("ood_problems", self.ood_problems, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedConfig:
    seed: Annotated[int, "of the cell; the three streams below derive from it"] = 0
    data_seed: Annotated[int | None, "order of problems; none: seed"] = None
    sampling_seed: Annotated[int | None, "tokens drawn; none: seed"] = None
    init_seed: Annotated[int | None, "fresh weights; none: seed"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Where the numbers are computed, not which: no part of a cell's identity."""

    engine: Annotated[
        Literal["local", "deepspeed"], "local: one process; deepspeed: one or many, with ZeRO"
    ] = "local"
    processes: Annotated[
        int, "of one cell on this machine, for deepspeed; under torchrun the launcher says it"
    ] = 1
    zero_stage: Annotated[
        int,
        "deepspeed: what is cut over the processes; 1 optimizer states, 2 gradients too, "
        "3 weights too",
    ] = 0
    offload: Annotated[
        Literal["optimizer", "parameters", "both"] | None,
        "deepspeed: what waits in CPU memory; optimizer takes zero_stage 1 or more, parameters 3; "
        "none: nothing",
    ] = None
    deepspeed_config: Annotated[
        str | None, "JSON file of DeepSpeed's, for what no setting here says; none: no file"
    ] = None

    def __post_init__(self) -> None:
        _at_least("processes", self.processes, 1)
        if self.zero_stage not in range(4):
            raise ConfigError(f"zero_stage must be 0, 1, 2 or 3, got {self.zero_stage}")
        if self.engine == "local":
            defaults = {f.name: f.default for f in fields(self) if f.name != "engine"}
            for name, default in defaults.items():
                if getattr(self, name) != default:
                    raise ConfigError(
                        f"{name} = {getattr(self, name)} is for engine deepspeed; set that, or "
                        f"leave {name} out"
                    )
        if self.offload in ("optimizer", "both") and self.zero_stage == 0:
            raise ConfigError(
                f"offload {self.offload!r} moves what ZeRO has cut; set zero_stage 1, 2 or 3"
            )
        if self.offload in ("parameters", "both") and self.zero_stage != 3:
            raise ConfigError(f"offload {self.offload!r} takes zero_stage 3, got {self.zero_stage}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellConfig:
    """One run: a method, a seed and everything that is held fixed around them."""

    method: str  # a preset's name, or FILE.py:NAME
    method_settings: Mapping[str, Any]  # the method's own, complete
    model: ModelConfig = field(default_factory=ModelConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seeds: SeedConfig = field(default_factory=SeedConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)


SECTIONS: Mapping[str, type] = {
    "model": ModelConfig,
    "task": TaskConfig,
    "reward": RewardConfig,
    "sampling": SamplingConfig,
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
    "budget": BudgetConfig,
    "evaluation": EvaluationConfig,
    "seeds": SeedConfig,
    "engine": EngineConfig,
}


def as_record(value: Any) -> Any:
    """A config as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_record(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): as_record(item) for key, item in value.items()}
    return value


def identity_record(config: CellConfig) -> dict[str, Any]:
    """What a cell's hash is of: every setting but where it runs.

    So a run goes on with another engine, or on more processes.
    """
    return {name: value for name, value in as_record(config).items() if name != "engine"}


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")
