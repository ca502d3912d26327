"""LoRA through the engine: roles that share one model's weights."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.func import functional_call
from transformers import AutoModelForCausalLM

from algorithms.configs import GRPOConfig, OnlineRFTConfig, PPOConfig
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import TokenLosses, collate
from bakeoff.config import Aggregation, OptimizerConfig, SamplingConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.errors import BakeoffError
from bakeoff.interfaces import NoiseAddress
from bakeoff.memory.components import Component
from bakeoff.rollouts.sampler import TransformersSampler

pytest.importorskip("peft")

RANK = 4
MOVING = GRPOConfig(iteration_batches=1, reset_reference=True)
METHODS = {
    "grpo": GRPOConfig(),
    "grpo_moving": MOVING,
    "online_rft": OnlineRFTConfig(),
    "ppo": PPOConfig(critic_head_init="normal"),
    "ppo_shared": PPOConfig(critic="shared", critic_head_init="normal"),
}


def lora_engine(policy, config, *, learning_rate=1e-2, **training):
    return LocalEngine(
        policy,
        build(config).plan,
        optimizer=OptimizerConfig(learning_rate=learning_rate, max_grad_norm=1e30),
        training=TrainingConfig(**{"lora_rank": RANK} | training),
        temperature=1.0,
        autocast_dtype=None,
        init_seed=0,
    )


def step(engine, config, batch):
    algorithm = build(config)
    annotated = engine.measure(engine.annotate(batch))
    credit = algorithm.assign_credit(annotated)
    weights = loss_weights(
        batch.response_mask, credit.keep, Aggregation.SEQUENCE_MEAN, max_response_tokens=12
    )
    return engine.update(annotated, credit, weights, algorithm.token_losses)


def clone(policy):
    return replace(policy, model=copy.deepcopy(policy.model))


def weights_of(module):
    return {n: p.detach().clone() for n, p in module.named_parameters()}


def trained(module):
    return {n: p for n, p in module.named_parameters() if p.requires_grad}


@pytest.fixture
def batch(rollouts):
    return collate(rollouts, pad_token_id=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_first_update_has_a_ratio_of_one_and_no_kl(policy, batch, name):
    result = step(lora_engine(policy, METHODS[name]), METHODS[name], batch)
    assert result.ratio_max == pytest.approx(1, abs=1e-4)
    assert result.grad_norm > 0


@pytest.mark.parametrize("name", METHODS)
def test_reference_and_start_stay_the_models_the_run_began_with(policy, batch, name):
    full = lora_engine(clone(policy), GRPOConfig(), lora_rank=0)
    expected = full.policy_logprobs(batch)
    engine = lora_engine(policy, METHODS[name])
    for _ in range(3):
        step(engine, METHODS[name], batch)
    assert not torch.allclose(engine.policy_logprobs(batch), expected, atol=1e-3)
    assert torch.equal(engine.measure(batch).start_logprobs, expected)
    if build(METHODS[name]).plan.reference:
        assert torch.equal(engine.annotate(batch).ref_logprobs, expected)


def test_a_refreshed_reference_is_the_policy_and_the_start_is_not(policy, batch):
    engine = lora_engine(policy, MOVING)
    start = engine.policy_logprobs(batch)
    step(engine, MOVING, batch)
    engine.refresh_reference()
    refreshed = engine.policy_logprobs(batch)
    step(engine, MOVING, batch)
    again = engine.measure(engine.annotate(batch))
    assert torch.equal(again.ref_logprobs, refreshed)
    assert torch.equal(again.start_logprobs, start)
    assert not torch.allclose(engine.policy_logprobs(batch), refreshed, atol=1e-3)


def test_the_gradient_equals_that_of_the_sum_written_out(policy, rollouts, batch):
    """W + alpha / rank * B A as one matrix, whole logits, one rollout at a time."""
    start = copy.deepcopy(policy.model)
    config = OnlineRFTConfig()
    # So small a step that the adapters are those that the gradient was taken at.
    engine = lora_engine(policy, config, learning_rate=1e-30, lora_alpha=10.0)
    torch.manual_seed(0)
    adapters = trained(engine.model)
    for parameter in adapters.values():
        parameter.data += 0.05 * torch.randn_like(parameter)
    weights = batch.response_mask / batch.response_mask.sum()
    credit = build(config).assign_credit(batch)
    engine.update(batch, credit, weights, lambda _, __, o: TokenLosses(policy=-o.logprobs))

    leaves = {n: p.detach().clone().requires_grad_() for n, p in adapters.items()}
    summed = dict(start.named_parameters())
    for name in leaves:
        if "lora_A" in name:
            weight = name.replace("lora_A.default.", "")
            product = leaves[name.replace("lora_A", "lora_B")] @ leaves[name]
            summed[weight] = summed[weight] + 10.0 / RANK * product
    loss = 0.0
    for rollout in rollouts:
        ids = torch.tensor([rollout.prompt_ids + rollout.completion.token_ids])
        table = functional_call(start, summed, (ids,)).logits[0].log_softmax(dim=1)
        first = len(rollout.prompt_ids)
        loss = loss - table[first - 1 : -1].gather(1, ids[0, first:, None]).sum()
    (loss / batch.response_mask.sum()).backward()
    for name, leaf in leaves.items():
        assert torch.allclose(adapters[name].grad, leaf.grad, rtol=1e-4, atol=1e-6), name
        assert leaf.grad.abs().max() > 1e-5, name


def test_training_the_critics_adapter_leaves_policy_and_base_alone(policy, batch):
    config = PPOConfig(kl_coefficient=0, value_clip_epsilon=None)
    engine = lora_engine(policy, config)
    before = engine.policy_logprobs(batch)
    weights = weights_of(engine.model)
    values = engine.annotate(batch).old_values
    algorithm = build(config)
    for _ in range(10):
        annotated = engine.annotate(batch)
        credit = algorithm.assign_credit(annotated)
        uniform = batch.response_mask / batch.response_mask.sum()
        engine.update(annotated, credit, uniform, algorithm.token_losses, critic_only=True)
    assert torch.equal(engine.policy_logprobs(batch), before)
    assert all(torch.equal(weights[n], p) for n, p in engine.model.named_parameters())
    assert not torch.equal(engine.annotate(batch).old_values, values)
    moved = [n for n, p in trained(engine._critic).items() if "lora_B" in n and p.any()]
    assert len(moved) == 14


@pytest.mark.parametrize("name", METHODS)
def test_checkpointed_activations_give_the_same_step(policy, batch, name):
    results = []
    for checkpointed in (False, True):
        engine = lora_engine(clone(policy), METHODS[name], activation_checkpointing=checkpointed)
        for _ in range(2):
            step(engine, METHODS[name], batch)
        results.append(weights_of(engine.model))
    assert all(torch.equal(results[0][n], results[1][n]) for n in results[0])


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_engine_continues_bitwise_and_holds_no_base_weight(policy, batch, name, tmp_path):
    config = METHODS[name]
    base = {tuple(p.shape) for p in policy.model.parameters()} - {(64,)}
    straight = lora_engine(clone(policy), config)
    for _ in range(2):
        step(straight, config, batch)
        if config is MOVING:
            straight.refresh_reference()
            step(straight, config, batch)
    straight.save(tmp_path)
    resumed = lora_engine(clone(policy), config)
    resumed.load(tmp_path)
    for engine in (straight, resumed):
        step(engine, config, batch)
    one, two = weights_of(straight.model), weights_of(resumed.model)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert straight.frozen_checksums() == resumed.frozen_checksums()
    names = {path.stem for path in tmp_path.glob("*.safetensors")}
    assert "start" not in names
    assert ("reference" in names) == (config is MOVING)
    for path in tmp_path.glob("*.safetensors"):
        assert not base & {tuple(t.shape) for t in load_file(path).values()}, path.name


def test_a_checkpoint_of_full_training_is_refused(policy, batch, tmp_path):
    lora_engine(clone(policy), GRPOConfig(), lora_rank=0).save(tmp_path)
    with pytest.raises(BakeoffError, match="does not belong to this model"):
        lora_engine(clone(policy), GRPOConfig()).load(tmp_path)


def test_a_saved_policy_is_an_ordinary_checkpoint_with_the_same_logits(policy, batch, tmp_path):
    engine = lora_engine(policy, GRPOConfig())
    for _ in range(3):
        step(engine, GRPOConfig(), batch)
    before = engine.policy_logprobs(batch)
    engine.save_policy(tmp_path)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"model.safetensors"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == engine._roles.base.state_dict().keys()
    with torch.no_grad():
        ids = batch.input_ids[:, -12:]
        assert torch.allclose(loaded(ids).logits, engine.model(ids).logits, atol=1e-5)
    # Saving leaves the engine as it was.
    assert torch.equal(engine.policy_logprobs(batch), before)
    step(engine, GRPOConfig(), batch)


def test_a_second_run_with_lora_is_anchored_at_the_merged_start(policy, batch, tmp_path):
    first = lora_engine(policy, GRPOConfig())
    for _ in range(3):
        step(first, GRPOConfig(), batch)
    first.save_policy(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    second = lora_engine(replace(policy, model=model), GRPOConfig())
    start = second.measure(batch).start_logprobs
    assert torch.allclose(start, first.policy_logprobs(batch), atol=1e-5)


def test_the_sampler_and_the_trainer_agree_after_updates(policy, prompts, batch):
    engine = lora_engine(policy, GRPOConfig())
    sampler = TransformersSampler(policy, autocast_dtype=None)
    for _ in range(2):
        step(engine, GRPOConfig(), batch)
    engine.publish_policy(sampler)
    sampling = SamplingConfig(max_response_tokens=8)
    groups = sampler.sample(
        prompts, group_size=1, sampling=sampling, noise=NoiseAddress(seed=1, batch=0)
    )
    for prompt, (completion,) in zip(prompts, groups, strict=True):
        ids = torch.tensor([prompt.token_ids + completion.token_ids])
        with torch.no_grad():
            table = engine.model(ids).logits[0].log_softmax(dim=1)[len(prompt.token_ids) - 1 : -1]
        chosen = table.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
        assert torch.allclose(chosen, torch.tensor(completion.logprobs), atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_no_role_but_the_policy_owns_a_base_weight(policy, batch, name):
    base = {p.data_ptr() for p in policy.model.parameters()}
    engine = lora_engine(policy, METHODS[name])
    step(engine, METHODS[name], batch)
    owners = engine.memory_owners()

    def nbytes(which):
        return sum(tensor.nbytes for tensor in owners[which])

    adapters = 4 * RANK * 2 * (4 * (64 + 64) + 3 * (64 + 192))
    head = 4 * (64 + 1)
    separate, shared = name == "ppo", name == "ppo_shared"
    assert base <= {t.data_ptr() for t in owners[Component.POLICY_WEIGHTS]}
    assert nbytes(Component.REFERENCE) == (adapters if name == "grpo_moving" else 0)
    assert nbytes(Component.CRITIC_WEIGHTS) == adapters * separate + head * (separate or shared)
    assert nbytes(Component.POLICY_GRADIENTS) == adapters
    assert nbytes(Component.CRITIC_GRADIENTS) == nbytes(Component.CRITIC_WEIGHTS)
    steps = 4 * 28  # AdamW counts them for each of 14 layers' two matrices
    assert nbytes(Component.POLICY_OPTIMIZER) == 2 * adapters + steps


def test_a_change_of_the_base_shows_in_the_checksums(policy, batch):
    engine = lora_engine(policy, MOVING)
    before = engine.frozen_checksums()
    assert before.keys() == {"base", "reference"}
    step(engine, MOVING, batch)
    assert engine.frozen_checksums() == before
    engine.refresh_reference()
    refreshed = engine.frozen_checksums()
    assert refreshed["base"] == before["base"]
    assert refreshed["reference"] != before["reference"]
    engine.model.get_input_embeddings().weight.data[0, 0] += 1e-3
    assert engine.frozen_checksums()["base"] != before["base"]
