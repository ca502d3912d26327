"""The reward that all sides share. Standard library only: peers read it too."""

from collections.abc import Sequence

LETTER = "a"


def share_of_letter(completions: Sequence[str], **_: object) -> list[float]:
    """The share of each completion's words that have `LETTER` in them; 0 where there is none.

    A word of the small vocabulary is one letter, and one of the large up to four: there hardly any
    response would have the letter itself.
    """
    words = [completion.split() for completion in completions]
    return [sum(LETTER in word for word in found) / max(1, len(found)) for found in words]
