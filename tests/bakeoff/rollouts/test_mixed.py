from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from algorithms.configs import OnlineRFTConfig
from algorithms.registry import build
from bakeoff.cell import run_cell
from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.records import RunDirectory, read_json, read_lines
from bakeoff.rewards.rule import RuleReward
from bakeoff.rollouts.mixed import MixedSampler
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.rollouts.sources import LiveSource, RolloutMaker
from bakeoff.seeds import Seeds
from bakeoff.settings import cell_config
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier

SAMPLING = SamplingConfig(max_response_tokens=6)
CLOCKS = {"device_seconds", "seconds", "peak_bytes"}


@pytest.fixture
def draw(prompts):
    def groups(sampler, *, batch=0, count=4):
        return sampler.sample(
            prompts[:count],
            group_size=3,
            sampling=SAMPLING,
            noise=NoiseAddress(seed=0, batch=batch),
        )

    return groups


@pytest.fixture
def mixed(policy):
    def make(share, *, policy=policy):
        current = TransformersSampler(policy, autocast_dtype=None)
        return MixedSampler(policy, current, share=share, autocast_dtype=None)

    return make


def train(policy):
    """What the engine does to the weights: they change in place."""
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(0.5)


def tokens(groups):
    return [[completion.token_ids for completion in group] for group in groups]


def test_every_group_is_the_one_that_its_policy_s_sampler_alone_would_draw(
    policy, shared_policy, mixed, draw
):
    sampler = mixed(0.5)
    train(policy)
    sampler.publish(policy.model, version=7)
    start = draw(TransformersSampler(shared_policy, autocast_dtype=None))
    now = draw(TransformersSampler(policy, autocast_dtype=None))
    groups = draw(sampler)
    assert tokens(groups) == tokens(start[:2]) + tokens(now[2:])
    # Otherwise it would not matter which of the two is asked.
    assert all(one != other for one, other in zip(tokens(start), tokens(now), strict=True))
    assert [{c.policy_version for c in group} for group in groups] == [{0}, {0}, {7}, {7}]


def test_updates_leave_the_offline_half_as_it_was(policy, mixed, draw):
    sampler = mixed(0.5)
    before = draw(sampler)
    for version in (1, 2):
        train(policy)
        sampler.publish(policy.model, version=version)
        after = draw(sampler)
        assert after[:2] == before[:2]
        assert tokens(after[2:]) != tokens(before[2:])


def test_a_share_of_nothing_is_the_current_policy_bit_by_bit(policy, shared_policy, mixed, draw):
    sampler = mixed(0.0)
    train(policy)
    sampler.publish(policy.model, version=1)
    current = TransformersSampler(policy, autocast_dtype=None)
    current.publish(policy.model, version=1)
    assert draw(sampler) == draw(current)


def test_a_share_of_everything_is_the_initial_policy_bit_by_bit(policy, shared_policy, mixed, draw):
    sampler = mixed(1.0)
    train(policy)
    sampler.publish(policy.model, version=1)
    assert draw(sampler) == draw(TransformersSampler(shared_policy, autocast_dtype=None))


def test_a_share_that_is_no_whole_number_of_problems_holds_on_average(policy, prompts, mixed):
    """0.3 of two problems: one or none a batch, 0.6 on average."""
    sampler = mixed(0.3)
    sampler.publish(policy.model, version=1)

    def offline(batches):
        drawn = [
            sampler.sample(
                prompts[:2],
                group_size=1,
                sampling=SamplingConfig(max_response_tokens=1),
                noise=NoiseAddress(seed=0, batch=batch),
            )
            for batch in batches
        ]
        return [sum(group[0].policy_version == 0 for group in groups) for groups in drawn]

    found = offline(range(200))
    assert set(found) == {0, 1}
    # Four standard errors of a binomial share of 200.
    assert sum(found) / 200 == pytest.approx(0.6, abs=4 * (0.6 * 0.4 / 200) ** 0.5)
    # A function of the batch, whatever was drawn before.
    assert offline([17, 3]) == [found[17], found[3]]


def test_the_ledger_pays_for_both_parts_alike(policy, prompts, mixed):
    def source(sampler):
        maker = RolloutMaker(
            prompts=prompts,
            sampler=sampler,
            reward=RuleReward(ArithmeticVerifier()),
            sampling=SAMPLING,
            ledger=Ledger(PeakMemory(torch.device("cpu"))),
            seeds=Seeds(data=0, sampling=0, initialisation=0),
            flops=flops_model(policy.model),
            group_size=3,
            problems_per_step=4,
        )
        return LiveSource(maker), maker.ledger

    (half, paid), (online, expected) = (
        source(mixed(0.5)),
        source(TransformersSampler(policy, autocast_dtype=None)),
    )
    # Before any update the two policies are one.
    rollouts = half.draw(0)
    assert [r.problem for r in rollouts] == [r.problem for r in online.draw(0)]
    assert Counter(r.group for r in rollouts) == {0: 3, 1: 3, 2: 3, 3: 3}
    for counter in ("problems", "rollouts", "sampled_tokens", "prompt_tokens", "verifier_calls"):
        assert getattr(paid, counter) == getattr(expected, counter) > 0, counter
    assert paid.flops == pytest.approx(expected.flops)


SETTINGS = {
    "model": "builtin",
    "train_problems": 32,
    "problems_per_step": 4,
    "group_size": 4,
    "max_response_tokens": 40,
    "learning_rate": 1e-3,
    "checkpoint_every": 2,
    "evaluations": 1,
    "evaluation_problems": 4,
    "evaluation_samples": 1,
    "final_samples": 1,
    "ood_problems": 0,
    "budget_axis": "optimizer_steps",
    "budget": 6,
}


class Killed(BaseException):
    """No error of the run: nothing of it is handled or recorded."""


def run(method, directory, *, batches=None):
    """To the end, or killed when `batches` are done."""
    done = 0

    def echo(line):
        nonlocal done
        done += 1
        if done == batches:
            raise Killed

    cell = cell_config("online_rft", method, SETTINGS)
    run_cell(cell, build(method), directory, echo=echo)


def rows(directory, name):
    return [
        {k: v for k, v in row.items() if k not in CLOCKS and "per_second" not in k}
        for row in read_lines(getattr(directory, name))
    ]


@pytest.mark.slow
def test_a_killed_and_resumed_run_still_samples_from_where_it_began(tmp_path):
    """The policy has left the start by the checkpoint, so a copy of that would sample otherwise."""
    method = OnlineRFTConfig(offline_share=0.5)
    whole, broken = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "broken")
    run(method, whole)
    with pytest.raises(Killed):
        run(method, broken, batches=3)
    assert broken.state == "running"
    run(method, broken)
    for name in ("metrics", "evaluations", "transcripts"):
        assert rows(whole, name) == rows(broken, name) != [], name
    policies = [load_file(d.policy / "model.safetensors") for d in (whole, broken)]
    for name, tensor in policies[0].items():
        assert tensor.equal(policies[1][name]), name
    assert read_json(whole.config)["source"] == "mixed_policy"


@pytest.mark.slow
def test_what_is_about_the_policy_s_own_samples_has_no_number_in_a_mix(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    run(OnlineRFTConfig(offline_share=0.5), directory)
    for row in rows(directory, "metrics"):
        assert row["sampler_gap_mean"] is row["sampler_gap_max"] is row["kl_to_start"] is None
        assert row["loss"] > 0
    # An evaluation samples from the policy alone.
    assert rows(directory, "evaluations")[-1]["kl_to_start"] > 0
