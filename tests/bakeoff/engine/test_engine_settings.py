import importlib.util
import json

import pytest

from algorithms.configs import GRPOConfig
from bakeoff.config import EngineConfig, OptimizerConfig
from bakeoff.engine.settings import check_engine, deepspeed_settings
from bakeoff.errors import ConfigError
from bakeoff.settings import cell_config

OPTIMIZER = OptimizerConfig(max_grad_norm=0.3)


def cell(**values):
    return cell_config("grpo", GRPOConfig(), values)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"processes": 2}, "processes = 2 is for engine deepspeed"),
        ({"zero_stage": 1}, "zero_stage = 1 is for engine deepspeed"),
        ({"engine": "deepspeed", "zero_stage": 4}, "zero_stage must be 0, 1, 2 or 3, got 4"),
        ({"engine": "deepspeed", "processes": 0}, "processes must be at least 1"),
        ({"engine": "deepspeed", "offload": "optimizer"}, "set zero_stage 1, 2 or 3"),
        (
            {"engine": "deepspeed", "offload": "both", "zero_stage": 2},
            "'both' takes zero_stage 3, got 2",
        ),
        ({"engine": "colossal"}, "engine = 'colossal'"),
    ],
)
def test_contradictions_are_refused_where_settings_are_read(values, told):
    with pytest.raises(ConfigError) as caught:
        cell(**values)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"processes": 5, "problems_per_step": 4},
            "5 processes share 4 problems a step.*take at most 4",
        ),
        ({"zero_stage": 3, "lora_rank": 8}, "lora_rank with zero_stage 3.*zero_stage 2"),
        ({"zero_stage": 3, "compile_model": True}, "compile_model with zero_stage 3"),
        ({"deepspeed_config": "/nowhere.json"}, "/nowhere.json: No such file"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_loaded(values, told):
    with pytest.raises(ConfigError, match=told):
        check_engine(cell(engine="deepspeed", **values))


def test_a_missing_package_is_told_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install deepspeed"):
        check_engine(cell(engine="deepspeed"))
    check_engine(cell())


def test_a_launchers_number_of_processes_holds(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="started 4 processes, but engine `local` runs in one"):
        check_engine(cell())
    with pytest.raises(ConfigError, match="started 4 processes, but processes is 2"):
        check_engine(cell(engine="deepspeed", processes=2))
    with pytest.raises(ConfigError, match="4 processes share 3 problems"):
        check_engine(cell(engine="deepspeed", problems_per_step=3))
    check_engine(cell(engine="deepspeed"))
    check_engine(cell(engine="deepspeed", processes=4))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"train_batch_size": 64}', "train_batch_size = 64, which problems_per_step says"),
        (
            '{"train_micro_batch_size_per_gpu": 4}',
            "train_micro_batch_size_per_gpu = 4, which micro_batch_tokens says",
        ),
        ('{"gradient_accumulation_steps": 2}', "gradient_accumulation_steps = 2"),
        ('{"gradient_clipping": 1.0}', "which max_grad_norm says"),
        ('{"bf16": {"enabled": true}}', "which compute_dtype says"),
        ('{"zero_optimization": {"stage": 2}}', "which zero_stage says"),
        ('{"zero_optimization": {"offload_param": {"device": "nvme"}}}', "which offload says"),
        ('{"zero_optimization": 2}', "must hold a JSON object"),
        ("[]", "must hold a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_a_file_that_contradicts_the_settings_is_refused(tmp_path, content, told):
    file = tmp_path / "deepspeed.json"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        check_engine(cell(engine="deepspeed", deepspeed_config=str(file)))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_says_what_no_setting_does(tmp_path):
    file = tmp_path / "deepspeed.json"
    file.write_text(
        json.dumps(
            {
                "train_batch_size": "auto",
                "fp16": {"enabled": False},
                "zero_allow_untested_optimizer": True,
                "zero_optimization": {"stage": "auto", "reduce_bucket_size": 7},
            }
        )
    )
    config = cell(engine="deepspeed", zero_stage=2, deepspeed_config=str(file))
    check_engine(config)
    settings = deepspeed_settings(config.engine, OPTIMIZER, ranks=4, trained_weights=100)
    assert settings["zero_allow_untested_optimizer"] is True
    assert settings["zero_optimization"] == {"stage": 2, "reduce_bucket_size": 7}
    assert settings["train_batch_size"] == 4
    assert "fp16" not in settings


@pytest.mark.parametrize(
    ("offload", "moved"),
    [
        (None, set()),
        ("optimizer", {"offload_optimizer"}),
        ("parameters", {"offload_param"}),
        ("both", {"offload_optimizer", "offload_param"}),
    ],
)
def test_offload_names_what_waits_in_cpu_memory(offload, moved):
    engine = EngineConfig(engine="deepspeed", zero_stage=3, offload=offload)
    zero = deepspeed_settings(engine, OPTIMIZER, ranks=1, trained_weights=10)["zero_optimization"]
    assert {name for name in zero if name.startswith("offload")} == moved
    assert all(zero[name]["device"] == "cpu" for name in moved)


def test_gradients_are_clipped_once():
    for stage, limit in ((0, 0.0), (1, 0.3), (3, 0.3)):
        engine = EngineConfig(engine="deepspeed", zero_stage=stage)
        settings = deepspeed_settings(engine, OPTIMIZER, ranks=2, trained_weights=10)
        assert settings["gradient_clipping"] == limit
        assert settings["gradient_accumulation_steps"] == 1
