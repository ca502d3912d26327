"""The tables of what was run: what each name means, settings, and the cells themselves."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from reports.figures import Look
from reports.frameworks import Elsewhere, elsewhere
from reports.load import Cell, Study
from reports.palette import display_name
from reports.tabular import SHOWN, Entry, Table, named, number, rows_left_out

SECTIONS = ("model", "task", "reward", "sampling", "optimizer", "training", "budget", "evaluation")
UNKNOWN = "not recorded"
_SOURCES = {
    "current_policy": "current policy",
    "initial_policy": "starting policy, pool sampled first",
    "mixed_policy": "current policy, a share from the starting one",
    "demonstrations": "demonstrations",
    "gold": "faultless solutions",
}


def equivalence_table(study: Study, *, look: Look) -> Table:
    """What each method's name means here, from its frozen config."""
    raw = []
    for method in study.methods:
        config = study.of(method)[0].config
        conventions = config.get("conventions", {})
        source = str(config.get("source", UNKNOWN))
        raw.append(
            {
                "method": method,
                "data source": _SOURCES.get(source, source),
                "reward": _reward(config.get("reward", {})),
                "advantage": conventions.get("advantage", UNKNOWN),
                "token loss": conventions.get("loss", UNKNOWN),
                "KL: place and estimator": conventions.get("kl", UNKNOWN),
                "aggregation": config.get("aggregation", UNKNOWN),
                "learning rate": config.get("optimizer", {}).get("learning_rate", UNKNOWN),
                "group size": config.get("method_settings", {}).get("group_size", "–"),
                "updates a batch": config.get("updates_per_batch", UNKNOWN),
            }
        )
    return Table(
        name="equivalence",
        columns=tuple(raw[0]),
        rows=tuple(
            (
                named(record["method"], look[record["method"]]),
                *(Entry(text=_setting(value)) for value in list(record.values())[1:]),
            )
            for record in raw
        ),
        records=tuple(raw),
    )


def frameworks_table(study: Study, method: str) -> Table:
    """A method's name here, in its paper and by default elsewhere; no rows where it has none."""
    others = elsewhere(method)
    sources = [_here(study, method), *others]
    records = [
        {"setting": name} | {one.where: getattr(one, key) for one in sources}
        for key, name in _COMPARED.items()
        if others
    ]
    return Table(
        name=f"frameworks-{method}",
        columns=(display_name(method), *(one.where for one in sources)),
        rows=tuple(tuple(Entry(text=text) for text in record.values()) for record in records),
        records=tuple(records),
    )


_COMPARED = {
    "advantage": "advantage",
    "loss": "token loss",
    "aggregation": "aggregation",
    "kl": "KL",
    "group_size": "group size",
    "learning_rate": "learning rate",
    "other": "besides",
    "source": "source",
    "date": "read",
}


def _here(study: Study, method: str) -> Elsewhere:
    """The same words of a method as this study ran it."""
    config = study.of(method)[0].config
    conventions = config.get("conventions", {})
    updates = config.get("updates_per_batch")
    return Elsewhere(
        where="here",
        methods=(method,),
        advantage=str(conventions.get("advantage", UNKNOWN)),
        loss=str(conventions.get("loss", UNKNOWN)),
        aggregation=str(config.get("aggregation", UNKNOWN)).replace("_", " "),
        kl=str(conventions.get("kl", UNKNOWN)),
        group_size=str(config.get("method_settings", {}).get("group_size", "–")),
        learning_rate=_setting(config.get("optimizer", {}).get("learning_rate", UNKNOWN)),
        other="–" if updates is None else f"{updates} update{'s' * (updates != 1)} a batch",
        source="config.json of its cells",
        date="–",
    )


def _reward(reward: Mapping[str, Any]) -> str:
    """The reward function and what is taken off it."""
    shaped = {
        f"length penalty {reward.get('length_penalty')}": reward.get("length_penalty"),
        f"overlong buffer {reward.get('overlong_buffer_tokens')}": reward.get(
            "overlong_buffer_tokens"
        ),
        f"wrong {reward.get('wrong_reward')}": reward.get("wrong_reward"),
    }
    return ", ".join(
        [str(reward.get("reward", UNKNOWN)), *(text for text, set_ in shaped.items() if set_)]
    )


def settings_table(study: Study) -> Table:
    """Every setting that is the same in all finished cells."""
    first, *rest = [_flat(cell) for cell in study.cells]
    common = {k: v for k, v in first.items() if all(other.get(k) == v for other in rest)}
    records = [{"setting": key, "value": _setting(value)} for key, value in common.items()]
    rows = [(Entry(text=r["setting"]), Entry(text=r["value"])) for r in records]
    return Table(
        name="settings", columns=("setting", "value"), rows=tuple(rows), records=tuple(records)
    )


def own_settings_table(study: Study) -> Table:
    """Every setting in which methods differ, and the methods' own ones."""
    by_method = {m: _flat(study.of(m)[0]) | _own(study.of(m)[0]) for m in study.methods}
    keys = list(dict.fromkeys(key for settings in by_method.values() for key in settings))
    records = []
    for key in keys:
        values = {m: settings[key] for m, settings in by_method.items() if key in settings}
        own = key.startswith("method.")
        if own or len(values) < len(by_method) or len({_setting(v) for v in values.values()}) > 1:
            records.append(
                {"setting": key.removeprefix("method.")}
                | {m: _setting(values[m]) if m in values else "" for m in study.methods}
            )
    rows = [
        (Entry(text=r["setting"]), *(Entry(text=r[m] or "–") for m in study.methods))
        for r in records
    ]
    return Table(
        name="own-settings",
        columns=("setting", *(display_name(m) for m in study.methods)),
        rows=tuple(rows),
        records=tuple(records),
    )


def skipped_table(study: Study) -> Table:
    """The cells that no number includes."""
    records = [asdict(cell) for cell in study.skipped]
    rows = [
        (
            Entry(text=display_name(c.method)),
            number(str(c.seed)),
            Entry(text=c.state),
            Entry(text=c.message or "–"),
            Entry(text=c.directory),
        )
        for c in study.skipped[:SHOWN]
    ]
    return Table(
        name="skipped",
        columns=("method", "seed", "state", "message", "directory"),
        rows=tuple(rows),
        records=tuple(records),
        left_out=rows_left_out("skipped", len(records)),
    )


def cells_table(study: Study, *, look: Look) -> Table:
    """Every finished run with its identity."""
    records = [
        {
            "method": cell.method,
            "seed": cell.seed,
            "hash": cell.config.get("hash", ""),
            "git_revision": cell.config.get("git_revision", ""),
            "directory": cell.directory,
        }
        for method in study.methods
        for cell in study.of(method)
    ]
    rows = [
        (
            named(r["method"], look[r["method"]]),
            number(str(r["seed"])),
            *(Entry(text=str(r[key])[:12] or "–") for key in ("hash", "git_revision")),
            Entry(text=r["directory"]),
        )
        for r in records[:SHOWN]
    ]
    return Table(
        name="cells",
        columns=("method", "seed", "config hash", "git revision", "directory"),
        rows=tuple(rows),
        records=tuple(records),
        left_out=rows_left_out("cells", len(records)),
    )


def collapsed_table(study: Study) -> Table:
    """The finished cells whose policy training destroyed, which every number includes."""
    records = [
        {
            "method": cell.method,
            "seed": cell.seed,
            "collapsed": cell.collapsed,
            "directory": cell.directory,
        }
        for method in study.methods
        for cell in study.of(method)
        if cell.collapsed
    ]
    rows = [
        (
            Entry(text=display_name(str(r["method"]))),
            number(str(r["seed"])),
            Entry(text=str(r["collapsed"])),
            Entry(text=str(r["directory"])),
        )
        for r in records[:SHOWN]
    ]
    return Table(
        name="collapsed",
        columns=("method", "seed", "what happened", "directory"),
        rows=tuple(rows),
        records=tuple(records),
        left_out=rows_left_out("collapsed", len(records)),
    )


def _flat(cell: Cell) -> dict[str, Any]:
    return {
        key: value
        for section in SECTIONS
        for key, value in (cell.config.get(section) or {}).items()
    }


def _own(cell: Cell) -> dict[str, Any]:
    return {f"method.{k}": v for k, v in (cell.config.get("method_settings") or {}).items()}


def _setting(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
