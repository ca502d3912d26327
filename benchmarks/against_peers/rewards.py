"""The reward that all sides share. Standard library only: peers read it too."""

from collections.abc import Sequence

LETTER = "a"


def share_of_letter(completions: Sequence[str], **_: object) -> list[float]:
    """The share of `LETTER` among each completion's words; 0 where there is none."""
    words = [completion.split() for completion in completions]
    return [found.count(LETTER) / max(1, len(found)) for found in words]
