import pytest
import torch

from bakeoff.canaries import Canaries
from bakeoff.errors import CanaryError
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory


def canaries(dtype=None, *, ceiling=0.02):
    return Canaries(autocast_dtype=dtype, verifier_error_ceiling=ceiling)


@pytest.fixture
def ledger():
    return Ledger(PeakMemory(torch.device("cpu")))


def test_a_failing_verifier_stops_the_run(ledger, rollouts):
    ledger.verifier_calls, ledger.verifier_errors = 1000, 20
    canaries().check_rewards(rollouts, ledger)
    ledger.verifier_errors = 21
    with pytest.raises(CanaryError, match="21 of 1000"):
        canaries().check_rewards(rollouts, ledger)
    canaries(ceiling=0.03).check_rewards(rollouts, ledger)


def test_a_batch_that_nobody_could_score_stops_the_run(ledger):
    with pytest.raises(CanaryError, match="could be scored"):
        canaries().check_rewards([], ledger)


def test_a_sampler_with_other_weights_stops_the_run():
    canaries().check_metrics({"sampler_gap_mean": 1e-5})
    canaries().check_metrics({"sampler_gap_mean": None})
    for gap in (0.5, float("nan")):
        with pytest.raises(CanaryError, match="sampler and trainer disagree"):
            canaries().check_metrics({"sampler_gap_mean": gap})
    canaries(torch.bfloat16).check_metrics({"sampler_gap_mean": 0.1})
