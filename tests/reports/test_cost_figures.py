import re

import pytest

from bakeoff.records import read_json, write_json
from reports.cost_figures import memory, seconds, seconds_by_activity
from reports.load import load_study
from reports.palette import marks


def test_seconds_are_summed_by_activity(make_study):
    study = load_study(make_study(methods=("ppo",), seeds=(0, 1)))
    found = seconds_by_activity(study, "ppo")
    assert found["sampling"] == pytest.approx(900 * (1 - 0.62 - 0.05))
    assert found["updating"] == pytest.approx(900 * 0.62)
    assert found["other"] == pytest.approx(40 + 6 + 1 + 2)
    assert "updating 558 s" in seconds(study, look=marks(study.methods)).alt


def test_a_number_is_a_plain_bar_and_components_are_stacked_with_a_key(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0,))
    file = path / "ppo-s0-abcdef0123/ledger.json"
    parts = {"update": {"policy": 4e8, "optimizer_state": 8e8}}
    write_json(file, read_json(file) | {"peak_bytes": parts})
    study = load_study(path)
    stacked, plain = memory(study, look=marks(study.methods))
    assert "update 1.2 GB, policy 400 MB, optimizer_state 800 MB" in stacked.alt
    said = re.findall(r">([^<>]+)</text>", stacked.inline)
    assert {"optimizer state", "policy", "1.2 GB"} <= set(said)
    assert plain.alt == "Peak bytes of GRPO by phase: sample 310 MB; update 420 MB."


def test_ledgers_without_memory_have_no_figure_of_it(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    file = path / "ppo-s0-abcdef0123/ledger.json"
    write_json(file, read_json(file) | {"peak_bytes": {}})
    study = load_study(path)
    assert memory(study, look=marks(study.methods)) == []


def test_a_component_has_one_colour_in_every_figure(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0,))
    for method, parts in (("ppo", {"policy": 4e8, "critic": 9e8}), ("grpo", {"policy": 4e8})):
        file = path / f"{method}-s0-abcdef0123/ledger.json"
        write_json(file, read_json(file) | {"peak_bytes": {"update": parts}})
    study = load_study(path)
    ppo, grpo = memory(study, look=marks(study.methods))
    # The policy is the second largest of all, so it has the second colour even where it is alone.
    assert "--p1" in grpo.inline and "--p0" not in grpo.inline
    assert "--p0" in ppo.inline and "--p1" in ppo.inline


def test_tracked_components_are_the_bars_and_the_machines_mark_is_written_beside(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    file = path / "ppo-s0-abcdef0123/ledger.json"
    parts = {"policy gradients": 4e6, "logits and loss": 8e6}
    write_json(file, read_json(file) | {"peak_components": {"update": parts}})
    study = load_study(path)
    (figure,) = memory(study, look=marks(study.methods))
    assert figure.alt == (
        "Peak bytes of PPO by phase: update 12 MB of 640 MB, policy gradients 4 MB, "
        "logits and loss 8 MB."
    )
    assert "12 MB of 640 MB" in re.findall(r">([^<>]+)</text>", figure.inline)
