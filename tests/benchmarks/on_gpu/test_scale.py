from importlib.util import find_spec

import pytest

from bakeoff.memory.presets import preset_names
from benchmarks.on_gpu.scale import PREDICTIONS, SCALES, TINY, parts


@pytest.mark.parametrize("shapes", SCALES)
def test_every_part_has_a_name_of_its_own_and_a_module(shapes: str) -> None:
    asked = [*parts(SCALES[shapes], device="cuda"), PREDICTIONS]
    assert len({part.name for part in asked}) == len(asked)
    assert all(find_spec(part.module) for part in asked)
    assert all(part.least_seconds < part.seconds for part in asked)


@pytest.mark.parametrize("shapes", SCALES)
def test_models_are_known_and_a_batch_takes_more_than_one_micro_batch(shapes: str) -> None:
    scale = SCALES[shapes]
    for work in (*scale.memory, scale.update, scale.sampling):
        assert work.model in {*preset_names(), *TINY}
    for work in (*scale.memory, scale.update):
        tokens = work.rows * (work.prompt_tokens + work.response_tokens)
        assert tokens > work.micro_batch_tokens
    assert set(scale.adapters_at) <= {work.model for work in scale.memory}
