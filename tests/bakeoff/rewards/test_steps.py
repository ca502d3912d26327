import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from bakeoff.rewards.steps import Step, split_steps, step_tokens, token_indices
from bakeoff.types import Completion

MULTI_BYTE = "3×4=12\n猫有3只\n共10€😀\nñandú\n"


def steps_of(text: str) -> list[tuple[str, int]]:
    return [(step.text, step.end) for step in split_steps(text)]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        ("\n \n\t\n", []),
        ("one", [("one", 3)]),
        ("one\n", [("one", 4)]),
        ("one\ntwo", [("one", 4), ("two", 7)]),
        ("one\n\n  \ntwo\n\n", [("one", 8), ("two", 13)]),
        ("\n\none\ntwo", [("one", 6), ("two", 9)]),
        ("  one  \r\n two", [("one", 9), ("two", 13)]),
        ("一\n二", [("一", 2), ("二", 3)]),
    ],
)
def test_steps_are_the_lines_that_are_not_blank(text: str, steps: list[tuple[str, int]]) -> None:
    assert steps_of(text) == steps


lines = st.text(alphabet="a1=+é猫😀 \t\r\n\n\n", max_size=40)


@given(lines)
def test_the_spans_of_the_steps_are_the_text(text: str) -> None:
    steps = split_steps(text)
    starts = [0, *(step.end for step in steps)][: len(steps)]
    spans = [text[start : step.end] for start, step in zip(starts, steps, strict=True)]
    assert "".join(spans) == (text if text.strip() else "")
    assert [span.strip() for span in spans] == [step.text for step in steps]
    # A line break ends the step before it: no later step begins with one.
    assert not any(span.startswith("\n") for span in spans[1:])
    assert all(span.endswith("\n") for span in spans[:-1])


@given(lines)
def test_the_steps_are_those_that_splitting_at_line_breaks_finds(text: str) -> None:
    assert [step.text for step in split_steps(text)] == [
        line.strip() for line in text.split("\n") if line.strip()
    ]


def byte_level() -> PreTrainedTokenizerFast:
    """Byte-level BPE with merges inside and across characters of several bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([MULTI_BYTE * 5, "12=12\n" * 9, "猫猫只" * 4], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", clean_up_tokenization_spaces=False
    )


BYTE_LEVEL = byte_level()


def bytes_of(token: int) -> bytes:
    """What a token of the byte-level tokenizer stands for: GPT-2's table, written backwards."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table |= {chr(256 + place): byte for place, byte in enumerate(others)}
    return bytes(table[character] for character in BYTE_LEVEL.convert_ids_to_tokens(token))


@given(st.text(alphabet="12=×€猫只😀ñ \n", min_size=1, max_size=25))
def test_tokens_of_bytes_are_found_as_by_counting_bytes(text: str) -> None:
    ids = BYTE_LEVEL(text, add_special_tokens=False)["input_ids"]
    ends = range(1, len(text) + 1)
    expected = []
    for end in ends:
        wanted, count, read = len(text[:end].encode()), 0, 0
        while read < wanted:
            read += len(bytes_of(ids[count]))
            count += 1
        expected.append(count - 1)
    assert list(token_indices(ids, ends, BYTE_LEVEL)) == expected


def test_the_trained_tokenizer_cuts_characters_and_joins_them() -> None:
    ids = BYTE_LEVEL("猫😀é", add_special_tokens=False)["input_ids"]
    assert len(ids) > 3
    assert any(len(bytes_of(token)) > 4 for token in range(1, len(BYTE_LEVEL)))


@given(st.lists(st.integers(1, len(BYTE_LEVEL) - 1), min_size=1, max_size=20))
def test_any_tokens_of_a_model_give_places_in_order(ids: list[int]) -> None:
    """A model may write bytes that are no text."""
    text = BYTE_LEVEL.decode(ids, skip_special_tokens=True)
    found = token_indices(ids, range(1, len(text) + 1), BYTE_LEVEL)
    assert list(found) == sorted(found)
    assert not found or (found[0] >= 0 and found[-1] <= len(ids) - 1)


def words() -> PreTrainedTokenizerFast:
    """Tokens that begin with the space before a word; decoding strips the first one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=40, special_tokens=["<eos>"], show_progress=False)
    tokenizer.train_from_iterator(["one two\nthree one two\n" * 5], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", clean_up_tokenization_spaces=False
    )


WORDS = words()


@given(st.lists(st.sampled_from(["one", "two", "three", "eon", "\n"]), min_size=1, max_size=8))
def test_a_tokenizer_that_strips_the_first_space_is_read_by_prefixes(parts: list[str]) -> None:
    text = " ".join(parts)
    ids = WORDS(text, add_special_tokens=False)["input_ids"]
    assert WORDS.decode(ids) == text
    ends = range(1, len(text) + 1)
    # The first prefix that decodes to the text up to the offset, by trying all of them.
    expected = [
        next(
            count
            for count in range(len(ids))
            if WORDS.decode(ids[: count + 1]).startswith(text[:end])
        )
        for end in ends
    ]
    assert list(token_indices(ids, ends, WORDS)) == expected


def completion(text: str, *, finish: str = "stop") -> Completion:
    ids = BYTE_LEVEL(text, add_special_tokens=False)["input_ids"]
    ids = [*ids, BYTE_LEVEL.eos_token_id] if finish == "stop" else ids
    return Completion(
        text=text,
        token_ids=tuple(ids),
        logprobs=(-1.0,) * len(ids),
        finish=finish,
        policy_version=0,
    )


def places(one: Completion, steps: list[Step]) -> tuple[int, ...]:
    return step_tokens(one, [step.end for step in steps], BYTE_LEVEL)


def test_the_last_step_of_a_finished_response_ends_with_its_eos() -> None:
    text = "1=1\n2=2\n猫"
    steps = split_steps(text)
    finished, cut = completion(text), completion(text, finish="length")
    assert len(finished.token_ids) == len(cut.token_ids) + 1
    ends = places(finished, steps)
    assert ends[-1] == len(finished.token_ids) - 1
    assert places(cut, steps) == (*ends[:-1], len(cut.token_ids) - 1)
    for end, offset in zip(ends[:-1], (4, 8), strict=True):
        assert BYTE_LEVEL.decode(finished.token_ids[: end + 1]) == text[:offset]


def test_a_response_without_steps_has_no_places() -> None:
    assert places(completion(""), []) == ()
    assert places(completion("\n\n"), split_steps("\n\n")) == ()


@given(lines.filter(lambda text: bool(text.strip())), st.sampled_from(["stop", "length"]))
def test_places_never_decrease_and_lie_in_the_response(text: str, finish: str) -> None:
    one = completion(text, finish=finish)
    found = places(one, split_steps(text))
    assert list(found) == sorted(found)
    assert len(found) == len(split_steps(text))
    assert found[0] >= 0 and found[-1] == len(one.token_ids) - 1
