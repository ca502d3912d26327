"""The classic faults of masks and means, each planted in a real method or a real collation."""

from dataclasses import replace

import pytest
import torch

from algorithms import PRESETS
from algorithms.grpo import GRPO
from algorithms.registry import build
from bakeoff.batch import collate
from bakeoff.conformance import probes as probes_module
from bakeoff.conformance.gradients import gradient_checks
from bakeoff.conformance.probes import ended_and_cut


def failed(checks):
    return [check.name.partition(" (")[0] for check in checks if not check.passed]


def checked(world, config, probes, algorithm=None, *, together=False):
    return gradient_checks(
        world, config, algorithm or build(PRESETS["grpo"]), probes, together=together
    )


class NormalisesInTheMicroBatch(GRPO):
    """A mean taken inside the micro-batch."""

    def token_losses(self, batch, credit, outputs):
        losses = super().token_losses(batch, credit, outputs)
        return replace(losses, policy=losses.policy / len(batch.groups))


class CountsPadding(GRPO):
    """A mean over all positions, padding included."""

    def assign_credit(self, batch):
        credit = super().assign_credit(batch)
        return replace(credit, advantages=credit.advantages / batch.response_mask.shape[1])


class ReadsPadding(GRPO):
    """A credit that looks at whatever token stands there."""

    def assign_credit(self, batch):
        credit = super().assign_credit(batch)
        return replace(credit, advantages=credit.advantages * batch.input_ids.float().mean())


def test_a_sound_method_passes(world, config, probes):
    for together in (False, True):
        assert failed(checked(world, config, probes, together=together)) == []


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        (NormalisesInTheMicroBatch, "gradient ignores micro-batches"),
        (CountsPadding, "gradient ignores padding"),
        (ReadsPadding, "gradient ignores padding"),
    ],
)
def test_a_method_that_averages_over_the_wrong_rows_or_columns_fails(
    world, config, probes, method, fault
):
    algorithm = method(PRESETS["grpo"])
    assert failed(checked(world, config, probes, algorithm)) == [fault]
    both = "gradient ignores micro-batches and padding"
    assert failed(checked(world, config, probes, algorithm, together=True)) == [both]


def masks_pad_tokens(rollouts, *, pad_token_id):
    """The pad token is the EOS, and whoever masks one masks the other."""
    batch = collate(rollouts, pad_token_id=pad_token_id)
    response = batch.input_ids[:, batch.prompt_length :]
    eos = torch.tensor([r.completion.token_ids[-1] for r in rollouts if _ended(r)])
    return replace(batch, response_mask=batch.response_mask & ~torch.isin(response, eos))


def invents_an_end(rollouts, *, pad_token_id):
    """A response that was cut gets an EOS which nobody drew."""
    eos = next(r.completion.token_ids[-1] for r in rollouts if _ended(r))
    return collate(
        [
            replace(r, completion=replace(r.completion, token_ids=(*r.completion.token_ids, eos)))
            if not _ended(r)
            else r
            for r in rollouts
        ],
        pad_token_id=pad_token_id,
    )


def trains_on_prompts(rollouts, *, pad_token_id):
    """The whole sequence is taken for the response."""
    whole = [
        replace(
            r,
            prompt_ids=r.prompt_ids[:1],
            completion=replace(r.completion, token_ids=r.prompt_ids[1:] + r.completion.token_ids),
        )
        for r in rollouts
    ]
    return collate(whole, pad_token_id=pad_token_id)


def _ended(rollout):
    return rollout.completion.finish == "stop"


@pytest.mark.parametrize("collation", [masks_pad_tokens, invents_an_end, trains_on_prompts])
def test_a_collation_that_trains_on_other_tokens_fails(
    world, config, probes, collation, monkeypatch
):
    monkeypatch.setattr(probes_module, "collate", collation)
    assert failed(checked(world, config, probes)) == ["mask and EOS"]


def test_the_forced_ends_are_of_both_kinds(world, probes):
    forced = ended_and_cut(world, probes)
    eos = world.policy.eos_token_ids[0]
    for rollout in forced:
        token_ids = rollout.completion.token_ids
        assert (token_ids[-1] == eos) == _ended(rollout) == (rollout.group % 2 == 0)
        assert eos not in token_ids[:-1]
    assert {_ended(r) for r in forced if r.reward.correct} == {True, False}
