import pytest

from bakeoff.records import append_lines, read_json, write_json
from reports.load import METRIC_KEYS, load_study
from reports.set_up import WARMUP_KEY, set_up


def costs(path):
    return set_up(load_study(path, metrics=(*METRIC_KEYS, WARMUP_KEY)))


def change_config(path, **sections):
    for file in path.glob("*/config.json"):
        config = read_json(file)
        write_json(file, config | {k: config.get(k, {}) | v for k, v in sections.items()})


def test_an_offline_pool_is_in_the_budget(make_study):
    (pool,) = costs(make_study(methods=("rft", "grpo")))
    assert (pool.method, pool.charged, pool.sampled_tokens) == ("rft", True, 200_000)
    assert pool.seconds == pytest.approx(420 * (1 - 0.35 - 0.05) + 420 * 0.05)


def test_a_critic_that_trains_alone_costs_what_its_batches_took(make_study):
    path = make_study(methods=("ppo",), seeds=(0, 1))
    change_config(path, method_settings={"critic_warmup_batches": 2})
    for seed, seconds in ((0, 30.0), (1, 50.0)):
        file = path / f"ppo-s{seed}-abcdef0123/metrics.jsonl"
        file.unlink()
        rows = [{"batch": batch, WARMUP_KEY: seconds * batch} for batch in (1, 2, 3)]
        append_lines(file, rows)
    (critic,) = costs(path)
    assert critic.what == "critic, 2 batches alone"
    assert critic.seconds == pytest.approx((60 + 100) / 2)


def test_a_reward_model_and_its_labels_are_beside_the_budget(make_study):
    path = make_study(methods=("grpo",), seeds=(0, 1))
    change_config(path, reward={"reward": "model", "reward_model": "elsewhere/prm"})
    data = {"labels/annotations.jsonl": 6}
    for folder in ("reward_models/prm", "labels"):
        (path / folder).mkdir(parents=True)
    write_json(path / "reward_models/prm/training.json", {"wall_seconds": 60.0, "data": data})
    ledger = {"device_seconds": 136.0, "sampled_tokens": 7463}
    write_json(path / "labels/annotation.json", {"ledger": ledger})
    model, labels = costs(path)
    assert (model.seconds, model.charged) == (60.0, False)
    assert (labels.seconds, labels.sampled_tokens, labels.charged) == (136.0, 7463, False)


def test_a_reward_model_whose_record_is_gone_is_named_without_a_cost(make_study):
    path = make_study(methods=("grpo",), seeds=(0,))
    change_config(path, reward={"reward": "model", "reward_model": "elsewhere/prm"})
    (model,) = costs(path)
    assert model.seconds is None
    assert model.source == "elsewhere/prm/training.json"
