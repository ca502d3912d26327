"""Names and colours of methods: one mark per method over every figure, safe for colour blindness.

Hues follow Okabe and Ito (jfly.uni-koeln.de/color), darkened for text on white and lightened for
text on black; every method has a marker of its own besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

INK, MUTED, GRID, PAPER = "#1b1f24", "#69717c", "#d8dce1", "#fefefe"
# Grounds of a verdict, under text in INK.
BETTER, WORSE, OPEN = "#c9e2f3", "#f8dcc4", "#eceff3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a method looks."""

    variable: str  # CSS custom property
    colour: str  # on white; also the placeholder in matplotlib that becomes the variable
    dark: str  # on black
    marker: str  # matplotlib's code


_MARKS = (
    Mark(variable="--m0", colour="#0067a6", dark="#62b8f0", marker="o"),
    Mark(variable="--m1", colour="#966b00", dark="#f0b93a", marker="s"),
    Mark(variable="--m2", colour="#007f5b", dark="#3ccf9c", marker="^"),
    Mark(variable="--m3", colour="#c8480c", dark="#ff8b52", marker="D"),
    Mark(variable="--m4", colour="#a53f80", dark="#f08cc6", marker="v"),
    Mark(variable="--m5", colour="#4f55b8", dark="#aab0ff", marker="P"),
    Mark(variable="--m6", colour="#2d7d8f", dark="#6fd3e6", marker="X"),
    Mark(variable="--m7", colour="#7a5230", dark="#d9a878", marker="<"),
)
# Of more methods than there are marks, those that are not among the best.
GREY = Mark(variable="--muted", colour=MUTED, dark="#9aa3ae", marker=".")
COLOURED = len(_MARKS)
_FIXED = {"ppo": 0, "rft": 1, "online_rft": 2, "grpo": 3, "sft": 4}
_NAMES = {"ppo": "PPO", "rft": "RFT", "online_rft": "Online RFT", "grpo": "GRPO", "sft": "SFT"}
# Phases of a cell by what they do, dark to light: charged work first.
PHASES = {
    "sampling": ("sample",),
    "scoring and log-probabilities": ("score", "annotate"),
    "updating": ("update",),
    "other": ("evaluate", "measure", "checkpoint", "load"),
}
PHASE_COLOURS = {
    "sampling": "#3f4f6b",
    "scoring and log-probabilities": "#7487a8",
    "updating": "#a9b8d0",
    "other": "#e1e6ee",
}
# Of a stack of memory, largest first; as many as there are components.
COMPONENT_COLOURS = (
    *("#3f4f6b", "#7487a8", "#a9b8d0"),
    *(_MARKS[index].colour for index in (6, 1, 4, 7, 2, 3, 5, 0)),
    GREY.colour,
)
_NEUTRAL = {
    "--ink": (INK, "#e8eaed"),
    "--muted": (MUTED, "#9aa3ae"),
    "--grid": (GRID, "#363c45"),
    "--paper": (PAPER, "#14171b"),
    "--p0": ("#3f4f6b", "#b9c8e4"),
    "--p1": ("#7487a8", "#8193b5"),
    "--p2": ("#a9b8d0", "#566684"),
    "--p3": ("#e1e6ee", "#2f3848"),
    "--better": (BETTER, "#124663"),
    "--worse": (WORSE, "#61351a"),
    "--open": (OPEN, "#262b32"),
}


def marks(methods: Sequence[str], *, best: Sequence[str] = ()) -> dict[str, Mark]:
    """The mark of every method; presets always have the same one, others take what is free.

    Args:
        methods: in the order of the study.
        best: which of them are shown in colour where there are more than `COLOURED`, best first.
    """
    shown = methods if len(methods) <= COLOURED else [m for m in methods if m in best[:COLOURED]]
    taken = {_FIXED[m] for m in shown if m in _FIXED}
    free = (i for i in range(len(_MARKS)) if i not in taken)
    found = {m: _MARKS[_FIXED[m] if m in _FIXED else next(free)] for m in shown}
    return {m: found.get(m, GREY) for m in methods}


def display_name(method: str) -> str:
    """The name of a method as papers write it."""
    return _NAMES.get(method, method)


def variables() -> dict[str, tuple[str, str]]:
    """CSS custom property -> its colour in light and in dark."""
    return {**_NEUTRAL, **{mark.variable: (mark.colour, mark.dark) for mark in _MARKS}}


def stylesheet(selector: str) -> str:
    """CSS that defines the colours on `selector`, for light and dark."""
    light = "".join(f"{name}:{colours[0]};" for name, colours in variables().items())
    dark = "".join(f"{name}:{colours[1]};" for name, colours in variables().items())
    return (
        f"{selector}{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"
        f"@media print{{{selector}{{color-scheme:light;{light}}}}}"
    )
