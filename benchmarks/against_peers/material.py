"""Models with random weights and their tokenizers, saved as folders that all sides load."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.against_peers.task import LETTERS

PAD, EOS = "<pad>", "<eos>"
PAD_ID, EOS_ID = 0, 1
NEVER = -100.0  # a logit whose probability rounds to 0 in float32
_PLACE = 0  # of the hidden states, which every token holds at the same value


def words(vocabulary: int) -> list[str]:
    """So many words: the two special ones, the letters, then combinations of letters."""
    found = [PAD, EOS, *LETTERS]
    for length in (2, 3, 4):
        if len(found) >= vocabulary:
            break
        found += ["".join(letters) for letters in product(LETTERS, repeat=length)]
    return found[:vocabulary]


def write_model(
    folder: Path,
    *,
    vocabulary: int,
    hidden_size: int,
    layers: int,
    ends: bool,
    seed: int = 0,
) -> int:
    """Writes a Llama and a tokenizer of whole words; its parameters.

    Args:
        ends: whether the end-of-sequence token can be drawn, then about as likely as any other.
            The padding token never can.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    _make_impossible(model, [PAD_ID] if ends else [PAD_ID, EOS_ID])
    model.save_pretrained(folder)
    _tokenizer(vocabulary).save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def _make_impossible(model: LlamaForCausalLM, token_ids: list[int]) -> None:
    """Gives tokens a logit near `NEVER`; the head has no bias, so a constant feature serves."""
    embedding = model.get_input_embeddings().weight
    embedding[:, _PLACE] = embedding.std()
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[_PLACE] = 0
        layer.mlp.down_proj.weight[_PLACE] = 0
    head = model.get_output_embeddings().weight
    head[:, _PLACE] = 0
    head[token_ids] = 0
    # The norm before the head brings the feature to the order of 1.
    head[token_ids, _PLACE] = 2 * NEVER


def _tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    known = {word: number for number, word in enumerate(words(vocabulary))}
    tokenizer = Tokenizer(WordLevel(known, unk_token=PAD))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, padding_side="left"
    )
