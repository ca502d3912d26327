import copy
import math
import random
from dataclasses import replace
from itertools import accumulate

import pytest
import torch

from bakeoff.config import ModelConfig
from bakeoff.errors import CanaryError, ConfigError
from bakeoff.models.loading import load_policy
from bakeoff.reward_models.examples import LabelledSolution, hold_out
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.model import new_reward_model
from bakeoff.reward_models.settings import (
    BUILTIN_HEAD,
    BUILTIN_TRAINING,
    RewardTrainingConfig,
)
from bakeoff.reward_models.training import (
    RewardModelTrainer,
    accumulate_gradients,
    evaluate_reward_model,
)
from bakeoff.rewards.steps import split_steps
from bakeoff.tasks import arithmetic
from bakeoff.types import Split

HEADS = list(RewardHead)
CONFIG = RewardTrainingConfig(learning_rate=3e-3, batch_solutions=2, micro_batch_tokens=64)


def encoded(loaded, solutions):
    rows = [
        loaded.encode(s.question, s.response, ends=s.ends, finished=s.finished) for s in solutions
    ]
    return rows, [s.labels for s in solutions]


def gradients(loaded):
    found = {n: p.grad for n, p in loaded.model.named_parameters() if p.grad is not None}
    loaded.model.zero_grad(set_to_none=True)
    return found


def weights(loaded):
    return {name: p.detach().clone() for name, p in loaded.model.named_parameters()}


def test_the_loss_is_summed_over_steps_and_averaged_over_solutions(build, solutions):
    loaded = build()
    head = loaded.model.head.linear
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(math.log(3))  # a score of 3/4 everywhere
    first, second = replace(solutions[0]), replace(solutions[1])
    loss = accumulate_gradients(loaded, *encoded(loaded, [first, second]), max_tokens=99)
    right, wrong = -math.log(3 / 4), -math.log(1 / 4)
    # Labels 1, 1 and 0, 0.25, 0.
    by_hand = (2 * right + 2 * wrong + 0.25 * right + 0.75 * wrong) / 2
    assert loss == pytest.approx(by_hand, rel=1e-5)
    # d/db of the cross-entropy is score - label.
    assert head.bias.grad.item() == pytest.approx((5 * 0.75 - 2.25) / 2, rel=1e-5)


def test_an_outcome_loss_is_one_cross_entropy_a_solution(build):
    loaded = build(RewardKind.OUTCOME)
    texts = [("2 +3", "2+3=5\n#5", 1.0), ("47 +8 -5", "47+8=56\n#56", 0.0)]
    examples = [
        LabelledSolution(question=q, response=r, ends=(len(r),), labels=(label,))
        for q, r, label in texts
    ]
    rows, labels = encoded(loaded, examples)
    good, bad = loaded.log_odds(rows).sigmoid().tolist()
    loss = accumulate_gradients(loaded, rows, labels, max_tokens=99)
    assert loss == pytest.approx((-math.log(good) - math.log(1 - bad)) / 2, rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_the_gradient_does_not_depend_on_the_micro_batches(build, solutions, head):
    loaded = build(head=head)
    rows, labels = encoded(loaded, solutions)
    loss = accumulate_gradients(loaded, rows, labels, max_tokens=10_000)
    whole = gradients(loaded)
    assert accumulate_gradients(loaded, rows, labels, max_tokens=1) == pytest.approx(loss)
    cut = gradients(loaded)
    assert whole.keys() == cut.keys()
    scale = max(gradient.abs().max() for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6 * float(scale))


@pytest.mark.parametrize("head", HEADS)
def test_training_learns_what_it_is_shown(build, solutions, head):
    loaded = build(head=head)
    before = evaluate_reward_model(loaded, solutions, max_tokens=999)
    config = replace(CONFIG, epochs=60, learning_rate=1e-3)
    result = RewardModelTrainer(loaded, config, seed=0).fit(solutions)
    after = evaluate_reward_model(loaded, solutions, max_tokens=999)
    assert after.loss < before.loss / 2
    assert after.step_auc > 0.9
    assert (result.solutions, result.too_long, result.optimizer_steps) == (5, 0, 180)
    rows, _ = encoded(loaded, solutions)
    assert result.tokens == 60 * sum(len(row.token_ids) for row in rows)


def test_the_metrics_do_not_depend_on_the_cut(build, solutions):
    loaded = build()
    whole = evaluate_reward_model(loaded, solutions, max_tokens=999)
    cut = evaluate_reward_model(loaded, solutions, max_tokens=1)
    assert cut.loss == pytest.approx(whole.loss)
    assert (cut.step_auc, cut.solution_accuracy) == (whole.step_auc, whole.solution_accuracy)
    assert evaluate_reward_model(loaded, [], max_tokens=1) is None


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("fits", [0, 1])
def test_a_second_fit_continues_bitwise_from_a_checkpoint(build, solutions, tmp_path, head, fits):
    config = replace(CONFIG, epochs=2, learning_rate_warmup_steps=9, head_learning_rate=1e-2)
    loaded = build(head=head)
    untrained = copy.deepcopy(loaded)
    trainer = RewardModelTrainer(loaded, config, seed=3)
    for _ in range(fits):
        trainer.fit(solutions)
    trainer.save(tmp_path)
    trainer.fit(solutions[:4])
    resumed = RewardModelTrainer(untrained, config, seed=3)
    resumed.load(tmp_path)
    resumed.fit(solutions[:4])
    for name, tensor in weights(loaded).items():
        assert torch.equal(tensor, weights(untrained)[name]), name
    # Moments, schedule and order are part of it: a new trainer on the same weights goes elsewhere.
    forgetful = copy.deepcopy(untrained)
    RewardModelTrainer(forgetful, config, seed=3).load(tmp_path)
    RewardModelTrainer(forgetful, config, seed=3).fit(solutions[:4])
    same = [torch.equal(t, weights(untrained)[n]) for n, t in weights(forgetful).items()]
    assert all(same) == (fits == 0)


def test_each_pass_has_an_order_of_its_own_from_the_seed(build, solutions):
    def after(seed):
        loaded = copy.deepcopy(build())
        RewardModelTrainer(loaded, CONFIG, seed=seed).fit(solutions)
        return weights(loaded)["head.linear.weight"]

    assert torch.equal(after(0), after(0))
    assert not torch.equal(after(0), after(5))


def test_the_head_may_learn_at_a_rate_of_its_own(build, solutions):
    loaded = build()
    start = weights(loaded)
    config = replace(CONFIG, learning_rate=1e-9, head_learning_rate=1e-2, batch_solutions=5)
    RewardModelTrainer(loaded, config, seed=0).fit(solutions)
    # Adam's first step is the rate itself, whatever the gradient.
    moved = {name: (p - start[name]).abs().max().item() for name, p in weights(loaded).items()}
    assert moved["head.linear.bias"] == pytest.approx(1e-2, rel=1e-3)
    assert moved["backbone.model.layers.0.mlp.up_proj.weight"] < 1e-7


def test_progress_is_told_now_and_then(build, solutions):
    lines = []
    config = replace(CONFIG, epochs=30)
    RewardModelTrainer(build(), config, seed=0).fit(solutions, echo=lines.append)
    assert len(lines) == 20
    assert lines[-1].startswith("step 90/90  loss ")


def test_solutions_longer_than_the_positions_are_left_out_and_counted(build, solutions):
    loaded = build()
    long = replace(solutions[0], response="1" * 256, ends=(256,), labels=(1.0,))
    trainer = RewardModelTrainer(loaded, CONFIG, seed=0)
    result = trainer.fit([*solutions, long])
    assert (result.solutions, result.too_long) == (5, 1)
    for nothing in ([], [long]):
        with pytest.raises(ConfigError, match=f"{len(nothing)} given"):
            trainer.fit(nothing)


def test_a_loss_that_is_not_finite_stops_the_training(build, solutions):
    loaded = build()
    with torch.no_grad():
        loaded.model.head.linear.bias.fill_(float("nan"))
    with pytest.raises(CanaryError, match=r"nan .* at step 0; lower the learning rate"):
        RewardModelTrainer(loaded, CONFIG, seed=0).fit(solutions)


def demonstrated(kind: RewardKind, count: int) -> list[LabelledSolution]:
    """Noisy solutions with the labels of the exact checker: is everything right so far?"""
    random_state = random.Random(0)
    found = []
    for problem in arithmetic.problems(Split.TRAIN, count=count):
        response = arithmetic.demonstrate(problem.question, random_state, step_error_rate=0.15)
        steps = split_steps(response)
        judged = arithmetic.check_steps(problem.question, [step.text for step in steps])
        right = arithmetic.extract_answer(response) == problem.answer
        process = kind is RewardKind.PROCESS
        found.append(
            LabelledSolution(
                question=problem.question,
                response=response,
                ends=tuple(step.end for step in steps) if process else (len(response),),
                labels=tuple(map(float, accumulate(judged, min))) if process else (float(right),),
            )
        )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(RewardKind))
def test_a_reward_model_of_the_builtin_model_tells_right_from_wrong(kind):
    torch.set_num_threads(1)
    loaded = new_reward_model(
        load_policy(ModelConfig(), init_seed=0),
        kind=kind,
        head=BUILTIN_HEAD,
        config=ModelConfig(),
        instruction="{question}\n",
        init_seed=0,
    )
    kept, held_out = hold_out(demonstrated(kind, 4000), share=0.1)
    RewardModelTrainer(loaded, RewardTrainingConfig(**BUILTIN_TRAINING), seed=0).fit(kept)
    metrics = evaluate_reward_model(loaded, held_out, max_tokens=16384)
    constant = max(metrics.right_solutions, 1 - metrics.right_solutions)
    assert constant < 0.65
    assert metrics.solution_accuracy > 0.9
    assert metrics.solution_auc > 0.93
    assert metrics.step_auc > 0.93
