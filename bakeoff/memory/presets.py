"""Architectures whose memory can be predicted by name, without a download."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.models.loading import model_config

FOLDER = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """The names, sorted; each is a config.json that states the published dimensions."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def architecture(source: str) -> PretrainedConfig:
    """The config of a preset, of a .json file, or of what a run's ``model`` setting may name.

    Raises:
        ConfigError: nothing there, or no architecture that transformers knows.
    """
    preset = FOLDER / f"{source}.json"
    file = preset if source in preset_names() else Path(source).expanduser()
    if file.suffix == ".json":
        return _from_file(source, file)
    try:
        return model_config(ModelConfig(model=source))
    except ConfigError as error:
        if "/" in source or ":" in source:
            raise
        raise ConfigError(
            f"model {source!r} is no folder, no .json file, no hub id that can be reached, and no "
            f"preset; presets: {', '.join(preset_names())}"
        ) from error


def _from_file(source: str, file: Path) -> PretrainedConfig:
    if not file.is_file():
        raise ConfigError(
            f"model config {source!r} does not exist; give a config.json or a preset: "
            f"{', '.join(preset_names())}"
        )
    try:
        return AutoConfig.from_pretrained(file)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(f"model config {source!r} cannot be read: {first}") from error
