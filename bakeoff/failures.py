"""What kind of end a run came to, for whoever decides what the failure says."""

import errno
from collections.abc import Iterator
from typing import Literal

import torch

from bakeoff.errors import BakeoffError, CanaryError
from bakeoff.ledger import Ledger
from bakeoff.records import RunDirectory, write_json

Failure = Literal["canary", "out_of_memory", "error"]

# PyTorch's CPU allocator, and C++ under it, raise a RuntimeError without a type of its own.
_ALLOCATOR_WORDS = ("can't allocate memory", "std::bad_alloc")


def failure_kind(error: BaseException) -> Failure:
    """The kind of an error, or of what it was raised from: a plugin's error comes wrapped."""
    chain = list(_chain(error))
    if any(isinstance(one, CanaryError) for one in chain):
        return "canary"
    return "out_of_memory" if any(_is_out_of_memory(one) for one in chain) else "error"


def record_failure(error: Exception, directory: RunDirectory, ledger: Ledger) -> None:
    """Writes why a run ended and what it has cost, for it is charged all the same."""
    message = str(error) if isinstance(error, BakeoffError) else repr(error)
    # A stopped arm voids the comparison, so the report has to know which kind of end it was.
    canaries = [message] if isinstance(error, CanaryError) else []
    write_json(directory.ledger, ledger.snapshot())
    directory.write_status(
        "failed", message=message, canaries=canaries, failure=failure_kind(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(w in str(error) for w in _ALLOCATOR_WORDS)
