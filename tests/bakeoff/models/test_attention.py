import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from bakeoff.batch import collate
from bakeoff.logprobs import response_hidden, response_logprobs
from bakeoff.models.attention import shares_prompts
from bakeoff.types import Completion, Problem, Reward, Rollout

TINY = {
    "vocab_size": 128,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
}
PROMPTS = ((5, 6), (7,), (8, 9, 10, 11, 12))
RESPONSES = ((0, 3), (0, 7), (0, 1), (1, 4), (1, 4), (2, 2), (2, 9), (0, 3))


def model_of(family: str, **settings):
    torch.manual_seed(0)
    settings = {"attn_implementation": "sdpa"} | settings
    config = AutoConfig.for_model(family, **TINY, **settings)
    return AutoModelForCausalLM.from_config(config).double()


def groups():
    """Responses of different lengths to three prompts, in no order."""
    return collate(
        [
            Rollout(
                problem=Problem(id=str(prompt), question="", answer=""),
                prompt_ids=PROMPTS[prompt],
                completion=Completion(
                    text="",
                    token_ids=tuple(20 + (7 * row + place) % 100 for place in range(length)),
                    logprobs=(0.0,) * length,
                    finish="stop",
                    policy_version=0,
                ),
                reward=Reward(correct=True, outcome=1.0),
                group=prompt,
            )
            for row, (prompt, length) in enumerate(RESPONSES)
        ],
        pad_token_id=0,
    )


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 8}),
        ("mistral", {"sliding_window": 3}),
        ("gemma3_text", {"head_dim": 8, "sliding_window": 3, "layer_types": None}),
        ("olmo2", {}),
        ("phi3", {}),
    ],
)
def test_shared_prompts_give_the_logprobs_and_gradients_of_each_sequence_alone(family, settings):
    model = model_of(family, **settings)
    assert shares_prompts(model)
    batch = groups()
    logprobs, _ = response_logprobs(model, batch, response_hidden(model, batch), temperature=0.8)
    logprobs.sum().backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    alone = torch.zeros_like(logprobs)
    for row, mask in enumerate(batch.attention_mask):
        ids = batch.input_ids[row][mask]
        response = int(batch.response_mask[row].sum())
        table = (model(ids[None]).logits[0] / 0.8).log_softmax(dim=1)
        chosen = table[:-1].gather(1, ids[1:, None]).squeeze(1)[-response:]
        alone[row, :response] = chosen.detach()
        chosen.sum().backward()
    assert torch.allclose(logprobs, alone, atol=1e-5)
    for parameter, gradient in zip(model.parameters(), together, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-4)


def test_responses_of_one_token_need_the_prompts_alone():
    model = model_of("llama")
    batch = groups()
    short = collate(
        [
            Rollout(
                problem=Problem(id="0", question="", answer=""),
                prompt_ids=PROMPTS[prompt],
                completion=Completion(
                    text="", token_ids=(30,), logprobs=(0.0,), finish="stop", policy_version=0
                ),
                reward=Reward(correct=True, outcome=1.0),
                group=prompt,
            )
            for prompt in (0, 1, 0)
        ],
        pad_token_id=0,
    )
    hidden = response_hidden(model, short)
    assert hidden.shape == (3, 16)
    assert torch.equal(hidden[0], hidden[2])
    # The first state of a long response is the same.
    assert torch.allclose(hidden[0], response_hidden(model, batch)[0])


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {"attn_implementation": "eager"}),
        ("gpt2", {"attn_implementation": "eager"}),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    ],
)
def test_other_attention_shares_nothing(family, settings):
    assert not shares_prompts(model_of(family, **settings))


def test_a_model_that_shares_nothing_packs_its_sequences():
    eager, own = model_of("llama", attn_implementation="eager"), model_of("llama")
    batch = groups()
    assert torch.allclose(response_hidden(eager, batch), response_hidden(own, batch), atol=1e-6)
