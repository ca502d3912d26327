"""The numbers of one evaluated policy, from its evaluations alone."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bakeoff.records import RunDirectory, read_lines
from reports.metrics import SCORES


def evaluation_metrics(directory: Path) -> Mapping[str, Mapping[str, float]]:
    """Split -> metric -> mean over problems and seeds; metrics that were not drawn are left out."""
    rows = list(read_lines(RunDirectory(directory).evaluations))
    splits = sorted({row["split"] for row in rows}, reverse=True)
    found: dict[str, dict[str, float]] = {split: {} for split in splits}
    for split in splits:
        for name, score in SCORES.items():
            scores = np.array([score(row) for row in rows if row["split"] == split])
            if not np.isnan(scores).all():
                found[split][name] = float(np.nanmean(scores))
    return found
