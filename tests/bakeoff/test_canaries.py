import pytest
import torch

from bakeoff.canaries import Canaries
from bakeoff.errors import CanaryError
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory


@pytest.fixture
def ledger():
    return Ledger(PeakMemory(torch.device("cpu")))


def test_a_failing_verifier_stops_the_run(ledger, rollouts):
    ledger.verifier_calls, ledger.verifier_errors = 1000, 20
    Canaries(autocast_dtype=None).check_rewards(rollouts, ledger)
    ledger.verifier_errors = 21
    with pytest.raises(CanaryError, match="21 of 1000"):
        Canaries(autocast_dtype=None).check_rewards(rollouts, ledger)


def test_a_batch_that_nobody_could_score_stops_the_run(ledger):
    with pytest.raises(CanaryError, match="could be scored"):
        Canaries(autocast_dtype=None).check_rewards([], ledger)


def test_a_sampler_with_other_weights_stops_the_run():
    Canaries(autocast_dtype=None).check_metrics({"sampler_gap_mean": 1e-5})
    Canaries(autocast_dtype=None).check_metrics({"sampler_gap_mean": None})
    for gap in (0.5, float("nan")):
        with pytest.raises(CanaryError, match="sampler and trainer disagree"):
            Canaries(autocast_dtype=None).check_metrics({"sampler_gap_mean": gap})
    Canaries(autocast_dtype=torch.bfloat16).check_metrics({"sampler_gap_mean": 0.1})
