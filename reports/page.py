"""Parts as one page: HTML that needs nothing else, and the same as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2

from reports.canvas import FONT
from reports.palette import stylesheet
from reports.parts import Part

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a part lies: its folder below the report's, and the prefix of its ids on the page."""

    folder: str  # "" or with a slash at its end
    anchor: str


def page(form: Literal["html", "md"], parts: Sequence[Part], *, places: Sequence[Place]) -> str:
    """The text of report.html or report.md.

    A part's template is rendered on its own, with `study`, `anchor`, `tables`, `figures` (section
    -> name, alt, file and svg of each) and the part's context; nothing of one part reaches another.
    """
    environment = _environment(escape=form == "html")
    shown: list[dict[str, Any]] = []
    for part, place in zip(parts, places, strict=True):
        figures = {
            section: [
                {
                    "name": figure.name,
                    "alt": figure.alt,
                    "file": f"{place.folder}figures/{figure.name}.svg",
                    "svg": figure.on_page(place.anchor),
                }
                for figure in group
            ]
            for section, group in part.figures.items()
        }
        body = environment.get_template(f"{part.template}.{form}.j2").render(
            study=part.study,
            anchor=place.anchor,
            figures=figures,
            tables=part.tables,
            **part.context,
        )
        shown.append({"study": part.study, "anchor": place.anchor, "body": body})
    return environment.get_template(f"page.{form}.j2").render(
        parts=shown,
        title=" · ".join(part.study.name for part in parts),
        css=stylesheet(":root")
        + (TEMPLATES / "report.css").read_text("utf-8").replace("FONT", FONT),
    )


def _environment(*, escape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["fence"] = _fence
    return environment


def _fence(text: str) -> str:
    """A Markdown code block that the text cannot close."""
    longest = max(
        (len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0
    )
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}text\n{text}\n{ticks}"
