import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# A shared, noisy machine: how long one example takes says nothing about the code.
settings.register_profile("bakeoff", deadline=None)
settings.load_profile("bakeoff")

# A shell ignores interrupts for what it starts in the background, and processes inherit that; tests
# press Ctrl-C on theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The published test sets; $BAKEOFF_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("BAKEOFF_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "gsm8k" / "test.jsonl").is_file():
        pytest.skip(f"no data sets in {folder}; set BAKEOFF_DATA")
    return folder
