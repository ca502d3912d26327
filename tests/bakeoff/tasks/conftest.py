import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The published test sets; $BAKEOFF_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("BAKEOFF_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "gsm8k" / "test.jsonl").is_file():
        pytest.skip(f"no data sets in {folder}; set BAKEOFF_DATA")
    return folder
