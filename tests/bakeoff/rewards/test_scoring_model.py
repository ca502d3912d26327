from bakeoff.config import ModelConfig, SolutionScore
from bakeoff.models.loading import load_policy
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.model import new_reward_model
from bakeoff.rewards.model_reward import ModelReward
from bakeoff.rewards.rule import RuleReward
from bakeoff.rewards.scoring_model import scoring_model
from bakeoff.rewards.shaping import LengthShaping
from bakeoff.tasks.arithmetic_task import ArithmeticTask, ArithmeticVerifier


def shaped(reward):
    return LengthShaping(
        reward, length_penalty=0.1, overlong_buffer_tokens=None, max_response_tokens=8
    )


def test_the_live_model_is_found_under_a_penalty_too():
    config = ModelConfig(model="config:builtin")
    policy = load_policy(config, init_seed=0)
    loaded = new_reward_model(
        policy,
        kind=RewardKind.OUTCOME,
        head=RewardHead.SCALAR,
        config=config,
        instruction=ArithmeticTask.instruction,
        init_seed=0,
    )
    reward = ModelReward(
        loaded,
        verifier=ArithmeticVerifier(),
        tokenizer=policy.tokenizer,
        how=SolutionScore.MIN,
        max_tokens=256,
    )
    assert scoring_model(reward) is loaded.model
    assert scoring_model(shaped(reward)) is loaded.model
    assert scoring_model(shaped(RuleReward(ArithmeticVerifier()))) is None
