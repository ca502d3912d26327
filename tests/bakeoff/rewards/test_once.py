from bakeoff.interfaces import Verdict
from bakeoff.ranks import Ranks
from bakeoff.rewards.once import RewardedOnce, VerifiedOnce
from bakeoff.types import Problem, Reward


class FirstOrNot(Ranks):
    """Two ranks, one after the other: the second hears what the first has said."""

    count = 2
    said: list

    def __init__(self, rank: int, said: list) -> None:
        self.rank, self.said = rank, said

    def once(self, function):
        if self.first:
            self.said.append(function())
        return self.said[0]


class Moody:
    """Says something else every time, as a verifier near its time limit does."""

    scores_steps = True
    flops_per_token = 3.0
    times = 0

    def score(self, prompts, completions):
        self.times += 1
        return [Reward(correct=None, outcome=float(self.times)) for _ in completions]

    def verify(self, problems, responses):
        self.times += 1
        return [Verdict(correct=None, reason=str(self.times)) for _ in responses]

    def close(self):
        self.times = -1


def test_every_rank_has_the_reward_of_the_first():
    said: list = []
    moody = Moody()
    found = [RewardedOnce(moody, FirstOrNot(rank, said)).score([None], [None]) for rank in (0, 1)]
    assert found[0] == found[1] == [Reward(correct=None, outcome=1.0)]
    assert moody.times == 1
    once = RewardedOnce(moody, FirstOrNot(0, said))
    assert (once.scores_steps, once.flops_per_token) == (True, 3.0)


def test_every_rank_has_the_verdict_of_the_first():
    said: list = []
    moody = Moody()
    problem = Problem(id="p", question="", answer="")
    found = [VerifiedOnce(moody, FirstOrNot(r, said)).verify([problem], ["x"]) for r in (0, 1)]
    assert found[0] == found[1]
    assert moody.times == 1
    VerifiedOnce(moody, FirstOrNot(0, said)).close()
    assert moody.times == -1
