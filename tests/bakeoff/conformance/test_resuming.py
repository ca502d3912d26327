import pytest
import torch

from algorithms import PRESETS
from algorithms.registry import build
from bakeoff.conformance import probes as probes_module
from bakeoff.conformance.resuming import resuming_changes_nothing
from bakeoff.engine.local import LocalEngine
from bakeoff.settings import cell_config

SETTINGS = {"model": "config:builtin", "max_response_tokens": 16, "learning_rate": 1e-3}


def checked(world, probes, name="ppo"):
    config = cell_config(name, PRESETS[name], SETTINGS)
    return resuming_changes_nothing(world, config, build(PRESETS[name]), probes)


def test_a_sound_engine_resumes_bitwise(world, probes):
    check = checked(world, probes)
    assert check.passed
    assert check.detail.startswith("8 files")


class ForgetsMoments(LocalEngine):
    def load(self, directory):
        super().load(directory)
        self._optimizer.state.clear()


class ForgetsTheCritic(LocalEngine):
    def load(self, directory):
        critic = {name: t.clone() for name, t in self._critic.state_dict().items()}
        super().load(directory)
        self._critic.load_state_dict(critic)


class RoundsWeights(LocalEngine):
    def load(self, directory):
        super().load(directory)
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(torch.bfloat16).float()


@pytest.mark.parametrize(
    ("engine", "file"),
    [
        (ForgetsMoments, "policy_optimizer"),
        (ForgetsTheCritic, "critic.safetensors"),
        (RoundsWeights, "policy.safetensors"),
    ],
)
def test_whatever_a_load_forgets_fails_by_the_name_of_its_file(
    world, probes, engine, file, monkeypatch
):
    monkeypatch.setattr(probes_module, "LocalEngine", engine)
    check = checked(world, probes)
    assert not check.passed
    assert file in check.detail


class MovesOn(LocalEngine):
    """Loads everything, but counts something that is not saved."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.steps = 0

    def update(self, *arguments, **settings):
        self.steps += 1
        for group in self._optimizer.param_groups:
            group["lr"] = 1e-3 / self.steps
        return super().update(*arguments, **settings)


def test_state_that_no_file_holds_shows_after_one_more_update(world, probes, monkeypatch):
    monkeypatch.setattr(probes_module, "LocalEngine", MovesOn)
    assert not checked(world, probes, "online_rft").passed
