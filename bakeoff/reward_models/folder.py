"""What the folder of a reward model says of itself; needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.records import read_json, write_json

INFO_FILE = "reward_model.json"
HEAD_FILE = "head.safetensors"
TRAINING_FILE = "training.json"


class RewardKind(Enum):
    """What a reward model scores."""

    OUTCOME = "outcome"  # the whole solution, once at its end: ORM
    PROCESS = "process"  # every step, at its end: PRM


class RewardHead(Enum):
    """Where a score comes from."""

    SCALAR = "scalar"  # a linear map of the last hidden state
    TWO_TOKEN = "two_token"  # the output head's logits of two tokens: arXiv:2312.08935v3
    LIKELIHOOD = "likelihood"  # SCALAR, and how likely the model finds the response so far


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelInfo:
    """All of a reward model but its weights and its tokenizer."""

    kind: RewardKind
    head: RewardHead
    instruction: str  # the prompt as a format string with {question}
    prompt_format: Literal["auto", "chat", "plain"]  # as in ModelConfig
    eos_token_id: int  # read after a solution that ended by itself
    base_model: str  # what it was trained from
    potential_token: str = "+"  # TWO_TOKEN: "has potential", as the published data writes it
    no_potential_token: str = "-"
    training: Mapping[str, Any] = field(default_factory=dict)  # a summary, for people


_NAMES = tuple(one.name for one in fields(RewardModelInfo))


def write_info(folder: Path, info: RewardModelInfo) -> None:
    """Writes what `read_info` reads."""
    record = {name: getattr(info, name) for name in _NAMES}
    write_json(folder / INFO_FILE, record | {"kind": info.kind.value, "head": info.head.value})


def read_info(folder: Path) -> RewardModelInfo:
    """What a folder says of its reward model.

    Raises:
        ConfigError: the folder holds none, or one that cannot be read.
    """
    file = folder / INFO_FILE
    if not file.is_file():
        raise ConfigError(
            f"{folder} holds no reward model (no {INFO_FILE}); make one with "
            "`bakeoff reward-model train`"
        )
    try:
        record = read_json(file)
        values = {name: record[name] for name in _NAMES}
        return RewardModelInfo(
            **values | {"kind": RewardKind(record["kind"]), "head": RewardHead(record["head"])}
        )
    except BakeoffError as error:
        raise ConfigError(str(error)) from None
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{file} is no record of a reward model ({type(error).__name__}: {error}); train it "
            "again with `bakeoff reward-model train`"
        ) from None


def read_kind(folder: Path) -> RewardKind:
    """Whether the reward model of a folder scores solutions or steps."""
    return read_info(folder).kind


def weights_digest(folder: Path) -> str:
    """16 hex digits of a reward model's weights: two folders of one name may hold two models."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "blake2b").digest())
    return digest.hexdigest()
