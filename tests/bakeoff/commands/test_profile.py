import pytest
from click.testing import CliRunner

from algorithms import PRESETS
from bakeoff.cli import cli
from bakeoff.errors import ConfigError
from bakeoff.records import read_json


def profile(*arguments: str) -> str:
    return CliRunner().invoke(cli, ["profile", *arguments], catch_exceptions=False).output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--zero-stage", "2"), "--zero-stage is of --predict"),
        (("--offload", "both"), "--offload is of --predict"),
        (("--methods", "grpo_iterative"), "grpo_iterative refits a reward model"),
        (("--methods", "gpro"), "unknown method 'gpro'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(arguments, told) -> None:
    with pytest.raises(ConfigError, match=told):
        profile(*arguments)


def test_all_methods_are_those_that_can_be_measured(monkeypatch) -> None:
    class Asked(Exception):
        pass

    def measure(profiled, *, say):
        raise Asked(profiled)

    monkeypatch.setattr("bakeoff.commands.profile_measure.measure", measure)
    result = CliRunner().invoke(cli, ["profile", "--methods", "all"])
    assert isinstance(result.exception, Asked)
    (asked,) = result.exception.args
    assert asked.keys() == PRESETS.keys() - {"grpo_iterative"}
    assert "left out: grpo_iterative refits a reward model" in result.output


@pytest.mark.slow
def test_methods_are_measured_by_phase_and_component(tmp_path) -> None:
    printed = profile(
        *("--model", "config:builtin", "--methods", "ppo,rft", "--group-size", "4"),
        *("--problems-per-step", "4", "--max-response-tokens", "24", "--out", str(tmp_path)),
    )
    assert {"ppo", "rft", "update"} <= set(printed.split())
    record = read_json(tmp_path / "profile.json")
    ppo, rft = (record["methods"][name] for name in ("ppo", "rft"))
    for found in (ppo, rft):
        phases = found["peak_components"]
        assert {"load", "sample", "score", "annotate", "update", "evaluate"} <= phases.keys()
        weights = phases["load"]["policy weights"]
        update = phases["update"]
        assert update["policy weights"] == weights
        # Two moments and a step count for every parameter.
        assert update["policy optimizer"] == pytest.approx(2 * weights, rel=0.01)
        assert update["activations"] > phases["sample"]["activations"]
        assert phases["sample"]["KV cache"] > 0
        # The process holds its libraries too.
        assert all(found["peak_bytes"][p] > sum(phases[p].values()) for p in phases if p != "load")
        top = {run["phase"]: max(map(sum, zip(*run["bytes"].values(), strict=True)))
               for run in found["timeline"]}  # fmt: skip
        assert top["update"] <= sum(update.values())
    assert ppo["peak_components"]["update"]["critic optimizer"] > 0
    assert "critic weights" not in rft["peak_components"]["update"]
    for method in ("ppo", "rft"):
        for kind in ("memory", "timeline"):
            assert (tmp_path / f"{kind}-{method}.svg").read_text().startswith("<svg")
