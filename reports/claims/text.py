"""Findings as text: numbers with their units, tables of claims, values and arms."""

from collections.abc import Sequence

from reports.claims.arms import ArmEnd
from reports.claims.effects import POINTS
from reports.claims.finding import PER_CENT, Finding, Value
from reports.claims.judges import Judged
from reports.statistics import Interval
from reports.tabular import Entry, Table
from reports.verdict import duration

_SHOWN = 3  # deciding numbers in the row of a claim; of more, the largest
_NONE = Entry(text="–", numeric=True, quiet=True)


def claim_table(judged: Sequence[Judged]) -> Table:
    """One row a claim: the paper's figure, what decides here, the verdict."""
    return Table(
        name="claims",
        columns=("#", "claim", "paper", "here", "verdict"),
        rows=tuple(
            (
                Entry(text=str(one.claim.number), numeric=True),
                Entry(text=one.claim.title),
                Entry(text=one.claim.figure),
                Entry(text=_deciding(one.finding)),
                Entry(text=one.finding.verdict),
            )
            for one in judged
        ),
        records=(),
    )


def value_table(finding: Finding) -> Table:
    """Every number of a finding; those that decide are marked."""
    return Table(
        name="values",
        columns=("number", "value", "unit", "p", "p, Holm", "decides"),
        rows=tuple(
            (
                Entry(text=value.name),
                Entry(text=number(value), detail=spread(value), numeric=True),
                Entry(text=value.unit),
                _p_entry(value.p_value),
                _p_entry(value.p_value_holm),
                Entry(text="yes" if value.decides else ""),
            )
            for value in finding.values
        ),
        records=(),
    )


def arm_table(ends: Sequence[ArmEnd]) -> Table:
    """The start and every arm at its end."""
    return Table(
        name="arms",
        columns=(
            "policy",
            "seeds",
            "pass@1, %",
            "greedy, %",
            "OOD pass@1, %",
            "entropy, nats",
            "wall time of a cell",
        ),
        rows=tuple(
            (
                Entry(text=end.policy),
                Entry(text=str(len(end.seeds)), numeric=True),
                _share(end.pass_at_1),
                _share(end.greedy),
                _share(end.ood),
                _NONE if end.entropy is None else Entry(text=f"{end.entropy:.3g}", numeric=True),
                _NONE
                if end.wall_seconds is None
                else Entry(text=duration(end.wall_seconds), numeric=True),
            )
            for end in ends
        ),
        records=(),
    )


def number(value: Value) -> str:
    """The value, signed where it is a difference."""
    return _formatted(value.value, value)


def spread(value: Value) -> str:
    """The interval; empty where there is none."""
    if value.low is None or value.high is None:
        return ""
    return f"{_formatted(value.low, value)} to {_formatted(value.high, value)}"


def _formatted(amount: float, value: Value) -> str:
    sign = "+" if value.difference else ""
    if value.unit in (POINTS, PER_CENT):
        # Adding 0 turns a rounded -0.0 into 0.0.
        text = f"{round(amount, 1) + 0.0:{sign}.1f}"
    else:
        text = f"{amount + 0.0:{sign}.3g}"
    return text.replace("-", "−")


def _deciding(finding: Finding) -> str:
    values = [value for value in finding.values if value.decides]
    if not values or not values[0].difference:
        return finding.reason
    if len(values) <= _SHOWN:
        return "; ".join(map(_told, values))
    largest = max(values, key=lambda value: abs(value.value))
    return f"{_told(largest)}, the largest of {len(values)}"


def _told(value: Value) -> str:
    interval = f" ({spread(value)})" if spread(value) else ""
    return f"{value.name}: {number(value)}{interval} {value.unit}"


def _share(interval: Interval | None) -> Entry:
    if interval is None:
        return _NONE
    mean, low, high = (100 * part for part in (interval.mean, interval.low, interval.high))
    return Entry(text=f"{mean:.1f}", detail=f"{low:.1f}–{high:.1f}", numeric=True)


def _p_entry(p_value: float | None) -> Entry:
    if p_value is None:
        return _NONE
    return Entry(text="< 0.001" if p_value < 0.001 else f"{p_value:.3f}", numeric=True)
