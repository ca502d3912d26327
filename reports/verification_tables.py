"""The numbers of judged responses as tables to read, and as files."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bakeoff.records import write_json
from reports.selection import SUBSETS
from reports.statistics import RESAMPLES, Interval
from reports.tabular import Entry, Table
from reports.verification import BEST, MAJORITY, PASS, WEIGHTED, Choice, Pair, Verification

SCHEMA = 1
_HEADINGS = {
    PASS: "pass@K",
    MAJORITY: "maj@K",
    BEST: "best of K",
    WEIGHTED: "weighted vote",
}


def verification_tables(found: Verification) -> tuple[Table, ...]:
    """Accuracy and format, every way by K, and, where there are scores, the comparisons."""
    tables = (_overall_table(found), _way_table(found))
    return (*tables, _pair_table(found)) if found.pairs else tables


def notes(found: Verification) -> tuple[str, ...]:
    """What a reader of the tables must know, a sentence each."""
    lines = [
        f"{len(found.problems)} problems, {found.responses} responses, of which {found.unjudged} "
        "without a verdict are left out.",
        f"Per cent, with 95 % intervals over problems ({RESAMPLES} bootstrap resamples). The "
        "responses are one set of draws: nothing here is about another training run.",
    ]
    if found.pairs:
        lines.append(
            f"A weighted vote below all responses is the mean over at most {SUBSETS} subsets of a "
            "problem's responses; everything else is exact."
        )
    if found.below_zero:
        lines.append(
            f"Scores of {', '.join(found.below_zero)} go below 0, where one more vote lowers an "
            "answer's sum: read their weighted votes with care."
        )
    return tuple(lines)


def summary(found: Verification) -> dict[str, Any]:
    """verification.json, schema 1. Accuracies are shares in [0, 1]."""
    return {
        "schema": SCHEMA,
        "problems": len(found.problems),
        "responses": found.responses,
        "unjudged": found.unjudged,
        "accuracy": asdict(found.accuracy.interval),
        "format_rate": asdict(found.format_rate.interval),
        "subsets": SUBSETS,
        "ks": [
            {
                "k": k,
                "problems": found.count(k),
                "ways": {way: asdict(choice.interval) for way, choice in ways.items()},
            }
            for k, ways in found.at.items()
        ],
        "pairs": [_record(pair) for pair in found.pairs],
    }


def write_verification(
    found: Verification, folder: Path, *, provenance: Mapping[str, str | int]
) -> None:
    """Writes verification.json and verification.md, over earlier ones.

    Args:
        provenance: what the numbers are of: file, task, seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "verification.json", dict(provenance) | summary(found))
    parts = [
        "# Verification",
        "\n".join(f"- {name}: {json.dumps(value)}" for name, value in provenance.items()),
        *(table.markdown() for table in verification_tables(found)),
        *notes(found),
    ]
    (folder / "verification.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _overall_table(found: Verification) -> Table:
    named = {"accuracy": found.accuracy, "format rate": found.format_rate}
    return Table(
        name="verification",
        columns=tuple(named),
        rows=(tuple(_share(choice) for choice in named.values()),),
        records=tuple({"metric": n} | asdict(choice.interval) for n, choice in named.items()),
    )


def _way_table(found: Verification) -> Table:
    ways = next(iter(found.at.values()))
    return Table(
        name="verification-ways",
        columns=("K", "problems", *map(_heading, ways)),
        rows=tuple(
            (
                Entry(text=str(k), numeric=True),
                Entry(text=str(found.count(k)), numeric=True),
                *(_share(choice) for choice in choices.values()),
            )
            for k, choices in found.at.items()
        ),
        records=tuple(
            {"k": k, "problems": found.count(k), "way": way} | asdict(choice.interval)
            for k, choices in found.at.items()
            for way, choice in choices.items()
        ),
    )


def _pair_table(found: Verification) -> Table:
    return Table(
        name="verification-pairs",
        columns=("pair", "K", "problems", "difference, points", "p", "p, Holm", "verdict"),
        rows=tuple(
            (
                Entry(text=f"{_heading(pair.a)} − {_heading(pair.b)}"),
                Entry(text=str(pair.k), numeric=True),
                Entry(text=str(pair.difference.problems), numeric=True),
                _points(pair.difference.interval),
                Entry(text=_p_value(pair.difference.p_value), numeric=True),
                Entry(text=_p_value(pair.p_value_holm), numeric=True),
                Entry(text=pair.verdict, quiet=pair.verdict == "inconclusive"),
            )
            for pair in found.pairs
        ),
        records=tuple(_record(pair) for pair in found.pairs),
    )


def _record(pair: Pair) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "k": pair.k,
        "problems": pair.difference.problems,
        "difference": pair.difference.interval.mean,
        "low": pair.difference.interval.low,
        "high": pair.difference.interval.high,
        "p_value": pair.difference.p_value,
        "p_value_holm": pair.p_value_holm,
        "verdict": pair.verdict,
    }


def _heading(way: str) -> str:
    kind, _, name = way.partition(":")
    return f"{_HEADINGS[kind]}, {name}" if name else _HEADINGS[kind]


def _share(choice: Choice) -> Entry:
    mean, low, high = _percent(choice.interval)
    return Entry(text=f"{mean:.1f}", detail=f"{low:.1f}–{high:.1f}", numeric=True)


def _points(difference: Interval) -> Entry:
    text, low, high = (f"{v:+.1f}".replace("-", "−") for v in _percent(difference))
    return Entry(text=text, detail=f"{low} to {high}", numeric=True)


def _percent(interval: Interval) -> tuple[float, ...]:
    # Adding 0 turns a rounded -0.0 into 0.0.
    return tuple(round(100 * v, 1) + 0.0 for v in (interval.mean, interval.low, interval.high))


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
