"""The numbers of one evaluated policy, from its evaluations alone."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bakeoff.records import RunDirectory
from reports.evaluations import read_start
from reports.metrics import SCORES


def evaluation_metrics(directory: Path) -> Mapping[str, Mapping[str, float]]:
    """Split -> metric -> mean over problems and seeds; metrics that were not drawn are left out."""
    start = read_start(RunDirectory(directory).evaluations)
    splits = sorted({split for by_split in start.values() for split in by_split}, reverse=True)
    found: dict[str, dict[str, float]] = {split: {} for split in splits}
    for split in splits:
        evaluations = [by_split[split] for by_split in start.values() if split in by_split]
        for name, score in SCORES.items():
            scores = np.concatenate([score(evaluation) for evaluation in evaluations])
            if not np.isnan(scores).all():
                found[split][name] = float(np.nanmean(scores))
    return found
