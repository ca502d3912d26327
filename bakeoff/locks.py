"""Locks between processes of one machine, which end with the process that holds them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER_LOCK = ".lock"


@contextmanager
def exclusive(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock of a file; waits while another process does, after calling `on_wait`.

    The file stays: removing it would let a third process lock another one of the same name.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def exclusive_folder(folder: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds a folder; it is made if need be, and gone again if nothing was put into it."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / FOLDER_LOCK
    try:
        with exclusive(lock, on_wait=on_wait):
            yield
    finally:
        if is_unused(folder):
            lock.unlink(missing_ok=True)
            for path in made:
                with suppress(OSError):  # somebody else has put something there
                    path.rmdir()


def is_unused(folder: Path) -> bool:
    """Whether a folder is missing, or holds nothing but its lock."""
    return not folder.exists() or all(path.name == FOLDER_LOCK for path in folder.iterdir())
