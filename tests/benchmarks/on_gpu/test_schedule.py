import time
from pathlib import Path

import pytest

from benchmarks.on_gpu.scale import Part
from benchmarks.on_gpu.schedule import RESERVE, Record, perform

FINE = "def run(setting):\n    yield {'name': setting.options['says'], 'device': setting.device}\n"
CRASHES = "import os\ndef run(setting):\n    yield {'name': 'kept'}\n    os._exit(3)\n"
SLEEPS = "import time\ndef run(setting):\n    yield {'name': 'kept'}\n    time.sleep(60)\n"
BROKEN = "raise ImportError('nothing here')\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "fine_part": FINE,
        "crashing_part": CRASHES,
        "sleeping_part": SLEEPS,
        "broken_part": BROKEN,
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def part(name: str, *, seconds: float = 30, least: float = 0, module: str = "") -> Part:
    module = module or f"{name}_part"
    return Part(
        name=name, module=module, seconds=seconds, least_seconds=least, options={"says": name}
    )


def performed(modules: Path, *parts: Part, seconds: float = 60) -> tuple[dict[str, Record], list]:
    kept: list[dict[str, Record]] = []
    found = perform(
        parts,
        aside=part("aside", module="fine_part"),
        folder=modules,
        device="cpu",
        shapes="small",
        deadline=time.monotonic() + seconds,
        keep=kept.append,
        say=lambda _: None,
    )
    return found, kept


def test_a_part_that_dies_or_hangs_costs_the_others_nothing(modules: Path) -> None:
    found, kept = performed(
        modules,
        part("crashing"),
        part("sleeping", seconds=3),
        part("broken"),
        part("fine"),
    )
    assert {name: told["state"] for name, told in found.items()} == {
        "crashing": "failed",
        "sleeping": "cut off",
        "broken": "failed",
        "fine": "finished",
        "aside": "finished",
    }
    assert [row["name"] for row in found["crashing"]["rows"]] == ["kept"]
    assert [row["name"] for row in found["sleeping"]["rows"]] == ["kept"]
    assert found["sleeping"]["seconds"] < 20
    assert found["broken"]["last_words"][-1] == "ImportError: nothing here"
    assert found["fine"]["rows"] == [{"name": "fine", "device": "cpu"}]
    # Everything known is handed over after every part.
    assert [len(told) for told in kept] == [2, 3, 4, 5, 5]


def test_what_no_longer_fits_is_skipped_and_the_deadline_holds(modules: Path) -> None:
    begin = time.monotonic()
    found, _ = performed(
        modules, part("sleeping", seconds=60), part("fine", least=20), seconds=RESERVE + 6
    )
    assert time.monotonic() - begin < RESERVE + 6
    assert found["sleeping"]["state"] == "cut off"
    assert found["fine"]["state"] == "skipped"
    assert "it takes 20 or more" in found["fine"]["why"]
