"""The equations that a response writes: what makes two reasoning paths different."""

import re
from collections.abc import Iterator

_ANNOTATED = re.compile(r"<<([^<>=]*=[^<>]*)>>")  # GSM8K's calculator annotations
_NUMBER = re.compile(r"-?\$?\d++(?:,\d{3})*+(?:\.\d++)?+%?+")
_OPERAND = rf"\(*+{_NUMBER.pattern}\)*+"
# Nothing here is read twice, so the time is linear: a model may write thousands of brackets.
_EXPRESSION = re.compile(rf"(?<!\(){_OPERAND}(?:(?:[-+*/×÷]| ?x ?){_OPERAND})*+")
# A dash that no number goes before is a bullet or prose if a space comes after it, not a sign.
_SPACED = re.compile(r"(?<=[\d)%])[ \t]*+(?:([-+*/×÷=])[ \t]*+|(\)))|(?<=\()[ \t]++")
_DRESSING = re.compile(r"[\s,$]")


def equation_list(text: str) -> tuple[str, ...]:
    """The equations in order, without spaces, thousands separators and dollar signs.

    What RFT tells reasoning paths apart by (arXiv:2308.01825v2 section 3.3). Calculator annotations
    are read where there are any, else every ``expression = number`` on a line of the text; in a
    chain each result begins the next equation.
    """
    found = _ANNOTATED.findall(text) or _written(text)
    return tuple(_DRESSING.sub("", equation) for equation in found)


def _written(text: str) -> Iterator[str]:
    dense = _SPACED.sub(lambda match: match[1] or match[2] or "", text)
    for expression in _EXPRESSION.finditer(dense):
        if dense.startswith("=", expression.end()):
            result = _NUMBER.match(dense, expression.end() + 1)
            if result is not None:
                yield f"{expression[0]}={result[0]}"
