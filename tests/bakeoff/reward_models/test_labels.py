import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.reward_models.examples import RewardKind, read_examples
from bakeoff.reward_models.labels import label_accuracy, label_counts, published_format


def step(end, *, right, completions=4):
    return {
        "text": "",
        "end": end,
        "hard": int(right > 0),
        "soft": right / completions,
        "completions": completions,
        "right": right,
    }


RECORD = {
    "task": "arithmetic",
    "question": "5 +3 -2",
    "response": "5+3=8\n\n8-2=7\n#7",
    "steps": [step(7, right=3), step(13, right=1), step(15, right=0)],
    "truth": [1, 0, 0],
}


def test_the_published_format_is_the_papers():
    assert published_format(RECORD) == {
        "input": "5 +3 -2 Step 1: 5+3=8 ки\nStep 2: 8-2=7 ки\nStep 3: #7 ки",
        "label": "5 +3 -2 Step 1: 5+3=8 +\nStep 2: 8-2=7 +\nStep 3: #7 -",
        "task": "arithmetic",
    }


def test_a_step_that_numbers_itself_is_not_numbered_again():
    response = "Step 1: one\nStep 12: two"
    record = RECORD | {
        "response": response,
        "steps": [step(12, right=1), step(len(response), right=0)],
    }
    assert published_format(record)["input"] == ("5 +3 -2 Step 1: one ки\nStep 2: Step 12: two ки")


def test_a_step_without_a_label_keeps_its_text_and_has_no_tag():
    record = RECORD | {"steps": [RECORD["steps"][0], RECORD["steps"][2]]}
    assert (
        published_format(record)["label"] == "5 +3 -2 Step 1: 5+3=8 +\nStep 2: 8-2=7\nStep 3: #7 -"
    )


def test_what_is_published_reads_back_with_the_same_labels(tmp_path):
    path = tmp_path / "published.jsonl"
    path.write_text(json.dumps(published_format(RECORD)) + "\n")
    (example,) = read_examples(path, kind=RewardKind.PROCESS)
    assert example.question == RECORD["question"]
    assert example.labels == (1.0, 1.0, 0.0)


def test_labels_are_counted():
    assert label_counts([RECORD, RECORD | {"steps": []}]) == {
        "solutions": 2,
        "steps": 3,
        "hard_positive_share": pytest.approx(2 / 3),
        "soft_mean": pytest.approx((3 / 4 + 1 / 4) / 3),
    }
    assert label_counts([])["soft_mean"] is None


def test_label_accuracy_by_hand():
    # n=1: a positive label has the chances 3/4, 1/4 and 0; the truth is 1, 0, 0.
    one = label_accuracy([RECORD], [1, 4])[1]
    assert one.steps == 3
    assert one.hard == one.soft == pytest.approx((3 / 4 + 3 / 4 + 1) / 3)
    # n=4 draws all: hard says 1, 1, 0 and soft 1, 0, 0.
    four = label_accuracy([RECORD], [1, 4])[4]
    assert four.hard == pytest.approx(2 / 3)
    assert four.soft == pytest.approx(1)


def slow_accuracy(steps, n):
    """Every n of a step's completions, one by one."""
    hard = soft = 0.0
    for completions, right, truth in steps:
        outcomes = [1] * right + [0] * (completions - right)
        chosen = list(combinations(outcomes, n))
        hard += sum((any(draw)) == truth for draw in chosen) / len(chosen)
        soft += sum((sum(draw) / n > 0.5) == truth for draw in chosen) / len(chosen)
    return hard / len(steps), soft / len(steps)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0, 1, None])), min_size=1, max_size=6),
    st.integers(1, 6),
)
def test_label_accuracy_is_the_mean_over_every_choice_of_completions(steps, n):
    record = {
        "steps": [step(1, right=right, completions=6) for right, _ in steps],
        "truth": [truth for _, truth in steps],
    }
    known = [(6, right, truth) for right, truth in steps if truth is not None]
    found = label_accuracy([record], [n])
    if not known:
        assert found is None
        return
    assert (found[n].hard, found[n].soft) == pytest.approx(slow_accuracy(known, n))


def test_all_n_are_compared_on_the_steps_that_have_enough_completions():
    few = {"steps": [step(1, right=0, completions=2)], "truth": [1]}
    found = label_accuracy([RECORD, few], [1, 4])
    assert (found[1].steps, found[4].steps) == (3, 3)
    assert label_accuracy([RECORD, few], [1])[1].steps == 4
    with pytest.raises(ConfigError, match="at most 4"):
        label_accuracy([RECORD, few], [8])


def test_records_without_truth_have_no_accuracy():
    assert label_accuracy([{"steps": RECORD["steps"]}], [1]) is None
