from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.against_peers.material import EOS_ID, PAD_ID, words, write_model
from benchmarks.against_peers.task import LETTERS, questions


def probabilities(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer(questions()[0], return_tensors="pt")).logits
    return logits[0].softmax(dim=-1)


@pytest.mark.parametrize("ends", [True, False])
def test_padding_is_never_drawn_and_the_end_only_where_responses_may_end(
    tmp_path: Path, ends: bool
) -> None:
    write_model(tmp_path, vocabulary=48, hidden_size=32, layers=2, ends=ends)
    found = probabilities(tmp_path)
    assert found[:, PAD_ID].max() < 1e-30
    if ends:
        assert found[:, EOS_ID].min() > 0.5 / 47 and found[:, EOS_ID].max() < 2 / 47
    else:
        assert found[:, EOS_ID].max() < 1e-30


def test_the_weights_are_the_same_at_every_call(tmp_path: Path) -> None:
    kinds = {"vocabulary": 48, "hidden_size": 32, "layers": 1, "ends": True}
    sizes = [write_model(tmp_path / name, **kinds) for name in ("one", "other")]  # type: ignore[arg-type]
    # Two tables, q k v o, three of the network, three norms.
    assert sizes[0] == sizes[1] == 2 * 48 * 32 + 4 * 32 * 32 + 3 * 32 * 128 + 3 * 32
    assert torch.equal(probabilities(tmp_path / "one"), probabilities(tmp_path / "other"))


def test_every_letter_is_a_token_and_texts_survive_the_tokenizer(tmp_path: Path) -> None:
    write_model(tmp_path, vocabulary=48, hidden_size=32, layers=1, ends=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = questions()[0]
    token_ids = tokenizer(text)["input_ids"]
    assert len(token_ids) == len(text.split())
    assert PAD_ID not in token_ids
    assert tokenizer.decode(token_ids) == text
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PAD_ID, EOS_ID)


def test_words_are_distinct_however_many() -> None:
    assert words(48)[2:] == list(LETTERS)
    many = words(151_936)
    assert len(many) == len(set(many)) == 151_936
