from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from bakeoff.errors import ConfigError
from bakeoff.memory.presets import architecture, preset_names

# As the models' cards state them.
PARAMETERS = {
    "deepseekmath-7b": 6_910_365_696,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-72b": 72_706_203_648,
    "qwen2.5-7b": 7_615_616_512,
    "smollm2-1.7b": 1_711_376_384,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
}


def test_every_preset_is_checked() -> None:
    assert preset_names() == sorted(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_preset_has_the_published_number_of_parameters(name) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(architecture(name))
    assert model.num_parameters() == PARAMETERS[name]


def test_a_config_file_and_a_folder_are_read(tmp_path: Path) -> None:
    config = architecture("smollm2-135m")
    config.save_pretrained(tmp_path)
    for source in (str(tmp_path), str(tmp_path / "config.json"), f"config:{tmp_path}"):
        assert architecture(source).hidden_size == 576
    assert architecture("builtin").hidden_size == 64


def test_a_file_that_is_not_there_lists_the_presets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist; give a config\.json or .*qwen2\.5-7b"):
        architecture(str(tmp_path / "none.json"))


def test_an_unknown_name_lists_the_presets(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"'qwen9-1b' is no folder.*presets: .*qwen2\.5-7b"):
        architecture("qwen9-1b")


def test_a_file_that_is_no_config_says_why(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read: "):
        architecture(str(tmp_path / "other.json"))
