"""From a study's records to its report: one page, the same as text, and the numbers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from reports.canvas import FONT, FigureFile, short_count
from reports.comparison import Comparison, compare, summary, winner_first
from reports.figures import (
    AXIS_NAMES,
    curves,
    curves_over_k,
    differences,
    is_offline,
    results,
    seconds,
    stability,
)
from reports.load import Study, load_study
from reports.metrics import PRIMARY
from reports.palette import display_name, marks, stylesheet
from reports.statistics import RESAMPLES
from reports.tables import (
    behaviour_table,
    cells_table,
    cost_table,
    equivalence_table,
    final_table,
    own_settings_table,
    pair_table,
    settings_table,
    skipped_table,
)
from reports.tabular import Table
from reports.transcripts import exhibits
from reports.verdict import gate_line, sentences

TEMPLATES = Path(__file__).parent / "templates"
_SEED = 20240203  # of the resamples, so that the same records give the same report


def write_report(study: Path) -> Path:
    """The path of report.html, after writing everything under `<study>/report/`.

    The same records give the same bytes.

    Raises:
        BakeoffError: a record is missing or malformed, or no cell has finished.
    """
    records = load_study(study)
    rng = np.random.default_rng(_SEED)
    comparison = compare(records, rng=rng)
    figures = _figures(records, comparison, rng)
    tables = _tables(records, comparison)
    directory = study / "report"
    for name in ("figures", "tables"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for figure in (figure for group in figures.values() for figure in group):
        (directory / "figures" / f"{figure.name}.svg").write_text(figure.standalone, "utf-8")
    for table in tables.values():
        (directory / "tables" / f"{table.name}.csv").write_text(table.csv(), "utf-8")
    numbers = json.dumps(summary(records, comparison), indent=1, allow_nan=False)
    (directory / "summary.json").write_text(numbers + "\n", "utf-8")
    context = _context(records, comparison, figures, tables)
    (directory / "report.md").write_text(_render("report.md.j2", context, escape=False), "utf-8")
    page = directory / "report.html"
    page.write_text(_render("report.html.j2", context, escape=True), "utf-8")
    return page


def _figures(
    study: Study, comparison: Comparison, rng: np.random.Generator
) -> dict[str, list[FigureFile]]:
    pairs = [winner_first(pair) for pair in comparison.pairs_of(PRIMARY)]
    return {
        "results": [results(study, comparison)],
        "curves": curves(study, rng=rng),
        "differences": [differences(pairs)] if pairs else [],
        "seconds": [seconds(study)],
        "over_k": curves_over_k(study, rng=rng),
        "stability": stability(study),
    }


def _tables(study: Study, comparison: Comparison) -> dict[str, Table]:
    primary = comparison.pairs_of(PRIMARY)
    others = [pair for pair in comparison.pairs if pair.metric != PRIMARY]
    return {
        "final": final_table(study, comparison),
        "behaviour": behaviour_table(study, comparison),
        "pairs": pair_table(primary, name="pairs"),
        "other_pairs": pair_table(others, name="pairs-other-metrics"),
        "equivalence": equivalence_table(study),
        "cost": cost_table(study),
        "settings": settings_table(study),
        "own_settings": own_settings_table(study),
        "cells": cells_table(study),
        "skipped": skipped_table(study),
    }


def _context(
    study: Study,
    comparison: Comparison,
    figures: dict[str, list[FigureFile]],
    tables: dict[str, Table],
) -> dict[str, Any]:
    look = marks(study.methods)
    seeds = sorted({len(result.seeds) for result in comparison.methods.values()})
    return {
        "study": study,
        "primary": PRIMARY,
        "gate": gate_line(study),
        "verdict": sentences(study, comparison),
        "budget": f"{short_count(study.budget)} "
        f"{AXIS_NAMES.get(study.budget_axis, study.budget_axis)}",
        "n_seeds": " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1]))),
        "one_seed": seeds[0] == 1,
        "methods": [(display_name(m), look[m].variable) for m in study.methods],
        "offline": [display_name(m) for m in study.methods if is_offline(study, m)],
        "unverified": _unverified(comparison),
        "exhibits": exhibits(study),
        "figures": {
            name: [{"name": f.name, "alt": f.alt, "svg": f.inline} for f in group]
            for name, group in figures.items()
        },
        "tables": tables,
        "resamples": RESAMPLES,
        "css": stylesheet(":root")
        + (TEMPLATES / "report.css").read_text("utf-8").replace("FONT", FONT),
    }


def _unverified(comparison: Comparison) -> Sequence[tuple[str, int]]:
    counts = [(display_name(m), result.unverified) for m, result in comparison.methods.items()]
    if comparison.start:
        counts.insert(0, ("start", comparison.start.unverified))
    return [(name, count) for name, count in counts if count]


def _render(template: str, context: dict[str, Any], *, escape: bool) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["fence"] = _fence
    return environment.get_template(template).render(context)


def _fence(text: str) -> str:
    """A Markdown code block that the text cannot close."""
    longest = max(
        (len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0
    )
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}text\n{text}\n{ticks}"
