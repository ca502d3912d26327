"""What choosing a comparison's settings took, before any of its cells ran."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bakeoff.errors import BakeoffError
from bakeoff.records import Row, read_json
from reports.ablation.load import Trial, read_ablation
from reports.fields import need
from reports.load import Study

METHOD = "method"  # a factor of this name says whose settings a trial tried
_RECORD = "study.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The search that settings were chosen by, or one method's part of it."""

    source: str  # its folder, as the suite names it
    method: str = ""  # empty: it was for all methods together
    settings: int | None = None  # tried; None here and below where no record says
    cells: int | None = None
    device_seconds: float | None = None
    sampled_tokens: float | None = None


def tuning(study: Study) -> tuple[Tuning, ...]:
    """What the searches that the study names have spent, pruned and failed trials included."""
    return tuple(row for source in study.tuning for row in _searched(study.path, source))


def _searched(study: Path, source: str) -> list[Tuning]:
    named = Path(source)
    # As the suite has it; or it was moved together with the study.
    folders = (named, study / named, study.parent / named.name)
    file = next((f for folder in folders if (f := folder / _RECORD).is_file()), None)
    if file is None:
        return [Tuning(source=source)]
    try:
        record = read_json(file)
        trials = read_ablation(need(record, "ablation", file, dict), file).trials
    except BakeoffError:
        return [Tuning(source=source)]
    methods = dict.fromkeys(str(trial.levels.get(METHOD, "")) for trial in trials)
    return [
        _bill(source, method, [t for t in trials if t.levels.get(METHOD, "") == method], record)
        for method in methods
    ] or [Tuning(source=source)]


def _bill(source: str, method: str, trials: Iterable[Trial], record: Row) -> Tuning:
    tried = {trial.number: trial for trial in trials if trial.state != "waiting"}
    return Tuning(
        source=source,
        method=method,
        settings=len(tried),
        cells=sum(cell.get("trial") in tried for cell in record.get("cells", ())),
        device_seconds=sum(t.cost.get("device_seconds", 0.0) for t in tried.values()),
        sampled_tokens=sum(t.cost.get("sampled_tokens", 0.0) for t in tried.values()),
    )
