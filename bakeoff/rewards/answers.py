"""Equality of final answers as far as strings and exact numbers decide it, in this process.

What needs algebra (``\\frac{\\sqrt{2}}{2}`` against ``\\frac{1}{\\sqrt{2}}``) is left undecided.
Answers of GSM8K, SVAMP, CMATH and MGSM are plain numbers and are all decided here.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_NUMBER_DIGITS = 40
FRACTION_TOLERANCE = Fraction(1, 2_000_000)  # a fraction against its decimals, of which six count

# "5 million" is not 5 and "2 pi" is not 2; any other words after a number are its unit.
_NOT_UNITS = re.compile(
    r"\b(?:pi|e|i|or|and|plus|minus|times|over|base|mod|sqrt|sin|cos|tan|log|ln|exp|more|less|not"
    r"|hal(?:f|ves)|(?:third|quarter|fourth|fifth|sixth|eighth|tenth|hundredth|thousandth)s?"
    r"|(?:ten|hundred|thousand|million|billion|trillion|dozen)s?|score)\b",
    re.IGNORECASE,
)
_SHORT_UNITS = "cm|mm|km|m|kg|mg|g|ml|l|ft|in|mi|yd|lbs?|oz|hrs?|h|mins?|s|mph|kmh|RMB|USD"
_CHINESE_NOT_UNITS = "万亿千百十半分之或和成折"

_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf|textrm|operatorname)\s*\{([^{}]*)\}")
_REMOVED = re.compile(
    r"\\left(?![a-z])|\\right(?![a-z])|\\[!,;:]|\\q?quad|\^(?:\{\s*\\circ\s*\}|\s*\\circ)|\\degree|°"
    r"|[\x00-\x08\x0b-\x1f\x7f]"
)
_REPLACED = (
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("\\cfrac", "\\frac"),
    ("\\ ", " "),
    ("~", " "),
    ("\\%", "%"),
    ("％", "%"),
    ("\\$", "$"),
    ("{,}", ","),
    ("，", ","),
    ("−", "-"),
)
_DELIMITED = re.compile(r"\$\$(.+)\$\$|\$([^$]+)\$|\\\((.+)\\\)|\\\[(.+)\\\]", re.DOTALL)
_SHORT_FRACTION = re.compile(r"\\frac\s*(?:(\d)|\{([^{}]*)\})\s*(?:(\d)|\{([^{}]*)\})")
_BASE_NUMBER = re.compile(r"([0-9A-Za-z]+)_\{?(\d{1,2})\}?")
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\s*[$¥€£￥]?\s*"
    r"(?:(?P<whole>\d{1,3}(?:,\d{3})+|\d+)?(?P<decimals>\.\d*)?(?:\s*/\s*(?P<denominator>\d+))?"
    r"|\\frac\{(?P<top_sign>-?)(?P<top>\d+)\}\{(?P<bottom>\d+)\})"
    r"(?:\s*(?P<percent>%|percent\b))?(?P<unit>\D{0,60}?(?:\^\{?[23]\}?)?)"
)
_UNIT = re.compile(
    # Bare words need a space before them, or "5xy" would be 5.
    rf"(?:(?:\s*«[A-Za-z .,/-]*»|\s+(?:{_SHORT_UNITS})|\s+[A-Za-z]{{3,}}(?:[ ./]+[A-Za-z]+)*\.?)"
    r"\s*(?:\^\{?[23]\}?|[²³])?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A plain number as it was written."""

    value: Fraction  # of "40%": 40
    percent: bool
    is_fraction: bool  # written with a bar or a slash


def same_answer(gold: str, answer: str) -> bool | None:
    """Whether two final answers are equal; None when strings and numbers cannot tell."""
    if canonical(gold) == canonical(answer):
        return True
    gold_number, answer_number = parse_number(gold), parse_number(answer)
    if gold_number is not None and answer_number is not None:
        return same_number(gold_number, answer_number)
    return _same_base_number(canonical(gold), canonical(answer))


def same_number(gold: Number, answer: Number) -> bool:
    """Exact equality; 40% equals both 40 and 0.4, and 1/3 equals 0.333333 (six decimals)."""
    gold_values, answer_values = [gold.value], [answer.value]
    if gold.percent and not answer.percent:
        gold_values.append(gold.value / 100)
    if answer.percent and not gold.percent:
        answer_values.append(answer.value / 100)
    tolerance = FRACTION_TOLERANCE if gold.is_fraction != answer.is_fraction else 0
    return any(abs(one - other) <= tolerance for one in gold_values for other in answer_values)


def parse_number(text: str) -> Number | None:
    """The plain number that `text` is, with or without currency, unit, separators; else None."""
    match = _NUMBER.fullmatch(_readable(text))
    if match is None or not _is_unit(match["unit"]):
        return None
    whole, decimals = match["whole"] or "", match["decimals"] or ""
    digits = whole.replace(",", "") + decimals
    if match["top"] is not None:
        top, bottom = match["top"], match["bottom"]
    elif digits.strip("."):
        top, bottom = digits, match["denominator"] or "1"
    else:
        return None
    if max(len(top), len(bottom)) > MAX_NUMBER_DIGITS or not int(bottom):
        return None
    negative = (match["sign"] == "-") != (match["top_sign"] == "-")
    return Number(
        value=Fraction(top.rstrip(".")) / int(bottom) * (-1 if negative else 1),
        percent=match["percent"] is not None,
        is_fraction=int(bottom) != 1,
    )


def canonical(text: str) -> str:
    """One spelling of an answer: no spacing, delimiters, text macros or trailing full stop."""
    text = _readable(text).replace("«", "").replace("»", "")
    # Space between two digits means something: "1 1/2" is not "11/2".
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)
    choice = re.fullmatch(r"\(([A-Za-z])\)", text)
    if choice:
        return choice[1]
    return text.lower() if re.fullmatch(r"[A-Za-z]{2,}", text) else text


def _readable(text: str) -> str:
    """`text` without LaTeX's dressing; the content of text macros is in « »."""
    for old, new in _REPLACED:
        text = text.replace(old, new)
    text = _REMOVED.sub("", text).strip()
    delimited = _DELIMITED.fullmatch(text)
    if delimited:
        text = next(group for group in delimited.groups() if group is not None).strip()
    text = _TEXT.sub(lambda match: f" «{match[1].strip()}»", text)
    text = _SHORT_FRACTION.sub(
        lambda match: f"\\frac{{{match[1] or match[2]}}}{{{match[3] or match[4]}}}", text
    )
    return text.strip().rstrip(".。").strip()


def _is_unit(text: str) -> bool:
    if re.fullmatch(r"\s*[\u4e00-\u9fff/]*", text):
        return not set(text) & set(_CHINESE_NOT_UNITS)
    return _UNIT.fullmatch(text) is not None and _NOT_UNITS.search(text) is None


def _same_base_number(gold: str, answer: str) -> bool | None:
    """Decides for a gold such as ``2516_8``; without its base an answer is taken to share it."""
    gold_match, answer_match = _BASE_NUMBER.fullmatch(gold), _BASE_NUMBER.fullmatch(answer)
    if gold_match is None or not gold_match[1].isalnum() or not gold_match[1][0].isdigit():
        return None
    if answer_match is not None:
        return gold_match.groups() == answer_match.groups()
    return gold_match[1] == answer if answer.isalnum() else None
