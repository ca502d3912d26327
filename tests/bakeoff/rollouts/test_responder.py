import pytest

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.rollouts.responder import Responder
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.types import Completion, Problem, Prompt

PROBLEM = Problem(id="one", question="5 +3", answer="8")
PROMPT = Prompt(problem=PROBLEM, text="5 +3\n", token_ids=(3, 4, 5))


class Written:
    """Answers with given texts."""

    def __init__(self, *answers):
        self._group = [
            Completion(
                text=text, token_ids=(7,) * 4, logprobs=(0.0,) * 4, finish=finish, policy_version=0
            )
            for text, finish in answers
        ]

    def publish(self, model, *, version):
        raise AssertionError

    def sample(self, prompts, *, group_size, sampling, noise):
        assert group_size == len(self._group)
        return [self._group for _ in prompts]


@pytest.fixture
def responder(shared_policy):
    def make(sampler, samples):
        return Responder(
            sampler=sampler,
            verifier=ArithmeticVerifier(),
            sampling=SamplingConfig(max_response_tokens=8),
            samples=samples,
            noise=NoiseAddress(seed=0, batch="sample/train"),
            ledger=Ledger(PeakMemory(shared_policy.model.device)),
            flops=flops_model(shared_policy.model),
        )

    return make


def test_a_row_says_of_each_response_whether_it_is_correct_and_ended(responder):
    made = responder(Written(("#8", "stop"), ("5+3=9\n#9", "stop"), ("?", "stop")), 3)
    assert made.rows([PROMPT]) == [
        {
            "id": "one",
            "question": "5 +3",
            "answer": "8",
            "responses": ["#8", "5+3=9\n#9", "?"],
            "correct": [True, False, False],
            "extracted": ["8", "9", None],
            "finish": ["stop", "stop", "stop"],
        }
    ]


def test_a_response_that_was_cut_is_wrong_even_with_the_answer_in_it(responder):
    (row,) = responder(Written(("#8", "length"), ("#8", "stop")), 2).rows([PROMPT])
    assert row["correct"] == [False, True]
    assert row["finish"] == ["length", "stop"]


def test_what_responses_cost_is_on_the_ledger(responder):
    made = responder(Written(("#8", "length"), ("#8", "stop")), 2)
    made.rows([PROMPT, PROMPT])
    ledger = made.ledger
    assert (ledger.problems, ledger.rollouts, ledger.verifier_calls) == (2, 4, 4)
    assert (ledger.prompt_tokens, ledger.sampled_tokens) == (2 * 3, 4 * 4)
    assert ledger.flops > 0
    assert set(ledger.seconds) == {"sample", "score"}


def test_rows_hold_what_the_sampler_drew(responder, shared_policy, prompts):
    made = responder(TransformersSampler(shared_policy, autocast_dtype=None), 2)
    drawn = made.sampler.sample(prompts, group_size=2, sampling=made.sampling, noise=made.noise)
    rows = made.rows(prompts)
    assert [row["responses"] for row in rows] == [[each.text for each in g] for g in drawn]
    assert [row["id"] for row in rows] == [prompt.problem.id for prompt in prompts]
