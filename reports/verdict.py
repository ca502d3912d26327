"""The report's first words: three sentences that follow from the numbers and from nothing else."""

from collections.abc import Sequence

from reports.canvas import short_count
from reports.comparison import Comparison, Pair
from reports.figures import AXIS_NAMES
from reports.load import Study
from reports.metrics import PRIMARY
from reports.palette import display_name

SEEDS_NAMED = 100  # beyond it the number itself is no plan
NAMED, FIRST = 8, 4  # so many names still read as a sentence; of more, so many are said


def sentences(study: Study, comparison: Comparison) -> tuple[str, ...]:
    """Who leads in pass@1 at the equal budget, what stays open, and what it cost."""
    return (_lead(study, comparison), _open(study, comparison), _cost(study, comparison))


def gate_line(study: Study) -> str:
    """Says whether the study is comparable; if not, with every reason."""
    if study.gate.passed:
        return "Comparable: the conformance gate passed before the study started."
    return "NOT COMPARABLE: " + "; ".join(study.gate.reasons)


def _lead(study: Study, comparison: Comparison) -> str:
    scores = {
        method: result.metrics[PRIMARY]
        for method, result in comparison.methods.items()
        if PRIMARY in result.metrics
    }
    if not scores:
        return f"No method has a final {PRIMARY}."
    best = max(scores, key=lambda method: scores[method].mean)
    score = scores[best]
    budget = f"{short_count(study.budget)} {AXIS_NAMES.get(study.budget_axis, study.budget_axis)}"
    number = (
        f"{100 * score.mean:.1f} % (95 % interval {100 * score.low:.1f} to {100 * score.high:.1f})"
    )
    start = ""
    if comparison.start and PRIMARY in comparison.start.metrics:
        start = f", from {100 * comparison.start.metrics[PRIMARY].mean:.1f} % at the start"
    if len(scores) == 1:
        return f"After {budget}, {display_name(best)} reaches {number} {PRIMARY}{start}."
    tied = [display_name(m) for m, other in scores.items() if other.mean == score.mean]
    if len(tied) > 1:
        shared = f"{_listed(tied)} share the highest mean"
        return f"At an equal budget of {budget}, {shared}: {number}{start}."
    mine = [pair for pair in comparison.pairs_of(PRIMARY) if best in (pair.a, pair.b)]
    open_rivals = [
        display_name(pair.b if pair.a == best else pair.a)
        for pair in mine
        if pair.verdict == "inconclusive"
    ]
    if not study.gate.passed:
        claim = "has the highest mean, which does not rank it"
    elif not mine:
        claim = "has the highest mean, with no pair of runs to test it on"
    elif not open_rivals:
        claim = "leads every other method"
    elif len(open_rivals) == len(mine):
        claim = "has the highest mean, but its lead over no other method is established"
    else:
        claim = f"has the highest mean, its lead over {_listed(open_rivals)} not established"
    return f"At an equal budget of {budget}, {display_name(best)} {claim}: {number}{start}."


def _open(study: Study, comparison: Comparison) -> str:
    pairs = comparison.pairs_of(PRIMARY)
    single = [display_name(m) for m, r in comparison.methods.items() if len(r.seeds) == 1]
    caveat = ""
    if single:
        caveat = (
            f"; with one seed ({_listed(single)}) intervals come from problems alone, "
            "so another run could differ"
        )
    if not pairs:
        return f"There is no pair of methods to compare{caveat}."
    if not study.gate.passed:
        return f"The pairs below are arithmetic on these runs, not findings about methods{caveat}."
    unclear = [pair for pair in pairs if pair.verdict == "inconclusive"]
    if not unclear:
        many = f"All {len(pairs)} pairs differ" if len(pairs) > 1 else "The pair differs"
        return f"{many} in {PRIMARY} at the 5 % level after Holm's correction{caveat}."
    names = _listed([f"{display_name(p.a)} against {display_name(p.b)}" for p in unclear])
    return (
        f"{len(unclear)} of {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} "
        f"{'is' if len(unclear) == 1 else 'are'} inconclusive: {names}"
        f"{_more_seeds(unclear, comparison)}{caveat}."
    )


def more_seeds(pair: Pair, comparison: Comparison) -> int | None:
    """How many seeds beyond the shared ones would tell a pair apart; None where nobody knows."""
    if pair.seeds_needed is None:
        return None
    shared = set(comparison.methods[pair.a].seeds) & set(comparison.methods[pair.b].seeds)
    return max(1, pair.seeds_needed - len(shared))


def _more_seeds(unclear: Sequence[Pair], comparison: Comparison) -> str:
    counts = sorted(n for pair in unclear if (n := more_seeds(pair, comparison)) is not None)
    if not counts:
        return ""
    few, many = (
        f"{n}" if n <= SEEDS_NAMED else f"over {SEEDS_NAMED}" for n in (counts[0], counts[-1])
    )
    seeds = few if few == many else f"{few} to {many}"
    noun = "seed" if many == "1" else "seeds"
    them = "them" if len(counts) == len(unclear) else f"{len(counts)} of them"
    return f"; about {seeds} more {noun} would tell {them} apart"


def _cost(study: Study, comparison: Comparison) -> str:
    costs = {
        method: result.ledger["device_seconds"]
        for method, result in comparison.methods.items()
        if "device_seconds" in result.ledger
    }
    if not costs:
        return "The ledgers say nothing about device time."
    total = sum(float(cell.ledger.get("device_seconds") or 0.0) for cell in study.cells)
    low, high = min(costs, key=lambda m: costs[m]), max(costs, key=lambda m: costs[m])
    if low == high:
        each = f"{display_name(low)} was charged {duration(costs[low])} of device time a seed"
    else:
        each = (
            f"A seed was charged from {duration(costs[low])} of device time"
            f" ({display_name(low)}) to {duration(costs[high])} ({display_name(high)})"
        )
    peaks = {
        method: result.ledger["peak_bytes"]
        for method, result in comparison.methods.items()
        if "peak_bytes" in result.ledger
    }
    memory = ""
    if peaks:
        most = max(peaks, key=lambda m: peaks[m])
        memory = f", at most {size(peaks[most])} of memory ({display_name(most)})"
    runs = f"the {len(study.cells)} finished cells" if len(study.cells) > 1 else "the cell"
    return f"{each}{memory}; {runs} took {duration(total)} in all."


def duration(seconds: float) -> str:
    """Seconds in the unit a person would say."""
    if 0 < seconds < 0.01:
        return "< 0.01 s"
    if seconds < 120:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in decimal units."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} B"


def claims(pair: Pair) -> str:
    """What a pair shows, in words."""
    if pair.verdict == "inconclusive":
        return "inconclusive"
    return f"{display_name(pair.a)} {pair.verdict}"


def _listed(names: Sequence[str]) -> str:
    """The names in words; of many only the first few, for the tables have them all."""
    if len(names) == 1:
        return names[0]
    if len(names) > NAMED:
        return ", ".join(names[:FIRST]) + f" and {len(names) - FIRST} others"
    return ", ".join(names[:-1]) + " and " + names[-1]
