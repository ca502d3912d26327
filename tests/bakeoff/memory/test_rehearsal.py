from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig

from algorithms import PRESETS
from algorithms.registry import build
from bakeoff.config import ModelConfig, SamplingConfig, TrainingConfig
from bakeoff.memory import rehearsal
from bakeoff.memory.components import Component
from bakeoff.memory.moments import COMPONENTS
from bakeoff.memory.rehearsal import PHASES, Workload, rehearse, rehearse_update

# Two layers of 64 with grouped queries, and an output head of its own.
HIDDEN, INNER, LAYERS, HEADS, CACHE_HEADS, WORDS = 64, 128, 2, 4, 2, 200
TINY = LlamaConfig(
    hidden_size=HIDDEN,
    intermediate_size=INNER,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    num_key_value_heads=CACHE_HEADS,
    vocab_size=WORDS,
    tie_word_embeddings=False,
)
LAYER = (
    2 * HIDDEN * HIDDEN  # queries and output
    + 2 * HIDDEN * HIDDEN * CACHE_HEADS // HEADS
    + 3 * HIDDEN * INNER
    + 2 * HIDDEN  # two norms
)
TRUNK = WORDS * HIDDEN + LAYERS * LAYER + HIDDEN
PARAMETERS = TRUNK + WORDS * HIDDEN
ROTARY = 2 * 4 * HIDDEN // HEADS // 2  # two buffers of frequencies
SMALL = Workload(
    prompt_tokens=10,
    model=ModelConfig(),
    sampling=SamplingConfig(max_response_tokens=20),
    training=TrainingConfig(micro_batch_tokens=90, problems_per_step=2, measure_kl=False),
    device_type="cpu",
)


class Real(nullcontext[None]):
    """What `Weightless` is for, with weights."""

    @contextmanager
    def building(self) -> Iterator[None]:
        yield

    computing = building


def parts(found, phase: str) -> dict[Component, int]:
    highest = found.phases[phase].highest()
    return {which: int(n) for which, n in zip(COMPONENTS, highest, strict=True) if n}


def test_weights_gradients_and_moments_by_hand() -> None:
    more = replace(SMALL, training=replace(SMALL.training, problems_per_step=8))
    found = rehearse(TINY, build(PRESETS["ppo"]), more)
    assert found.parameters == PARAMETERS
    assert found.trained_parameters == PARAMETERS + TRUNK + HIDDEN + 1
    update = parts(found, "update")
    assert update[Component.POLICY_WEIGHTS] == 4 * PARAMETERS + ROTARY
    assert update[Component.REFERENCE] == 4 * PARAMETERS + ROTARY
    assert update[Component.CRITIC_WEIGHTS] == 4 * (TRUNK + HIDDEN + 1) + ROTARY
    tensors = 2 + 9 * LAYERS + 1  # embeddings and head, layers, last norm; each has a step counter
    assert update[Component.POLICY_OPTIMIZER] == 8 * PARAMETERS + 4 * tensors
    critic_tensors = tensors - 1 + 2
    assert update[Component.CRITIC_OPTIMIZER] == 8 * (TRUNK + HIDDEN + 1) + 4 * critic_tensors
    # The second micro-batch adds to the gradients of the first.
    assert update[Component.POLICY_GRADIENTS] == 4 * PARAMETERS
    assert Component.POLICY_GRADIENTS not in parts(found, "sample")
    assert Component.REWARD_MODEL not in update


# Room for so many tokens is made when the prompts have been read; the last token is not read. On a
# CPU, rows share their prompt, and each makes room behind its first token.
@pytest.mark.parametrize(
    ("device", "response", "places"),
    [("cuda", 20, 8 * (10 + 64)), ("cpu", 9, 2 * 10 + 8 * (1 + 8))],
)
def test_the_cache_by_hand(device, response, places) -> None:
    plan = replace(PRESETS["grpo"], group_size=4)
    sampling = SamplingConfig(max_response_tokens=response)
    found = rehearse(TINY, build(plan), replace(SMALL, device_type=device, sampling=sampling))
    place = 2 * LAYERS * CACHE_HEADS * (HIDDEN // HEADS) * 4
    beside = 4 * HIDDEN + 8 * 10 + 8  # a row's last state, its mask and its position
    beside += 2 * 8 if device == "cpu" else 0  # and its prompt, and the first token in the mask
    assert parts(found, "sample")[Component.KV_CACHE] == places * place + 8 * beside


@pytest.mark.parametrize(
    ("device", "response"), [("cuda", 70), *(("cpu", n) for n in (9, 10, 11, 24))]
)
def test_a_few_tokens_tell_what_all_of_them_take(device, response, monkeypatch) -> None:
    plan = build(replace(PRESETS["online_rft"], group_size=4))
    sampling = SamplingConfig(max_response_tokens=response)
    workload = replace(SMALL, device_type=device, sampling=sampling)
    few = parts(rehearse(TINY, plan, workload), "sample")
    monkeypatch.setattr(rehearsal, "_LONG", response)  # decodes them all
    every = parts(rehearse(TINY, plan, workload), "sample")
    # Beside the keys and values lies a mask, which is booked as the cache's when it is repeated.
    mask = 8 * response * 8
    assert few[Component.KV_CACHE] == pytest.approx(every[Component.KV_CACHE], abs=2 * mask)


@pytest.mark.parametrize(
    ("method", "frozen"),
    [("grpo", 1), ("online_rft", 0), ("rft", 0), ("grpo_iterative", 1), ("ppo", 1)],
)
def test_frozen_copies_are_those_of_the_plan(method, frozen) -> None:
    found = rehearse(TINY, build(PRESETS[method]), SMALL)
    assert parts(found, "update").get(Component.REFERENCE, 0) == frozen * (4 * PARAMETERS + ROTARY)
    measured = replace(SMALL, training=replace(SMALL.training, measure_kl=True))
    copies = 2 if method == "grpo_iterative" else 1
    found = rehearse(TINY, build(PRESETS[method]), measured)
    assert parts(found, "update")[Component.REFERENCE] == copies * (4 * PARAMETERS + ROTARY)


def test_a_policy_that_writes_offline_responses_is_one_more_copy() -> None:
    mixed = replace(PRESETS["online_rft"], offline_share=0.5)
    found = rehearse(TINY, build(mixed), SMALL)
    assert parts(found, "sample")[Component.REFERENCE] == 4 * PARAMETERS + ROTARY


def test_a_pool_is_sampled_before_there_is_an_optimizer_state() -> None:
    pool = rehearse(TINY, build(PRESETS["rft"]), SMALL)
    live = rehearse(TINY, build(PRESETS["online_rft"]), SMALL)
    assert Component.POLICY_OPTIMIZER not in parts(pool, "sample")
    assert Component.POLICY_OPTIMIZER in parts(live, "sample")


def test_demonstrations_are_not_sampled() -> None:
    assert set(rehearse(TINY, build(PRESETS["sft"]), SMALL).phases) == set(PHASES) - {"sample"}


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("grpo", {}),
        pytest.param("ppo", {"activation_checkpointing": True}, marks=pytest.mark.slow),
        pytest.param("ppo", {"lora_rank": 4}, marks=pytest.mark.slow),
        pytest.param("grpo_iterative", {"lora_rank": 4}, marks=pytest.mark.slow),
    ],
)
def test_a_rehearsal_without_weights_has_the_bytes_of_one_with_them(
    method, changes, monkeypatch
) -> None:
    workload = replace(SMALL, training=replace(SMALL.training, **changes))
    fake = rehearse(TINY, build(PRESETS[method]), workload)
    monkeypatch.setattr(rehearsal, "Weightless", Real)
    real = rehearse(TINY, build(PRESETS[method]), workload)
    assert {name: parts(fake, name) for name in fake.phases} == {
        name: parts(real, name) for name in real.phases
    }


@pytest.mark.slow
# The other presets differ from one of these in a loss or in credit, which hold nothing.
@pytest.mark.parametrize(
    ("method", "dtype"),
    [
        *((name, "float32") for name in ("sft", "rft", "online_rft", "dpo", "ppo_process")),
        *((name, "float32") for name in ("grpo", "grpo_iterative", "dapo")),
        ("ppo", "bfloat16"),
    ],
)
def test_every_kind_of_method_has_the_bytes_of_a_rehearsal_with_weights(
    method, dtype, monkeypatch
) -> None:
    workload = replace(SMALL, model=ModelConfig(compute_dtype=dtype))
    fake = rehearse(TINY, build(PRESETS[method]), workload)
    monkeypatch.setattr(rehearsal, "Weightless", Real)
    real = rehearse(TINY, build(PRESETS[method]), workload)
    assert {name: parts(fake, name) for name in fake.phases} == {
        name: parts(real, name) for name in real.phases
    }


def total(workload: Workload) -> int:
    found = rehearse(TINY, build(PRESETS["grpo"]), workload)
    return max(int(phase.highest().sum()) for phase in found.phases.values())


@pytest.mark.slow
@settings(max_examples=3)
@given(st.integers(1, 60), st.integers(1, 200), st.integers(1, 3), st.integers(1, 1500))
def test_more_tokens_never_take_less(prompt, response, problems, micro_batch) -> None:
    def bytes_of(prompt: int, response: int) -> int:
        return total(
            replace(
                SMALL,
                prompt_tokens=prompt,
                sampling=SamplingConfig(max_response_tokens=response),
                # In rows: a budget of tokens has room for fewer rows if they are longer.
                training=replace(
                    SMALL.training,
                    micro_batch_tokens=micro_batch // 100 * (prompt + response) or 1,
                    problems_per_step=problems,
                ),
            )
        )

    least = bytes_of(prompt, response)
    assert bytes_of(prompt + 10, response) >= least
    assert bytes_of(prompt, response + 10) >= least


def test_twice_the_rows_take_twice_the_activations() -> None:
    def activations(tokens: int) -> int:
        training = replace(SMALL.training, micro_batch_tokens=tokens)
        update = rehearse_update(TINY, build(PRESETS["grpo"]), replace(SMALL, training=training))
        return parts(update, "update")[Component.ACTIVATIONS]

    group = SMALL.prompt_tokens + PRESETS["grpo"].group_size * SMALL.sampling.max_response_tokens
    one, two, four = (activations(groups * group) for groups in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)


def test_other_devices_have_larger_tiles_of_logits() -> None:
    wide = LlamaConfig(**TINY.to_diff_dict() | {"vocab_size": 30_000})
    long = replace(
        SMALL,
        sampling=SamplingConfig(max_response_tokens=200),
        training=replace(SMALL.training, micro_batch_tokens=2_000),
    )
    on = {
        device: parts(
            rehearse_update(wide, build(PRESETS["grpo"]), replace(long, device_type=device)),
            "update",
        )
        for device in ("cpu", "cuda")
    }
    assert on["cuda"][Component.LOGITS] > on["cpu"][Component.LOGITS]
