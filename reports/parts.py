"""What one study contributes to a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.canvas import FigureFile
from reports.load import Study
from reports.tabular import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A study with everything that is shown of it."""

    study: Study
    template: str  # "comparison" or "ablation": templates/<template>.html.j2 and .md.j2
    figures: Mapping[str, Sequence[FigureFile]]  # by section; names unique within a part
    tables: Mapping[str, Table]
    context: Mapping[str, Any]  # what else the template reads
    summary: Mapping[str, Any]  # of this study, in summary.json
