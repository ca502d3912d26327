"""Forward passes cut by tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def cut_by_tokens(lengths: Sequence[int], *, max_tokens: int) -> Iterator[list[int]]:
    """Indices in cuts of similar length, each at most `max_tokens` once padded, shortest first.

    One that is longer than `max_tokens` forms a cut of its own.
    """
    cut: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        # In this order the newest is the longest, to which the others are padded.
        if cut and (len(cut) + 1) * lengths[index] > max_tokens:
            yield cut
            cut = []
        cut.append(index)
    if cut:
        yield cut
