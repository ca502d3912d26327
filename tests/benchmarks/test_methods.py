from pathlib import Path

import pytest

from algorithms import PRESETS
from algorithms.configs import GRPOConfig
from algorithms.grpo import GRPO
from bakeoff.errors import ConfigError
from bakeoff.settings import cell_config, method_config
from benchmarks.methods import build_method, method_defaults

SOURCE = """
from dataclasses import dataclass

@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    group_size: int = 4
    baseline: float = 0.5

    def build(self):
        return ("built", self.group_size, self.baseline)

LOW = Mine(baseline=0.1)

@dataclass(frozen=True)
class NeedsASetting:
    baseline: float
    def build(self): ...

@dataclass(frozen=True)
class CannotBuild:
    baseline: float = 0.5

class NoDataclass:
    def build(self): ...

def build(): ...
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def error_of(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        method_defaults(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_preset_is_built_with_its_own_settings() -> None:
    for name, defaults in PRESETS.items():
        assert method_defaults(name) is defaults
        assert build_method(defaults).plan.group_size == defaults.group_size, name
    built = build_method(GRPOConfig(group_size=5, kl_coefficient=0.0))
    assert isinstance(built, GRPO)
    assert (built.plan.group_size, built.plan.reference) == (5, False)


def test_an_unknown_method_suggests_the_close_one() -> None:
    message = error_of("grrpo")
    assert "unknown method 'grrpo'; did you mean 'grpo'?" in message
    assert "FILE.py:NAME" in message


def test_a_file_s_dataclass_is_a_method_with_settings_of_its_own(file: Path) -> None:
    name = f"{file}:Mine"
    config = cell_config(name, method_defaults(name), {"baseline": "0.25", "seed": 3})
    assert config.method == name
    assert config.method_settings == {"group_size": 4, "baseline": 0.25}
    assert build_method(method_config(config, method_defaults(name))) == ("built", 4, 0.25)


def test_a_file_s_instance_is_a_method_too(file: Path) -> None:
    assert build_method(method_defaults(f"{file}:LOW")) == ("built", 4, 0.1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("CannotBuild", "must be a dataclass of settings with a build() method"),
        ("NoDataclass", "must be a dataclass of settings with a build() method"),
        ("build", "it is a function"),
        ("NeedsASetting", "give every setting a default"),
        ("Nothing", "has no 'Nothing'"),
    ],
)
def test_what_is_no_method_is_refused(file: Path, name: str, told: str) -> None:
    message = error_of(f"{file}:{name}")
    assert f"{file}:{name}" in message
    assert told in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"there is no file {tmp_path}/none.py" in error_of(f"{tmp_path}/none.py:Mine")
