"""Answers that no parser should be asked about: they cost memory and time without bound.

A refused answer is wrong, unless the gold answer is such a one too: none of the data sets has any.
"""

import re

MAX_ANSWER_CHARACTERS = 500  # the longest of MATH's 12 500 answers has about 160
MAX_LITERAL_DIGITS = 60
MAX_POWERS = 30
MAX_DEPTH = 8  # the published answers have at most 3; parsing time grows exponentially
MAX_EXPONENT = 10_000
MAX_FACTORIAL_DIGITS = 4
MAX_COMMANDS_IN_A_ROW = 5  # \sin\sin x: as with depth
MAX_SUBSCRIPTS = 10
MAX_BARS = 10

_POWER = re.compile(r"\^|\*\*")
_UNEVALUATED = re.compile(r"\\(?:sum|prod|coprod|o?i{1,3}nt|lim)(?![A-Za-z])|[∑∏∫]")
_COMMANDS = re.compile(rf"(?:\\[A-Za-z]+(?:_(?:\w|\{{\w*\}}))?\s*){{{MAX_COMMANDS_IN_A_ROW + 1}}}")
_OPERAND = re.compile(r"[+-]?(?:[\d.,]+|\\?[A-Za-z]+|[^\^])?")


def refusal(answer: str) -> str | None:
    """Why an answer is not parsed at all; None if it may be."""
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return f"longer than {MAX_ANSWER_CHARACTERS} characters"
    answer = answer.replace("\\!", "")  # a space, not a factorial
    if re.search(rf"\d{{{MAX_LITERAL_DIGITS + 1}}}", answer.replace(",", "")):
        return f"a number of more than {MAX_LITERAL_DIGITS} digits"
    if _depth(answer) > MAX_DEPTH:
        return f"brackets nested deeper than {MAX_DEPTH}"
    if re.search(rf"\d{{{MAX_FACTORIAL_DIGITS + 1},}}[\s)}}]*!|![\s)}}]*!", answer):
        return "a factorial of a factorial or of a large number"
    if "\\binom" in answer and re.search(rf"\d{{{MAX_FACTORIAL_DIGITS + 1}}}|\^|!", answer):
        return "a binomial coefficient of a large number"
    if _UNEVALUATED.search(answer):
        return "an unevaluated sum, product, integral or limit"
    if _COMMANDS.search(answer):
        return f"more than {MAX_COMMANDS_IN_A_ROW} commands in a row"
    if answer.count("_") > MAX_SUBSCRIPTS:
        return f"more than {MAX_SUBSCRIPTS} subscripts"
    if answer.count("|") > MAX_BARS:
        return f"more than {MAX_BARS} bars"
    text = re.sub(r"\\left|\\right|\s", "", _POWER.sub("^", answer))
    if text.count("^") > MAX_POWERS:
        return f"more than {MAX_POWERS} powers"
    if _tower_height(text) >= 3:
        return "a tower of powers"
    if any("!" in _operand(text, match.end()) for match in re.finditer(r"\^", text)):
        return "a power of a factorial"
    if any(_is_large_exponent(text[match.end() :]) for match in re.finditer(r"\^", text)):
        return f"an exponent above {MAX_EXPONENT}"
    return None


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        deepest = max(deepest, depth)
    return deepest


def _tower_height(text: str) -> int:
    """How many powers stand on each other's exponents: 1 for ``2^n``, 3 for ``2^{2^{2^n}}``."""
    return max((_height_above(text, match.end()) for match in re.finditer(r"\^", text)), default=0)


def _height_above(text: str, start: int) -> int:
    """The height of the power whose exponent starts at `start`."""
    end = _operand_end(text, start)
    height = 1 + _tower_height(text[start:end])
    if text[end : end + 1] == "^":  # 2^3^4 is 2^(3^4)
        height = max(height, 1 + _height_above(text, end + 1))
    return height


def _operand(text: str, start: int) -> str:
    end = _operand_end(text, start)
    # A factorial binds tighter: 9^9! is 9^(9!).
    return text[start : end + 1]


def _operand_end(text: str, start: int) -> int:
    """The index after the operand that starts at `start`: a bracket, or signs and a word."""
    if text[start : start + 1] in ("{", "(", "["):
        depth = 0
        for index in range(start, len(text)):
            depth += (text[index] in "({[") - (text[index] in ")}]")
            if depth == 0:
                return index + 1
        return len(text)
    match = _OPERAND.match(text, start)
    return match.end() if match else start


def _is_large_exponent(text: str) -> bool:
    """Whether an exponent is a large number, or a power of numbers that is one."""
    match = re.match(r"[({[+-]*(\d+)(?:\}?\^[({[]*(\d+))?", text)
    if match is None:
        return False
    base, exponent = match[1], match[2] or "1"
    if max(len(base), len(exponent)) > 9 or int(base) > MAX_EXPONENT:
        return True
    return int(base) > 1 and (int(exponent) > 20 or int(base) ** int(exponent) > MAX_EXPONENT)
