"""The ranks of one cell as processes of this machine, which start and end together. No torch."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

# File number of the listening socket that the parent hands to the first rank; empty for the others.
LISTENER = "BAKEOFF_RANK_LISTENER"
# File in which ranks say that they have failed, in the order in which they have: where one ends,
# the others fail too, for they lose their connection to it.
FAILURES = "BAKEOFF_RANK_FAILURES"

POLL_SECONDS = 0.05
LAST_WORDS_SECONDS = 30.0  # for a rank that has failed to say why and to end
CLEAN_UP_SECONDS = 2.0  # for the others, which notice that it is gone
_PR_SET_PDEATHSIG = 1
_ENDED_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM}

Rank = subprocess.Popen[bytes]


def run_ranks(arguments: Sequence[str], *, processes: int) -> int:
    """The exit status of ``python ARGUMENTS`` in `processes` ranks, once all of them have ended.

    The first rank prints for all. When one fails the others are ended, and the error that is told
    is its own. A signal that ends one ends this process too, for whoever started it to see. No rank
    outlives this process, whatever ends it.
    """
    with TemporaryDirectory(prefix="bakeoff-ranks-") as folder:
        ranks = _start(arguments, processes, Path(folder))
        try:
            failed = _first_failure(ranks, Path(folder, "failures"))
            _wait(ranks, CLEAN_UP_SECONDS)
        finally:
            for process in ranks:
                process.kill()  # does nothing to one that has ended
                process.wait()
        rank, returncode = failed or (0, 0)
        sys.stderr.write(_log(Path(folder), rank).read_text(errors="replace"))
    if returncode < 0:
        _end_by(signal.Signals(-returncode), rank)
    return returncode


@contextmanager
def failures_told() -> Iterator[None]:
    """Around what a rank does: tells the parent, where there is one, if this rank fails first."""
    try:
        yield
    except BaseException:
        if FAILURES in os.environ:
            with open(os.environ[FAILURES], "a") as file:
                file.write(os.environ["RANK"] + "\n")
        raise


def end_rank() -> NoReturn:
    """Ends a rank whose work is done, at once.

    Threads that communication has left may abort a process that takes itself apart in order.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def is_rank() -> bool:
    """Whether some launcher has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _start(arguments: Sequence[str], processes: int, folder: Path) -> list[Rank]:
    with socket.create_server(("127.0.0.1", 0), backlog=processes) as listener:
        shared = {
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(listener.getsockname()[1]),
            # Before the libraries load, as torchrun does: threads of many ranks would only wait.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            FAILURES: str(folder / "failures"),
        }
        ranks: list[Rank] = []
        for rank in range(processes):
            number = str(listener.fileno()) if rank == 0 else ""
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), LISTENER: number}
            # Errors wait until it is known whose came first: the others' only follow from it.
            with _log(folder, rank).open("wb") as log:
                ranks.append(
                    subprocess.Popen(
                        [sys.executable, *arguments],
                        stdin=subprocess.DEVNULL,
                        stdout=None if rank == 0 else log,
                        stderr=log,
                        env=os.environ | shared | own,
                        pass_fds=(listener.fileno(),) if rank == 0 else (),
                        preexec_fn=_end_with(os.getpid()),
                    )
                )
    return ranks


def _first_failure(ranks: Sequence[Rank], failures: Path) -> tuple[int, int] | None:
    """Rank and exit status of the first that fails; None once all have ended well."""
    while True:
        said = failures.read_text().split() if failures.exists() else []
        codes = [process.poll() for process in ranks]
        for rank, code in enumerate(codes):
            # It could not say so, and who did has lost the connection to it.
            if code in _ENDED_FROM_OUTSIDE and str(rank) not in said:
                return rank, code
        if said:
            first = int(said[0])
            try:
                return first, ranks[first].wait(LAST_WORDS_SECONDS) or 1
            except subprocess.TimeoutExpired:
                return first, 1
        for rank, code in enumerate(codes):
            if code:
                return rank, code
        if all(code == 0 for code in codes):
            return None
        time.sleep(POLL_SECONDS)


def _wait(ranks: Sequence[Rank], seconds: float) -> None:
    """Until all have ended, but no longer."""
    deadline = time.monotonic() + seconds
    while any(process.poll() is None for process in ranks) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _end_with(parent: int) -> Callable[[], None]:
    """What a rank calls before anything else: the kernel ends it when its parent has ended."""
    library = ctypes.CDLL(None)

    def call() -> None:
        if hasattr(library, "prctl"):  # Linux
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return call


def _end_by(number: signal.Signals, rank: int) -> None:
    sys.stderr.write(f"bakeoff: rank {rank} was ended by {number.name}\n")
    sys.stderr.flush()
    if number is not signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _log(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.log"
