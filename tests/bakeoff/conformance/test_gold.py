from dataclasses import replace

import pytest

from bakeoff.conformance.gold import gold_answers_are_correct
from bakeoff.interfaces import Verdict
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier


class AcceptsEverything(ArithmeticVerifier):
    def verify(self, problems, responses):
        return [Verdict(correct=True, extracted="1") for _ in responses]


class AcceptsNothing(ArithmeticVerifier):
    def verify(self, problems, responses):
        return [Verdict(correct=False) for _ in responses]


class AlwaysFails(ArithmeticVerifier):
    def verify(self, problems, responses):
        return [Verdict(correct=None) for _ in responses]


@pytest.mark.parametrize("verifier", [AcceptsEverything(), AcceptsNothing(), AlwaysFails()])
def test_a_verifier_that_does_not_read_fails(world, verifier):
    assert gold_answers_are_correct(world, count=64).passed
    assert not gold_answers_are_correct(replace(world, verifier=verifier), count=64).passed
