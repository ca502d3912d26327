import json
from pathlib import Path

import pytest

from bakeoff.commands.profile_predict import run_prediction
from bakeoff.errors import ConfigError
from benchmarks import methods

SHORT = {"max_response_tokens": 8, "prompt_tokens": 4, "problems_per_step": 2}


def test_the_record_holds_what_the_tables_show(tmp_path: Path, capsys) -> None:
    file = tmp_path / "predicted.json"
    record = run_prediction(
        ["grpo", "rft"],
        methods=methods,
        model="builtin",
        group_size=4,
        micro_batch_tokens=48,
        zero_stage=3,
        processes=4,
        offload="both",
        device_bytes=80e9,
        json_file=file,
        **SHORT,
    )
    assert json.loads(file.read_text()) == record
    assert record["schema"] == 1
    grpo = record["methods"]["grpo"]
    assert grpo["parameters"] == 108_096
    phases = grpo["phases"]
    assert list(phases) == ["load", "sample", "score", "annotate", "update"]
    for phase in phases.values():
        assert phase["device_bytes"] == sum(phase["components"].values())
        assert phase["host_bytes"] == sum(phase["host_components"].values())
    # Masters and both moments of 108,096 parameters, and counters of 20 tensors; a fourth of it.
    assert phases["update"]["host_components"]["policy optimizer"] == 3 * 108_096 + 30
    assert grpo["peak_bytes"] == max(phase["device_bytes"] for phase in phases.values())
    assert grpo["fits"] is True
    assert grpo["largest_micro_batch_tokens"] > 1_000_000
    assert grpo["processes_needed"] == {"0": 1, "1": 1, "2": 1, "3": 1}
    shown = capsys.readouterr().out
    assert "KV cache" in shown
    assert "GPUs, ZeRO-3" in shown
    assert "80 GB a device" in shown


def test_without_a_device_nothing_is_asked_of_it() -> None:
    record = run_prediction(["online_rft"], methods=methods, model="builtin", **SHORT)
    assert record["device_bytes"] is None
    assert set(record["methods"]["online_rft"]) & {"fits", "processes_needed"} == set()


def test_adapters_have_no_stage_three() -> None:
    record = run_prediction(
        ["online_rft"], methods=methods, model="builtin", lora=4, device_bytes=80e9, **SHORT
    )
    assert set(record["methods"]["online_rft"]["processes_needed"]) == {"0", "1", "2"}


def test_positions_beyond_the_models_are_told(capsys) -> None:
    record = run_prediction(
        ["sft"], methods=methods, model="builtin", **SHORT | {"prompt_tokens": 300}
    )
    assert record["warnings"] == [
        "a prompt and its response are up to 308 tokens, and the positions of builtin end at 256"
    ]
    assert record["warnings"][0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("methods_asked", "options", "told"),
    [
        (["gppo"], {}, "unknown method 'gppo'; did you mean"),
        (["grpo"], {"group_size": 1}, "group_size must be at least 2"),
        (["grpo"], {"device_bytes": 0.0}, "device_bytes must be above 0"),
        (["grpo"], {"out": Path("folder")}, "--out is for what was measured"),
        (["grpo"], {"offload": "parameters"}, "takes zero_stage 3, got 0"),
        (["grpo"], {"lora": 4, "zero_stage": 3}, "take zero_stage 2"),
        (["grpo"], {"model": "none.json"}, "does not exist; give a config.json or a preset"),
    ],
)
def test_what_a_user_can_act_on_is_one_line(methods_asked, options, told) -> None:
    with pytest.raises(ConfigError) as error:
        run_prediction(methods_asked, methods=methods, **{"model": "builtin", **SHORT, **options})
    assert told in str(error.value)
    assert "\n" not in str(error.value)
