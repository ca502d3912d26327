"""Peak bytes of a study's cells by phase and component, and what was counted."""

from collections.abc import Mapping, Sequence

from reports.load import Cell, Study

WHOLE = ""  # the component of a phase whose bytes are recorded as one number


def peak_bytes(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Phase -> component -> peak bytes, means over cells; one nameless component for a total."""
    found: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        for phase, peak in (cell.ledger.get("peak_bytes") or {}).items():
            parts = peak if isinstance(peak, Mapping) else {WHOLE: peak}
            for component, count in parts.items():
                found.setdefault(phase, {}).setdefault(component, []).append(float(count))
    return {
        phase: {component: sum(counts) / len(counts) for component, counts in parts.items()}
        for phase, parts in found.items()
    }


def peak_components(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Phase -> component -> bytes at the phase's highest tracked moment, means over cells.

    Empty where no cell was tracked.
    """
    found: dict[str, list[Mapping[str, float]]] = {}
    for cell in cells:
        for phase, parts in (cell.ledger.get("peak_components") or {}).items():
            found.setdefault(phase, []).append(parts)
    return {
        phase: {
            # A cell that lacks a component had none of it.
            component: sum(parts.get(component, 0) for parts in of_cells) / len(of_cells)
            for component in dict.fromkeys(name for parts in of_cells for name in parts)
        }
        for phase, of_cells in found.items()
    }


def memory_meaning(study: Study) -> str:
    """What was counted as peak bytes, as far as the records tell."""
    mark = _mark(study)
    if not any(cell.ledger.get("peak_components") for cell in study.cells):
        return mark
    return (
        "tensors allocated, by component, at the highest moment of the phase in tracked batches; "
        f"after them the highest mark of the phase in all batches: {mark}"
    )


def _mark(study: Study) -> str:
    devices = {str((cell.config.get("model") or {}).get("device", "auto")) for cell in study.cells}
    no_gpu = str(study.versions.get("torch", "")).endswith("+cpu")
    if devices == {"cpu"} or (no_gpu and devices <= {"cpu", "auto"}):
        return "resident set of the process, interpreter and libraries included"
    if all(device.startswith("cuda") for device in devices):
        return "bytes that the CUDA allocator handed out"
    return "bytes that the CUDA allocator handed out; on a CPU, the resident set of the process"
