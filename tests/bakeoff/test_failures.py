import errno
import subprocess
import sys

import pytest
import torch

from bakeoff.errors import BakeoffError, CanaryError, ConfigError
from bakeoff.failures import failure_kind, record_failure
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.records import RunDirectory, read_json


def wrapped(error):
    try:
        raise ConfigError("reward f raised something") from error
    except ConfigError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CanaryError("the loss is nan"), "canary"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (wrapped(torch.OutOfMemoryError("CUDA out of memory")), "out_of_memory"),
        (OSError(errno.ENOENT, "no such file"), "error"),
        (RuntimeError("shapes do not fit"), "error"),
        (wrapped(ValueError("x")), "error"),
        (BakeoffError("other"), "error"),
    ],
)
def test_an_error_or_what_it_came_from_decides_its_kind(error, kind):
    assert failure_kind(error) == kind


def test_what_the_cpu_allocator_raises_is_out_of_memory():
    code = """
import resource, torch
from bakeoff.failures import failure_kind
held = torch.zeros(1)
limit = 1 << 30
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    torch.zeros(1 << 30)
except Exception as error:
    print(type(error).__name__, failure_kind(error))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["RuntimeError", "out_of_memory"], result.stderr


def test_a_failure_leaves_its_cost_and_only_a_canary_voids(tmp_path):
    ledger = Ledger(PeakMemory(torch.device("cpu")))
    ledger.sampled_tokens = 123
    for error, kind, canaries in [
        (CanaryError("stale"), "canary", ["stale"]),
        (MemoryError("full"), "out_of_memory", []),
    ]:
        record_failure(error, RunDirectory(tmp_path), ledger)
        status = read_json(tmp_path / "status.json")
        assert (status["state"], status["failure"]) == ("failed", kind)
        assert status["canaries"] == canaries
        assert read_json(tmp_path / "ledger.json")["sampled_tokens"] == 123
