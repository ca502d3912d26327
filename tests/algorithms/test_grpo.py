from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from algorithms.advantages import penalized
from algorithms.configs import GRPOConfig
from algorithms.losses import kl_k1
from algorithms.registry import build
from bakeoff.batch import Credit, Outputs, TokenBatch

REWARDS = torch.tensor([1.0, -0.5, 0.25, 0.0, 2.0, 0.5])


def eq_3(rows, advantages, *, low, high, beta):
    """arXiv:2402.03300v3 eq. 3 and 4: the mean over rollouts of their token means."""
    total = 0.0
    for row, advantage in zip(rows, advantages, strict=True):
        clipped = row.ratio.clamp(1 - low, 1 + high)
        surrogate = torch.minimum(row.ratio * advantage, clipped * advantage)
        inverse = torch.exp(row.ref - row.logprobs)
        kl = inverse - torch.log(inverse) - 1
        total = total + (surrogate - beta * kl).mean() / len(rows)
    return total


def outcome_advantages(rows):
    found = []
    for row in rows:
        group = [other.reward for other in rows if other.group == row.group]
        mean = sum(group) / len(group)
        std = (sum((reward - mean) ** 2 for reward in group) / len(group)) ** 0.5
        found.append((row.reward - mean) / (std + 1e-6))
    return found


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("high", [None, 0.5])
def test_the_gradient_is_that_of_eq_3_after_updates_too(
    batch, moved, method_gradient, paper_gradient, beta, high
):
    batch = replace(batch, rewards=REWARDS)
    config = GRPOConfig(kl_coefficient=beta, clip_epsilon_high=high)

    def objective(rows):
        advantages = outcome_advantages(rows)
        return eq_3(rows, advantages, low=0.2, high=0.2 if high is None else high, beta=beta)

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(config, batch, moved), expected, atol=1e-6)
    # Ratios of a third to three: some gradients are clipped away and some are not.
    if beta == 0:
        assert (expected == 0)[batch.response_mask].any()
        assert expected[batch.response_mask].any()


def test_the_process_gradient_is_that_of_eq_3_with_steps_to_go(
    batch, moved, method_gradient, paper_gradient
):
    """Section 4.1.3, written out with the list of every group's step rewards."""

    def objective(rows):
        advantages = []
        for index, row in enumerate(rows):
            rewards = [
                batch.step_rewards[other][batch.step_mask[other]].double()
                for other in range(len(rows))
                if rows[other].group == row.group
            ]
            pooled = torch.cat(rewards)
            mean, std = pooled.mean(), pooled.std(correction=0)
            ends = batch.step_mask[index].nonzero()[:, 0].tolist()
            standardized = [
                (float(batch.step_rewards[index, end]) - mean) / (std + 1e-6) for end in ends
            ]
            advantages.append(
                torch.tensor(
                    [
                        sum(r for r, end in zip(standardized, ends, strict=True) if end >= token)
                        for token in range(len(row.old))
                    ]
                ).double()
            )
        return eq_3(rows, advantages, low=0.2, high=0.2, beta=0.04)

    expected = paper_gradient(objective, batch, moved)
    found = method_gradient(GRPOConfig(supervision="process"), batch, moved)
    assert torch.allclose(found, expected, atol=1e-6)


def test_one_step_an_output_makes_process_supervision_outcome_supervision_exactly(batch):
    last = batch.response_mask.sum(dim=1) - 1
    step_mask = torch.zeros_like(batch.response_mask)
    step_mask[torch.arange(6), last] = True
    batch = replace(
        batch, rewards=REWARDS, step_mask=step_mask, step_rewards=REWARDS[:, None] * step_mask
    )
    outcome = build(GRPOConfig()).assign_credit(batch)
    process = build(GRPOConfig(supervision="process")).assign_credit(batch)
    assert torch.equal(process.advantages, outcome.advantages)


def test_algorithm_1_is_in_the_plan_alone(batch):
    iterative = build(
        GRPOConfig(
            iteration_batches=7, reset_reference=True, refit_reward_model=True, replay_share=0.25
        )
    )
    iteration = iterative.plan.iteration
    assert (iteration.batches, iteration.replay_share) == (7, 0.25)
    assert iteration.reset_reference and iteration.refit_reward_model
    plain = build(GRPOConfig())
    assert plain.plan == replace(iterative.plan, iteration=None)
    assert torch.equal(
        iterative.assign_credit(batch).advantages, plain.assign_credit(batch).advantages
    )


def test_without_a_reference_there_is_none_to_reset():
    plan = build(GRPOConfig(iteration_batches=2, reset_reference=True, kl_coefficient=0)).plan
    assert not plan.reference
    assert not plan.iteration.reset_reference


def batch_of(*, mask: Tensor, old: Tensor, ref: Tensor, rewards: Tensor) -> TokenBatch:
    """One group."""
    rows = len(rewards)
    return TokenBatch(
        input_ids=torch.zeros(mask.shape, dtype=torch.int64),
        attention_mask=mask,
        response_mask=mask,
        groups=torch.zeros(rows, dtype=torch.int64),
        correct=rewards > 0,
        rewards=rewards,
        truncated=torch.zeros(rows, dtype=torch.bool),
        step_rewards=torch.zeros(mask.shape),
        step_mask=torch.zeros_like(mask),
        sampler_logprobs=old,
        old_logprobs=old,
        ref_logprobs=ref,
    )


def three_rollouts(rewards: list[float]) -> TokenBatch:
    """Log-ratios of pi_old to pi_ref: 1 and 1; 0; -1 and -1. Padding holds another number."""
    old = torch.tensor([[-1.0, -1.0], [-2.0, -9.0], [-2.0, -2.0]])
    ref = torch.tensor([[-2.0, -2.0], [-2.0, -1.0], [-1.0, -1.0]])
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    return batch_of(mask=mask, old=old, ref=ref, rewards=torch.tensor(rewards))


@pytest.mark.parametrize(
    ("estimator", "rewards", "expected"),
    [
        # Penalties 2, 0, -2, half of them off the rewards: 0, 0, 1. Mean 1/3, std sqrt(2)/3.
        ("k1", [1, 0, 0], [-(0.5**0.5), -(0.5**0.5), 2**0.5]),
        # 1, 0, 1: rewards 0.5, 0, -0.5, whose std is sqrt(1/6).
        ("k2", [1, 0, 0], [1.5**0.5, 0, -(1.5**0.5)]),
        # 2/e, 0, 2(e - 2): rewards 0.632121, 0, -0.718282; mean -0.028720, std 0.551673.
        ("k3", [1, 0, 0], [1.197885, 0.052060, -1.249945]),
        # Where rewards do not differ the KL is what the group is about: -1, 0, 1.
        ("k1", [0, 0, 0], [-(1.5**0.5), 0, 1.5**0.5]),
    ],
)
def test_the_credit_with_the_kl_in_the_reward_by_hand(estimator, rewards, expected):
    batch = three_rollouts([float(reward) for reward in rewards])
    config = GRPOConfig(kl_coefficient=0.5, kl_estimator=estimator, kl_placement="reward")
    advantages = build(config).assign_credit(batch).advantages
    by_hand = torch.tensor(expected)[:, None] * batch.response_mask
    assert torch.allclose(advantages, by_hand, atol=1e-5)


def test_a_kl_in_the_reward_is_no_loss_and_needs_pi_old(batch):
    method = build(GRPOConfig(kl_placement="reward"))
    assert method.plan.reference and method.plan.needs_old_logprobs
    assert not build(GRPOConfig()).plan.needs_old_logprobs
    credit = method.assign_credit(batch)
    outputs = Outputs(logprobs=batch.old_logprobs)
    without = build(GRPOConfig(kl_coefficient=0)).token_losses(batch, credit, outputs)
    assert torch.equal(method.token_losses(batch, credit, outputs).policy, without.policy)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_a_kl_that_is_off_is_off_wherever_it_is(batch, estimator):
    off = build(GRPOConfig(kl_coefficient=0, kl_estimator=estimator, kl_placement="reward"))
    assert off.conventions["kl"] == "none"
    assert not off.plan.reference and not off.plan.needs_old_logprobs
    bare = replace(batch, ref_logprobs=None)
    plain = build(GRPOConfig()).assign_credit(bare).advantages
    assert torch.equal(off.assign_credit(bare).advantages, plain)


@pytest.mark.parametrize(
    ("estimator", "placement", "told"),
    [
        ("k1", "loss", "k1 in the loss, beta 0.04 (expected gradient 0 per token)"),
        ("k2", "loss", "k2 in the loss, beta 0.04"),
        ("k3", "loss", "k3 in the loss, beta 0.04"),
        ("k1", "reward", "k1 of the whole response in the reward, beta 0.04"),
        ("k3", "reward", "k3 of the whole response in the reward, beta 0.04"),
    ],
)
def test_the_equivalence_table_names_estimator_and_place_of_the_kl(estimator, placement, told):
    config = GRPOConfig(kl_estimator=estimator, kl_placement=placement)
    assert build(config).conventions["kl"] == told


# Every response of at most two tokens over three tokens, of which 0 ends it.
RESPONSES = [(0,), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
LENGTHS = torch.tensor([len(response) for response in RESPONSES])
MASK = torch.arange(2) < LENGTHS[:, None]
# The state before each token: 0 at the beginning, else the token before.
STATES = torch.tensor([[0, response[0]] for response in RESPONSES])
TOKENS = torch.tensor([[*response, 0][:2] for response in RESPONSES])


def table(seed: int) -> Tensor:
    """[3 states, 3 tokens] logits of a softmax policy."""
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logprobs_of(logits: Tensor) -> Tensor:
    """[7, 2] of every response's tokens, 0 after its end."""
    return logits.log_softmax(dim=1)[STATES, TOKENS] * MASK


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumerated:
    """Every response of a policy with its probability, so that an expectation is a sum."""

    logits: Tensor  # carries gradient
    ref: Tensor  # [3, 3] log-probabilities
    batch: TokenBatch

    @property
    def logprobs(self) -> Tensor:
        return logprobs_of(self.logits)

    @property
    def chances(self) -> Tensor:
        """[7] probabilities of the responses, with gradient."""
        return self.logprobs.sum(dim=1).exp()

    def gradient(self, scalar: Tensor) -> Tensor:
        return torch.autograd.grad(scalar, self.logits)[0]

    def expected_gradient(
        self, config: GRPOConfig, *, advantages: Tensor | None = None, weights: Tensor = MASK
    ) -> Tensor:
        """Of the method's loss over responses the policy writes; tokens weighed as given."""
        credit = Credit(
            advantages=torch.zeros(MASK.shape)
            if advantages is None
            else advantages[:, None] * MASK,
            keep=torch.ones(len(RESPONSES), dtype=torch.bool),
        )
        outputs = Outputs(logprobs=self.logprobs)
        losses = build(config).token_losses(self.batch, credit, outputs)
        return self.gradient((self.chances.detach()[:, None] * losses.policy * weights).sum())

    def by_state(self, divergence: Tensor) -> Tensor:
        """A [3] divergence of the next token, over the states the policy comes to."""
        first = self.logits.detach().softmax(dim=1)[0]
        return divergence[0] + first[1] * divergence[1] + first[2] * divergence[2]


@pytest.fixture
def enumerated() -> Enumerated:
    logits, reference = table(0).requires_grad_(), table(1)
    return Enumerated(
        logits=logits,
        ref=reference.log_softmax(dim=1),
        batch=batch_of(
            mask=MASK,
            old=logprobs_of(logits).detach(),
            ref=logprobs_of(reference),
            rewards=torch.zeros(len(RESPONSES), dtype=torch.float64),
        ),
    )


def in_loss(estimator: str) -> GRPOConfig:
    return GRPOConfig(kl_coefficient=0.3, kl_estimator=estimator)


def test_the_enumerated_policy_is_whole(enumerated):
    assert enumerated.chances.sum().item() == pytest.approx(1)


def test_k1_in_the_loss_has_no_expected_gradient(enumerated):
    found = enumerated.expected_gradient(in_loss("k1"))
    assert torch.allclose(found, torch.zeros_like(found), atol=1e-12)


def test_k1_in_the_loss_is_about_length_alone_where_responses_are_averaged_over_tokens(enumerated):
    """Weighed by 1/|o|, as in eq. 3: the gradient of 0.3 E[1/|o|], without pi_ref."""
    found = enumerated.expected_gradient(in_loss("k1"), weights=MASK / LENGTHS[:, None])
    assert torch.allclose(found, enumerated.gradient(0.3 * (enumerated.chances / LENGTHS).sum()))
    assert found.abs().max() > 1e-3


def test_k2_in_the_loss_has_the_gradient_of_every_token_s_reverse_kl(enumerated):
    policy = enumerated.logits.log_softmax(dim=1)
    reverse = (policy.exp() * (policy - enumerated.ref)).sum(dim=1)
    expected = enumerated.gradient(0.3 * enumerated.by_state(reverse))
    assert torch.allclose(enumerated.expected_gradient(in_loss("k2")), expected, atol=1e-12)


def test_k3_in_the_loss_has_the_gradient_of_eq_20_and_of_every_token_s_forward_kl(enumerated):
    ratio = torch.exp(enumerated.batch.ref_logprobs - enumerated.batch.old_logprobs)
    eq_20 = -0.3 * (ratio - 1) * enumerated.logprobs * MASK
    expected = enumerated.gradient((enumerated.chances.detach()[:, None] * eq_20).sum())
    found = enumerated.expected_gradient(in_loss("k3"))
    assert torch.allclose(found, expected, atol=1e-12)
    policy, ref = enumerated.logits.log_softmax(dim=1), enumerated.ref
    forward = (ref.exp() * (ref - policy)).sum(dim=1)
    assert torch.allclose(found, enumerated.gradient(0.3 * enumerated.by_state(forward)))


def test_k1_in_the_reward_has_the_gradient_of_the_reverse_kl_of_whole_responses(enumerated):
    batch, log_ratio = enumerated.batch, enumerated.logprobs - enumerated.batch.ref_logprobs
    exact = enumerated.gradient(0.3 * (enumerated.chances * log_ratio.sum(dim=1)).sum())
    token_kl = kl_k1(batch.old_logprobs, batch.ref_logprobs)
    advantages = penalized(batch.rewards, token_kl, batch.response_mask, coefficient=0.3)
    config = GRPOConfig(kl_coefficient=0.3, kl_estimator="k1", kl_placement="reward")
    found = enumerated.expected_gradient(config, advantages=advantages)
    assert torch.allclose(found, exact, atol=1e-12)
    # In the loss a token answers for its own KL alone, not for where it leads.
    assert not torch.allclose(enumerated.expected_gradient(in_loss("k2")), exact, atol=1e-3)
