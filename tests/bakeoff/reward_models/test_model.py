import math

import pytest
import torch

from bakeoff.errors import ConfigError
from bakeoff.models.critic import ValueHead
from bakeoff.reward_models.folder import HEAD_FILE, RewardHead, RewardKind
from bakeoff.reward_models.model import load_reward_model, save_reward_model

HEADS = list(RewardHead)
QUESTION, RESPONSE = "47 +8", "47+8=55\n#55"


def read(loaded, response=RESPONSE, *, finished=True):
    return loaded.encode(QUESTION, response, ends=(8, 11), finished=finished)


@pytest.mark.parametrize("head", HEADS)
def test_what_is_saved_scores_bitwise_the_same(build, solutions, tmp_path, head):
    loaded = build(head=head)
    rows = [loaded.encode(s.question, s.response, ends=s.ends, finished=True) for s in solutions]
    save_reward_model(loaded, tmp_path, info=loaded.info)
    again = load_reward_model(tmp_path, device="cpu")
    assert torch.equal(again.log_odds(rows), loaded.log_odds(rows))
    assert again.info == loaded.info
    assert again.kind is RewardKind.PROCESS


def test_what_is_saved_is_an_ordinary_checkpoint_of_the_backbone(build, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = build()
    save_reward_model(loaded, tmp_path, info=loaded.info)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokens = torch.tensor([read(loaded).token_ids])
    assert torch.equal(model(tokens).logits, loaded.model.backbone(tokens).logits)
    assert (
        AutoTokenizer.from_pretrained(tmp_path)("2+2")["input_ids"]
        == (loaded.tokenizer("2+2")["input_ids"])
    )


@pytest.mark.parametrize("head", HEADS)
def test_padding_changes_nothing(build, head):
    loaded = build(head=head)
    row = read(loaded)
    length, padding = len(row.token_ids), 7
    tokens = torch.tensor(row.token_ids)
    alone = loaded.log_odds([row])
    # Beside a longer solution, so padded on the right; and padded on the left by hand.
    longer = loaded.encode(QUESTION, RESPONSE + "9" * 9, ends=(8,), finished=True)
    torch.testing.assert_close(loaded.log_odds([row, longer])[:2], alone, rtol=0, atol=1e-5)
    masks = torch.zeros(3, 1, length + padding, dtype=torch.int64)
    masks[0, 0, padding:] = tokens
    masks[1, 0, padding:] = 1
    masks[2, 0, padding + row.prompt_tokens :] = 1
    left = loaded.model(masks[0], masks[1].bool(), masks[2].bool())
    ends = [padding + end for end in row.ends]
    torch.testing.assert_close(left[0, ends], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_a_score_depends_on_nothing_behind_it(build, head):
    loaded = build(head=head)
    one, other = read(loaded), read(loaded, "47+8=55\n#99")
    first, last = loaded.log_odds([one]).tolist()
    other_first, other_last = loaded.log_odds([other]).tolist()
    assert first == pytest.approx(other_first, abs=1e-6)
    assert abs(last - other_last) > 1e-4


def test_two_tokens_log_odds_are_their_softmax(build):
    loaded = build(head=RewardHead.TWO_TOKEN)
    row = read(loaded)
    logits = loaded.model.backbone(torch.tensor([row.token_ids])).logits[0, list(row.ends)]
    plus, minus = (loaded.tokenizer(text)["input_ids"][0] for text in "+-")
    softmax = logits[:, [plus, minus]].softmax(dim=1)[:, 0]
    torch.testing.assert_close(loaded.log_odds([row]).sigmoid(), softmax)


def test_other_tokens_can_say_has_potential(build):
    swapped = build(head=RewardHead.TWO_TOKEN, potential_token="-", no_potential_token="+")
    row = read(swapped)
    straight = build(head=RewardHead.TWO_TOKEN).log_odds([row])
    torch.testing.assert_close(swapped.log_odds([row]), -straight)


def test_a_likelihood_starts_as_that_of_the_response(build):
    loaded = build(head=RewardHead.LIKELIHOOD)
    row = read(loaded)
    tokens = torch.tensor(row.token_ids)
    logprobs = loaded.model.backbone(tokens[None]).logits[0].log_softmax(dim=1)
    each = [logprobs[i - 1, tokens[i]].item() for i in range(row.prompt_tokens, len(tokens))]
    # Up to the line break, and up to EOS; nothing of the prompt.
    expected = [sum(each[:8]), sum(each)]
    assert loaded.log_odds([row]).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_likelihood_sends_its_gradient_into_the_backbone_and_the_scale(build):
    loaded = build(head=RewardHead.LIKELIHOOD)
    log_odds = loaded.log_odds([read(loaded)])
    log_odds.sum().backward()
    # It starts at scale 1 and value 0, so the scale's gradient is the sum itself.
    assert loaded.model.head.scale.grad.item() == pytest.approx(log_odds.sum().item(), rel=1e-5)
    assert loaded.model.backbone.get_input_embeddings().weight.grad.abs().sum() > 0


def test_a_scalar_head_is_drawn_from_its_seed_at_the_width_of_the_state(build):
    head = build().model.head
    assert isinstance(head, ValueHead)
    assert head.linear.bias.item() == 0
    assert torch.equal(head.linear.weight, build().model.head.linear.weight)
    # 64 draws of std 1 / sqrt(65)
    assert head.linear.weight.std().item() == pytest.approx(1 / math.sqrt(65), rel=0.3)


def test_steps_end_where_they_are_over(build):
    loaded = build()
    row = read(loaded)
    text = [loaded.tokenizer.decode(row.token_ids[: end + 1]) for end in row.ends]
    assert text == ["47 +8\n47+8=55\n", "47 +8\n47+8=55\n#55<eos>"]
    cut = read(loaded, finished=False)
    assert loaded.tokenizer.decode(cut.token_ids) == "47 +8\n47+8=55\n#55"
    assert cut.ends[-1] == len(cut.token_ids) - 1


def test_half_precision_changes_a_score_a_little(build):
    row = read(build())
    whole = build().log_odds([row])
    half = build(autocast_dtype=torch.bfloat16).log_odds([row])
    assert half.dtype == torch.float32
    assert not torch.equal(whole, half)
    torch.testing.assert_close(whole, half, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("potential", "no_potential", "told"),
    [
        ("++", "-", "'\\+\\+' is not a single token"),
        ("+", "好", "'好' is not a single token"),
        ("+", "+", "are the same token"),
    ],
)
def test_texts_that_are_not_two_tokens_are_refused(build, potential, no_potential, told):
    with pytest.raises(ConfigError, match=told):
        build(
            head=RewardHead.TWO_TOKEN,
            potential_token=potential,
            no_potential_token=no_potential,
        )


def test_a_folder_without_its_head_is_refused(build, tmp_path):
    loaded = build()
    save_reward_model(loaded, tmp_path, info=loaded.info)
    (tmp_path / HEAD_FILE).write_bytes(b"junk")
    with pytest.raises(ConfigError, match=r"head\.safetensors cannot be read"):
        load_reward_model(tmp_path, device="cpu")
    (tmp_path / HEAD_FILE).unlink()
    with pytest.raises(ConfigError, match=r"head\.safetensors cannot be read"):
        load_reward_model(tmp_path, device="cpu")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_reward_model(tmp_path, device="cpu")


def test_a_folder_of_the_name_of_the_builtin_model_is_that_folder(build, tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    loaded = build()
    Path("builtin").mkdir()
    save_reward_model(loaded, Path("builtin"), info=loaded.info)
    again = load_reward_model(Path("builtin"), device="cpu")
    row = read(loaded)
    assert torch.equal(again.log_odds([row]), loaded.log_odds([row]))
