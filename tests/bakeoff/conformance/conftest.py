"""A world with random weights, in which every check passes."""

import pytest

from algorithms import PRESETS
from bakeoff.conformance.probes import probe_rollouts
from bakeoff.settings import cell_config
from bakeoff.world import build_world

SETTINGS = {"model": "config:builtin", "max_response_tokens": 16}


@pytest.fixture(scope="package")
def config():
    return cell_config("grpo", PRESETS["grpo"], SETTINGS)


@pytest.fixture(scope="package")
def world(config):
    return build_world(config)


@pytest.fixture(scope="package")
def probes(world):
    return probe_rollouts(world)
