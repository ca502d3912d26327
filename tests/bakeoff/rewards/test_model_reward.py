import copy
from dataclasses import replace

import pytest

from bakeoff.batch import collate
from bakeoff.config import ModelConfig, SolutionScore
from bakeoff.errors import ConfigError
from bakeoff.interfaces import RewardFunction
from bakeoff.models.flops import flops_model
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.model import new_reward_model, save_reward_model
from bakeoff.reward_models.scoring import RewardModelScorer
from bakeoff.rewards.model_reward import ModelReward
from bakeoff.rewards.steps import split_steps
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.types import Completion


@pytest.fixture
def build(shared_policy):
    def make(kind=RewardKind.PROCESS, head=RewardHead.SCALAR, how=SolutionScore.MIN):
        loaded = new_reward_model(
            shared_policy,
            kind=kind,
            head=head,
            config=ModelConfig(),
            instruction="{question}\n",
            init_seed=1,
        )
        return ModelReward(
            loaded,
            verifier=ArithmeticVerifier(),
            tokenizer=shared_policy.tokenizer,
            how=how,
            max_tokens=512,
        )

    return make


def written(tokenizer, text: str, finish="stop") -> Completion:
    """A completion of this text, as the policy would have sampled it."""
    token_ids = tuple(tokenizer(text)["input_ids"])
    if finish == "stop":
        token_ids += (tokenizer.eos_token_id,)
    return Completion(
        text=text,
        token_ids=token_ids,
        logprobs=(0.0,) * len(token_ids),
        finish=finish,
        policy_version=0,
    )


def test_real_rollouts_are_scored_as_the_scorer_scores_them(build, rollouts, prompts):
    reward: RewardFunction = build()
    completions = [rollout.completion for rollout in rollouts]
    asked = [prompts[rollout.group] for rollout in rollouts]
    rewards = reward.score(asked, completions)
    scores = RewardModelScorer(build().loaded).score(
        [prompt.problem.question for prompt in asked],
        [completion.text for completion in completions],
        finished=[completion.finish == "stop" for completion in completions],
    )
    assert any(len(split_steps(completion.text)) > 1 for completion in completions)
    for one, score, completion in zip(rewards, scores, completions, strict=True):
        assert one.outcome == pytest.approx(min(score.step_scores, default=0.0), abs=1e-6)
        assert one.model_tokens == score.tokens
        assert list(one.step_ends) == sorted(set(one.step_ends))
        assert all(0 <= end < len(completion.token_ids) for end in one.step_ends)
        assert one.correct in (True, False)
    # Every step's value lands in the batch that methods see.
    scored = [replace(r, reward=one) for r, one in zip(rollouts, rewards, strict=True)]
    batch = collate(scored, pad_token_id=0)
    assert batch.step_mask.sum().item() == sum(len(one.step_ends) for one in rewards)


def test_steps_end_at_their_line_breaks_and_the_last_at_eos(build, prompts, shared_policy):
    reward = build()
    [one] = reward.score([prompts[0]], [written(shared_policy.tokenizer, "2+3=5\n5*2=10\n#10")])
    assert one.step_ends == (5, 12, 16)
    assert len(one.step_values) == 3
    assert one.outcome == min(one.step_values)
    [cut] = reward.score([prompts[0]], [written(shared_policy.tokenizer, "2+3=5\n5*2=1", "length")])
    assert cut.step_ends == (5, 11 - 1)
    assert cut.correct is False


def test_a_cut_response_is_read_without_eos(build, prompts, shared_policy):
    reward = build()
    ended = written(shared_policy.tokenizer, "2+3=5")
    cut = written(shared_policy.tokenizer, "2+3=5", "length")
    first, second = reward.score([prompts[0]] * 2, [ended, cut])
    assert first.model_tokens == second.model_tokens + 1
    assert first.outcome != pytest.approx(second.outcome, abs=1e-4)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_response_without_text_scores_zero_and_has_no_step(build, prompts, shared_policy, text):
    [one] = build().score([prompts[0]], [written(shared_policy.tokenizer, text)])
    assert (one.outcome, one.step_ends, one.step_values, one.model_tokens) == (0.0, (), (), 0)
    assert one.correct is False


def test_an_outcome_model_has_one_number_and_no_steps(build, prompts, shared_policy):
    reward = build(RewardKind.OUTCOME)
    [one] = reward.score([prompts[0]], [written(shared_policy.tokenizer, "2+3=5\n#5")])
    assert (one.step_ends, one.step_values) == ((), ())
    assert 0 < one.outcome < 1
    assert not reward.scores_steps
    assert build().scores_steps


def test_correct_is_the_verifiers_word_whatever_the_score(build, prompts, shared_policy):
    right = f"#{prompts[0].problem.answer}"
    rewards = build().score(
        [prompts[0]] * 2, [written(shared_policy.tokenizer, text) for text in (right, "#0")]
    )
    assert [one.correct for one in rewards] == [True, False]


def test_the_outcome_is_made_of_the_steps_as_it_is_set(build, prompts, shared_policy):
    completion = written(shared_policy.tokenizer, "2+3=5\n#5")
    [one] = build(how=SolutionScore.PRODUCT).score([prompts[0]], [completion])
    assert one.outcome == pytest.approx(one.step_values[0] * one.step_values[1])


class Merging:
    """A tokenizer of the policy whose tokens hold two lines: "a\\nb" is one token."""

    def decode(self, token_ids, *, skip_special_tokens):
        return "".join({7: "a\nb", 8: "\nc", 1: ""}[token] for token in token_ids)


def test_steps_that_end_in_one_token_keep_the_lower_value(build, prompts, shared_policy):
    reward = build()
    merged = ModelReward(
        reward.loaded,
        verifier=ArithmeticVerifier(),
        tokenizer=Merging(),
        how=SolutionScore.MIN,
        max_tokens=512,
    )
    completion = replace(written(shared_policy.tokenizer, "a\nb\nc"), token_ids=(7, 8, 1))
    [apart] = RewardModelScorer(reward.loaded).score(
        [prompts[0].problem.question], ["a\nb\nc"], finished=[True]
    )
    [one] = merged.score([prompts[0]], [completion])
    # "a\n" ends inside the first token, "b\n" inside the second, "c" with EOS.
    assert one.step_ends == (0, 1, 2)
    assert one.step_values == pytest.approx(apart.step_scores, abs=1e-6)
    longer = replace(completion, text="a\nb\nc", token_ids=(7, 8), finish="length")
    [cut] = merged.score([prompts[0]], [longer])
    [apart] = RewardModelScorer(reward.loaded).score(
        [prompts[0].problem.question], ["a\nb\nc"], finished=[False]
    )
    assert cut.step_ends == (0, 1)
    first, *others = apart.step_scores
    assert cut.step_values == pytest.approx((first, min(others)), abs=1e-6)


def test_a_token_costs_the_weights_it_goes_through(build):
    flops = flops_model(build().loaded.model.backbone)
    # Two layers of four 64 x 64 and three 64 x 192 matrices; an output head of 20 x 64.
    assert build().flops_per_token == 2 * 2 * (4 * 64 * 64 + 3 * 64 * 192)
    likelihood = build(head=RewardHead.LIKELIHOOD)
    assert likelihood.flops_per_token == 2 * (flops.trunk_weights + 20 * 64)


def test_it_scores_with_the_weights_of_the_moment(build, prompts, shared_policy):
    reward = build()
    reward.loaded.model.head = copy.deepcopy(reward.loaded.model.head)
    completion = written(shared_policy.tokenizer, "2+3=5\n#5")
    [before] = reward.score([prompts[0]], [completion])
    reward.loaded.model.head.linear.bias.data += 1
    [after] = reward.score([prompts[0]], [completion])
    assert after.outcome > before.outcome


def test_it_is_loaded_from_a_folder(build, prompts, shared_policy, tmp_path):
    reward = build()
    save_reward_model(reward.loaded, tmp_path, info=reward.loaded.info)
    settings = {
        "verifier": ArithmeticVerifier(),
        "tokenizer": shared_policy.tokenizer,
        "device": shared_policy.model.device,
        "how": SolutionScore.MIN,
        "max_tokens": 512,
    }
    again = ModelReward.load(str(tmp_path), **settings)
    completion = written(shared_policy.tokenizer, "2+3=5\n#5")
    assert again.score([prompts[0]], [completion]) == reward.score([prompts[0]], [completion])
    with pytest.raises(ConfigError, match="holds no reward model"):
        ModelReward.load(tmp_path / "none", **settings)
