from dataclasses import replace

import pytest

from bakeoff.config import ModelConfig, SamplingConfig
from bakeoff.errors import ConfigError
from bakeoff.interfaces import NoiseAddress, Verdict
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.models.prompts import PromptFormat
from bakeoff.reward_models.annotation import Annotator
from bakeoff.reward_models.solutions import Solution
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.tasks.arithmetic_task import ArithmeticTask, ArithmeticVerifier
from bakeoff.types import Completion, Problem

NOISE = NoiseAddress(seed=0, batch="annotation")
PROBLEM = Problem(id="one", question="5 +3 -2", answer="6")
RIGHT = Solution(problem=PROBLEM, number=0, response="5+3=8\n8-2=6\n#6", finish="stop")
WRONG = Solution(problem=PROBLEM, number=1, response="5+3=9\n9-2=7\n#7", finish="stop")


class Scripted:
    """A completer whose continuations of each prefix are given; outcomes that no model promises."""

    def __init__(self, tokenizer, script):
        self.script = script
        self.asked = []
        self._tokenizer = tokenizer

    def continue_prefixes(self, solutions, *, group_size, sampling, noise):
        return [
            [self._group(solution, length, group_size) for length in solution.lengths]
            for solution in solutions
        ]

    def _group(self, solution, length, group_size):
        text = self._tokenizer.decode(solution.token_ids[:length])
        prefix = text.removeprefix("5 +3 -2\n")
        self.asked.append(prefix)
        group = [self._completion(text) for text in self.script[prefix]]
        assert len(group) == group_size
        return group

    def _completion(self, text):
        """A text that ends in ~ was cut there."""
        cut = text.endswith("~")
        token_ids = self._tokenizer(text.removesuffix("~"))["input_ids"]
        token_ids += [] if cut else [self._tokenizer.eos_token_id]
        return Completion(
            text="only the tokens count",
            token_ids=tuple(token_ids),
            logprobs=(0.0,) * len(token_ids),
            finish="length" if cut else "stop",
            policy_version=0,
        )


class FailingOn:
    """The exact verifier, except that it fails where a text occurs."""

    def __init__(self, text):
        self._text = text

    def verify(self, problems, responses):
        verdicts = ArithmeticVerifier().verify(problems, responses)
        return [
            Verdict(correct=None) if self._text in response else verdict
            for response, verdict in zip(responses, verdicts, strict=True)
        ]

    def close(self):
        pass


@pytest.fixture
def annotator(shared_policy):
    def make(completer, *, completions, verifier=None, step_checker=None):
        return Annotator(
            completer=completer,
            prompts=PromptFormat(
                shared_policy.tokenizer, instruction="{question}\n", config=ModelConfig()
            ),
            tokenizer=shared_policy.tokenizer,
            verifier=verifier or ArithmeticVerifier(),
            step_checker=step_checker,
            task="arithmetic",
            sampling=SamplingConfig(max_response_tokens=12),
            completions=completions,
            ledger=Ledger(PeakMemory(shared_policy.model.device)),
            flops=flops_model(shared_policy.model),
        )

    return make


@pytest.fixture
def scripted(shared_policy):
    return lambda script: Scripted(shared_policy.tokenizer, script)


def labels(record):
    return [(s["hard"], s["soft"], s["completions"], s["right"]) for s in record["steps"]]


def test_hard_is_any_right_and_soft_is_the_share_right(annotator, scripted):
    completer = scripted(
        {
            "5+3=8\n": ["8-2=6\n#6", "8-2=7\n#7", "8-2=6\n#6", "#8"],
            "5+3=8\n8-2=6\n": ["#6"] * 4,
        }
    )
    (record,) = annotator(completer, completions=4).annotate([RIGHT], noise=NOISE)
    assert labels(record) == [(1, 0.5, 4, 2), (1, 1.0, 4, 4), (1, 1.0, 4, 4)]


def test_a_step_that_nothing_right_follows_is_hard_0_and_one_that_something_does_hard_1(
    annotator, scripted
):
    # The second step repairs the first, which a completer sometimes does.
    completer = scripted({"5+3=9\n": ["9-3=6\n#6", "9-2=7\n#7"], "5+3=9\n9-2=7\n": ["#7", "#9"]})
    (record,) = annotator(completer, completions=2).annotate([WRONG], noise=NOISE)
    assert labels(record) == [(1, 0.5, 2, 1), (0, 0.0, 2, 0), (0, 0.0, 2, 0)]


def test_the_record_is_the_solution_and_its_steps(annotator, scripted):
    completer = scripted({"5+3=8\n": ["#6"], "5+3=8\n8-2=6\n": ["#6"]})
    (record,) = annotator(completer, completions=1).annotate([RIGHT], noise=NOISE)
    steps = record.pop("steps")
    assert record == {
        "id": "one",
        "number": 0,
        "task": "arithmetic",
        "question": "5 +3 -2",
        "answer": "6",
        "response": "5+3=8\n8-2=6\n#6",
        "finish": "stop",
    }
    assert [(step["text"], step["end"]) for step in steps] == [
        ("5+3=8", 6),
        ("8-2=6", 12),
        ("#6", 14),
    ]


def test_a_continuation_that_is_cut_is_wrong(annotator, scripted):
    completer = scripted({"5+3=8\n": ["8-2=6\n#6~", "8-2=6\n#6"], "5+3=8\n8-2=6\n": ["#6~"] * 2})
    (record,) = annotator(completer, completions=2).annotate([RIGHT], noise=NOISE)
    assert labels(record)[:2] == [(1, 0.5, 2, 1), (0, 0.0, 2, 0)]


def test_the_last_step_of_a_finished_solution_is_judged_and_not_continued(annotator, scripted):
    script = {
        "5+3=8\n": ["#6"],
        "5+3=8\n8-2=6\n": ["#6"],
        "5+3=9\n": ["#6"],
        "5+3=9\n9-2=7\n": ["#6"],
    }
    completer = scripted(script)
    right, wrong = annotator(completer, completions=1).annotate([RIGHT, WRONG], noise=NOISE)
    assert set(completer.asked) == set(script)
    assert (labels(right)[-1], labels(wrong)[-1]) == ((1, 1.0, 1, 1), (0, 0.0, 1, 0))


def test_the_last_step_of_a_cut_solution_is_continued_where_it_broke_off(annotator, scripted):
    cut = replace(RIGHT, response="5+3=8\n8-", finish="length")
    completer = scripted({"5+3=8\n": ["#6", "#5"], "5+3=8\n8-": ["2=6\n#6", "2=6\n#6"]})
    made = annotator(completer, completions=2, step_checker=ArithmeticTask().step_checker())
    (record,) = made.annotate([cut], noise=NOISE)
    assert labels(record) == [(1, 0.5, 2, 1), (1, 1.0, 2, 2)]
    assert record["truth"] == [1, None]  # half a step is neither right nor wrong
    assert made.ledger.verifier_calls == 4


def test_completions_without_a_verdict_are_left_out_and_so_is_a_step_of_none_others(
    annotator, scripted
):
    completer = scripted(
        {"5+3=8\n": ["8-2=6\n#6", "**", "#9", "**"], "5+3=8\n8-2=6\n": ["**", "**", "**", "**"]}
    )
    made = annotator(
        completer,
        completions=4,
        verifier=FailingOn("**"),
        step_checker=ArithmeticTask().step_checker(),
    )
    (record,) = made.annotate([RIGHT], noise=NOISE)
    assert [step["text"] for step in record["steps"]] == ["5+3=8", "#6"]
    assert labels(record) == [(1, 0.5, 2, 1), (1, 1.0, 4, 4)]
    assert record["truth"] == [1, 1]
    assert made.ledger.verifier_errors == 6


def test_truth_is_that_every_step_so_far_is_right(annotator, scripted):
    # The third step is right in itself: it goes on from what the second wrote.
    response = "5+3=8\n8-2=5\n#5"
    completer = scripted({"5+3=8\n": ["#6"], "5+3=8\n8-2=5\n": ["#6"]})
    made = annotator(completer, completions=1, step_checker=ArithmeticTask().step_checker())
    (record,) = made.annotate([replace(RIGHT, response=response)], noise=NOISE)
    assert made.step_checker(PROBLEM, response.split("\n")) == [1, 0, 1]
    assert record["truth"] == [1, 0, 0]


def test_a_response_without_steps_has_no_labels(annotator, scripted):
    made = annotator(scripted({}), completions=1, step_checker=ArithmeticTask().step_checker())
    for response in ("", " \n\n"):
        (record,) = made.annotate([replace(RIGHT, response=response)], noise=NOISE)
        assert (record["steps"], record["truth"]) == ([], [])
    assert made.ledger.sampled_tokens == made.ledger.prompt_tokens == 0


def test_what_labels_cost_is_on_the_ledger(annotator, scripted):
    completer = scripted({"5+3=8\n": ["#6", "8-2=6\n#6"], "5+3=8\n8-2=6\n": ["#6", "#6~"]})
    ledger = (made := annotator(completer, completions=2)).ledger
    made.annotate([RIGHT], noise=NOISE)
    # Characters are tokens; EOS counts, and what stands after the longest prefix is not read.
    assert ledger.prompt_tokens == len("5 +3 -2\n5+3=8\n8-2=6\n")
    assert ledger.sampled_tokens == 3 + 9 + 3 + 2
    assert (ledger.rollouts, ledger.verifier_calls) == (4, 3 + 1)
    assert ledger.flops > 0
    assert set(ledger.seconds) == {"sample", "score"}


def test_a_question_that_the_checker_cannot_read_is_the_users_mistake(annotator, scripted):
    other = replace(RIGHT, problem=Problem(id="two", question="+5", answer="6"))
    completer = scripted({"+5\n5+3=8\n": ["#6"]})
    made = annotator(completer, completions=1, step_checker=ArithmeticTask().step_checker())
    with pytest.raises(ConfigError, match="'two' cannot be checked by task arithmetic"):
        made.annotate([replace(other, response="5+3=8\n", finish="length")], noise=NOISE)


def test_a_models_labels_do_not_depend_on_what_is_annotated_together(annotator, shared_policy):
    sampler = TransformersSampler(shared_policy, autocast_dtype=None)
    made = annotator(sampler, completions=3)
    together = made.annotate([RIGHT, WRONG], noise=NOISE)
    assert (
        made.annotate([WRONG], noise=NOISE) + made.annotate([RIGHT], noise=NOISE)
        == (together[::-1])
    )
