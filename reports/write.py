"""From studies' records to their report: one page, the same as text, and the numbers."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from bakeoff.errors import ConfigError
from reports.ablation.part import ablation_part
from reports.comparison_part import comparison_part
from reports.load import METRIC_KEYS, Study, load_study
from reports.merge import merge
from reports.page import Place, page
from reports.parts import Part
from reports.set_up import WARMUP_KEY

SCHEMA = 1
_SEED = 20240203  # of the resamples, so that the same records give the same report


def write_report(*studies: Path, out: Path | None = None) -> Path:
    """The path of report.html, after writing everything beside it.

    The same records give the same bytes. Comparisons of the same world are pooled
    (reports.merge); other studies are parts of one page.

    Args:
        studies: folders with a study.json.
        out: the report's folder; None means `<study>/report` of the one study.

    Raises:
        BakeoffError: a record is missing or malformed, or a study has no finished cell.
        ConfigError: no study, or several without `out`.
    """
    if not studies:
        raise ConfigError("no study was named, expected one folder or more; name a study's folder")
    if out is None:
        if len(studies) > 1:
            raise ConfigError(
                f"{len(studies)} studies make one report, expected a folder for it; name it with "
                "--out FOLDER"
            )
        out = studies[0] / "report"
    parts = [
        _part(study)
        for study in merge(
            [load_study(path, metrics=(*METRIC_KEYS, WARMUP_KEY)) for path in studies]
        )
    ]
    places = _places(parts, alone=len(studies) == 1)
    for part, place in zip(parts, places, strict=True):
        _write_files(part, out / place.folder)
    summaries = [part.summary for part in parts]
    numbers = summaries[0] if len(studies) == 1 else {"schema": SCHEMA, "studies": summaries}
    text = json.dumps(numbers, indent=1, allow_nan=False)
    (out / "summary.json").write_text(text + "\n", "utf-8")
    (out / "report.md").write_text(page("md", parts, places=places), "utf-8")
    file = out / "report.html"
    file.write_text(page("html", parts, places=places), "utf-8")
    return file


def _part(study: Study) -> Part:
    rng = np.random.default_rng(_SEED)
    if study.kind == "ablation":
        return ablation_part(study, rng=rng)
    return comparison_part(study, rng=rng)


def _places(parts: Sequence[Part], *, alone: bool) -> list[Place]:
    """One study lies in the report's folder itself; of several, each has its own."""
    if alone:
        return [Place(folder="", anchor="study")]
    places: list[Place] = []
    for part in parts:
        plain = re.sub(r"[^a-z0-9]+", "-", part.study.name.lower()).strip("-") or "study"
        taken = {place.anchor for place in places}
        name = next(one for one in _numbered(plain) if one not in taken)
        places.append(Place(folder=f"{name}/", anchor=name))
    return places


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _write_files(part: Part, directory: Path) -> None:
    for name in ("figures", "tables"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for figure in (figure for group in part.figures.values() for figure in group):
        (directory / "figures" / f"{figure.name}.svg").write_text(figure.standalone, "utf-8")
    for table in part.tables.values():
        (directory / "tables" / f"{table.name}.csv").write_text(table.csv(), "utf-8")
