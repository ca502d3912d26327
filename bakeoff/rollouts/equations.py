"""The equations that a response writes: what makes two reasoning paths different."""

import re

_ANNOTATED = re.compile(r"<<([^<>=]*=[^<>]*)>>")  # GSM8K's calculator annotations
_WRITTEN = re.compile(r"[-+*/×÷().,$%\d\s]*\d[-+*/×÷().,$%\d\s]*=\s*-?[$]?\d[\d.,]*")
_DRESSING = re.compile(r"[\s,$]")


def equation_list(text: str) -> tuple[str, ...]:
    """The equations in order, without spaces, thousands separators and dollar signs.

    What RFT tells reasoning paths apart by (arXiv:2308.01825v2 section 3.3). Calculator annotations
    are read where there are any, else every ``expression = number`` in the text.
    """
    found = _ANNOTATED.findall(text) or _WRITTEN.findall(text)
    return tuple(_DRESSING.sub("", equation).rstrip(".") for equation in found)
