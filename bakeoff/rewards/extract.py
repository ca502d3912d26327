"""Where a response states its final answer.

Strict: in the format that the prompt asks for, the last ``\\boxed{...}``, or GSM8K's ``#### 72``.
Lenient: else after "the answer is", else the last number. Format and correctness are reported
apart, since a good part of what reinforcement learning gains on mathematics is format.
"""

import re
from dataclasses import dataclass
from enum import Enum

from bakeoff.rewards.answers import parse_number

MAX_BOX_CHARACTERS = 4000  # of a box; a longer one counts as not closed
LENIENT_TAIL_CHARACTERS = 2000  # the end of a response, where lenient extraction looks


class FoundBy(Enum):
    """How an answer was found."""

    BOXED = "boxed"
    HASHES = "hashes"
    PHRASE = "phrase"
    LAST_NUMBER = "last_number"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The answer of one response; None only if nothing was found."""

    answer: str | None
    found_by: FoundBy

    @property
    def strict_answer(self) -> str | None:
        """The answer if it stands in the asked format."""
        return self.answer if self.found_by in (FoundBy.BOXED, FoundBy.HASHES) else None


_BOX = re.compile(r"\\f?boxed\s*\{")
_OPEN_BOX = re.compile(r"^\$*\\f?boxed\s*\{?\s*")  # without its end, or it would be strict
_HASHES = re.compile(r"####[ \t]*([^\n]{1,100})")
_PHRASE = re.compile(
    r"(?:\banswer(?:[^.\n]{0,60}?\s(?:is|are)\b|\s*[:=：])|答案(?:是|为|[:：]))"
    r"[\s:：*]{0,10}(?=(?P<rest>[^\n]{1,200}))",
    re.IGNORECASE,
)
_AMOUNT = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_SIGNED = rf"[-−]?[$¥€£￥]?-?(?:{_AMOUNT})(?:/\d+)?(?:\s?\\?[%％])?"
_LEADING_NUMBER = re.compile(
    # Not the first of several, not a factor of something, not of a ratio, not "5 million".
    rf"\\?({_SIGNED})(?!\s*(?:[,，]\s*[-\d\\(]|[:：]\s*\d|or\b|and\b"
    r"|[a-z]*(?:illion|undred|housand|ozen)))"
    # "7." is not the end of 7.5.
    r"(?=\s*(?:$|[.,](?!\d)|[;:!?)。，、；：！？）*$\u4e00-\u9fff])|\s+[a-z]{2,})",
    re.IGNORECASE,
)
# An escaped dollar is a currency, not the end of the formula.
_DELIMITED = re.compile(r"\$+((?:\\.|[^$\\])+)\$+|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_SENTENCE_END = re.compile(r"[.;!?](?:\s|$)|[。；！？]|\*\*")
# A minus after a digit, a letter or a bracket subtracts.
_ANY_NUMBER = re.compile(rf"(?<![\w.)\]}}])(?:{_SIGNED})|(?<![\d.])(?:{_AMOUNT})(?:/\d+)?%?")


def extract(response: str) -> Extraction:
    """The final answer of a response: strict where there is one, else lenient."""
    box = _last_box(response)
    if box is not None:
        return Extraction(answer=box, found_by=FoundBy.BOXED)
    for line in reversed(_HASHES.findall(response)):
        # A fourth-level heading of Markdown starts with the same sign.
        if parse_number(line) is not None:
            return Extraction(answer=line.strip(), found_by=FoundBy.HASHES)
    tail = response[-LENIENT_TAIL_CHARACTERS:]
    for match in reversed(list(_PHRASE.finditer(tail))):
        answer = _stated_answer(match["rest"])
        if answer:
            return Extraction(answer=answer, found_by=FoundBy.PHRASE)
    numbers = list(_ANY_NUMBER.finditer(tail))
    if numbers:
        return Extraction(answer=numbers[-1][0].strip(), found_by=FoundBy.LAST_NUMBER)
    return Extraction(answer=None, found_by=FoundBy.NOTHING)


def _last_box(response: str) -> str | None:
    """The content of the last box; None if that one is empty or not closed.

    An earlier box is no substitute for a broken last one: it may be an intermediate result.
    """
    start = None
    for match in _BOX.finditer(response):
        start = match.end()
    if start is None:
        return None
    depth, index = 1, start
    end = min(len(response), start + MAX_BOX_CHARACTERS)
    while index < end:
        character = response[index]
        if character == "\\":
            index += 1  # an escaped brace does not count
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return response[start:index].strip() or None
        index += 1
    return None


def _stated_answer(rest: str) -> str:
    rest = _OPEN_BOX.sub("", rest)
    number = _LEADING_NUMBER.match(rest)
    if number:
        return number[1].strip()
    delimited = _DELIMITED.match(rest)
    if delimited:
        return next(group for group in delimited.groups() if group is not None).strip()
    return _SENTENCE_END.split(rest, maxsplit=1)[0].strip(" \t.,;:*")
