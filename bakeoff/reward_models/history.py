"""What a reward model was trained on, kept beside it for replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from bakeoff.records import append_lines, read_lines
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.seeds import generator

HISTORY_FILE = "history.jsonl"
KEPT = 4096  # many times what one refit replays


def keep_history(folder: Path, examples: Sequence[LabelledSolution], *, seed: int) -> None:
    """Writes a random part of the examples into a reward model's folder."""
    places = sorted(generator(seed, "history").permutation(len(examples))[:KEPT].tolist())
    file = folder / HISTORY_FILE
    file.unlink(missing_ok=True)
    write_labelled(file, [examples[place] for place in places])


def read_history(folder: Path) -> list[LabelledSolution]:
    """The examples kept beside a reward model; none where it came without."""
    return read_labelled(folder / HISTORY_FILE)


def write_labelled(file: Path, examples: Iterable[LabelledSolution]) -> None:
    """Appends labelled solutions as JSON lines."""
    append_lines(file, [asdict(example) for example in examples])


def read_labelled(file: Path) -> list[LabelledSolution]:
    """The labelled solutions that `write_labelled` wrote."""
    return [
        LabelledSolution(**row | {"ends": tuple(row["ends"]), "labels": tuple(row["labels"])})
        for row in read_lines(file)
    ]
