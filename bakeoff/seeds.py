"""Where randomness comes from: separate streams, and noise that is a function of its address.

Nothing here keeps state, so resuming a run needs no replay and cutting a batch another way
changes no draw.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """The three independent seeds of a run."""

    data: int  # order of problems
    sampling: int  # tokens drawn from the policy
    initialisation: int  # fresh weights (critic head, models built from a config)


def generator(*address: int | str) -> np.random.Generator:
    """A generator whose stream is a function of the address alone.

    ``generator(seed, step, problem_id, sample)`` is the per-request seed of a rollout.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in address)
    key = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big")))


def uniforms(*address: int | str, count: int) -> NDArray[np.float64]:
    """`count` draws from [0, 1): one per response position of the rollout at this address."""
    return generator(*address).random(count)
