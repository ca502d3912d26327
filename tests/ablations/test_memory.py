import pytest
import torch

from ablations.memory import model_bytes
from algorithms.registry import build
from bakeoff.engine.local import LocalEngine
from bakeoff.models.loading import load_policy
from bakeoff.settings import cell_config, method_config
from benchmarks.methods import method_defaults
from benchmarks.suite import Cell

HIDDEN = 64  # of the built-in model
PARAMETERS = 108_096  # of the built-in model; its output head is its embeddings


def cell(method: str, **settings) -> Cell:
    values = {"model": "config:builtin"} | settings
    config = cell_config(method, method_defaults(method), values)
    return Cell(arm=method, method=method, seed=0, config=config)


@pytest.mark.parametrize(
    ("method", "settings", "bytes_a_parameter"),
    [
        # Weights, gradients and two moments are 16; every frozen copy 4 more.
        ("grpo", {}, 20),
        ("grpo", {"kl_coefficient": 0.0}, 20),  # the copy measures the KL to the start
        ("grpo", {"kl_coefficient": 0.0, "measure_kl": False}, 16),
        ("grpo", {"measure_kl": False}, 20),
        ("grpo", {"reset_reference": True, "iteration_batches": 4}, 24),
        ("online_rft", {"measure_kl": False}, 16),
        ("online_rft", {"measure_kl": False, "offline_share": 0.5}, 20),
        ("ppo", {"critic": "shared"}, 20),
        ("ppo", {}, 36),
    ],
)
def test_the_built_in_models_bytes_by_hand(method, settings, bytes_a_parameter) -> None:
    assert model_bytes(cell(method, **settings)) == bytes_a_parameter * PARAMETERS


def held_bytes(one: Cell) -> int:
    """What an engine that was built and has stepped holds in weights, gradients and moments."""
    own = method_config(one.config, method_defaults(one.method))
    engine = LocalEngine(
        load_policy(one.config.model, init_seed=0),
        build(own).plan,
        optimizer=one.config.optimizer,
        training=one.config.training,
        temperature=1.0,
        autocast_dtype=None,
        init_seed=0,
    )
    models = [engine.model, engine._reference, engine._critic]
    if engine._start is not engine._reference:
        models.append(engine._start)
    parameters = {p for model in models if model is not None for p in model.parameters()}
    optimizers = [o for o in (engine._optimizer, engine._critic_optimizer) if o is not None]
    moments = []
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        for state in optimizer.state.values():
            moments += [state["exp_avg"], state["exp_avg_sq"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    return sum(tensor.nbytes for tensor in (*parameters, *gradients, *moments))


@pytest.mark.parametrize(
    ("method", "settings", "value_head"),
    [
        ("grpo", {}, 0),
        ("grpo", {"reset_reference": True, "iteration_batches": 4}, 0),
        ("ppo", {}, HIDDEN + 1),  # a weight a hidden unit and a bias, left out of the lower bound
    ],
)
def test_an_engine_holds_as_many_bytes(method, settings, value_head) -> None:
    one = cell(method, **settings)
    assert held_bytes(one) == model_bytes(one) + 16 * value_head
