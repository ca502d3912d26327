"""The built-in model: a Llama of about 0.1 M parameters with a character tokenizer.

Its weights ship in ``builtin/``; ``bakeoff sft --builtin`` makes them again.
"""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

FOLDER = Path(__file__).parent / "builtin"
RECIPE = FOLDER / "recipe.yaml"

_CHARACTERS = "0123456789+-*=#\n "
_SPECIAL = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}


def write_architecture(folder: Path) -> None:
    """Writes config.json and the tokenizer: all of the model but its weights."""
    tokenizer = build_tokenizer()
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character of the arithmetic task."""
    vocabulary = {text: index for index, text in enumerate([*_SPECIAL.values(), *_CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_SPECIAL["unk_token"]))
    # A bare "." would leave newlines out.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        **_SPECIAL,
    )
