from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.ranks import Ranks
from bakeoff.rollouts.mixed import MixedSampler
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.rollouts.shared import SharedSampler

SAMPLING = SamplingConfig(max_response_tokens=8)
NOISE = NoiseAddress(seed=0, batch=3)


class ThreadRanks(Ranks):
    """Ranks that are threads of one process."""

    def __init__(self, rank: int, barrier: Barrier, board: dict) -> None:
        self.rank, self.count = rank, barrier.parties
        self._barrier, self._board = barrier, board

    def gather(self, value):
        self._board[self.rank] = value
        self._barrier.wait()
        found = [self._board[rank] for rank in range(self.count)]
        self._barrier.wait()
        return found


def on_ranks(count, draw):
    barrier, board = Barrier(count, timeout=60), {}
    ranks = [ThreadRanks(rank, barrier, board) for rank in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(draw, ranks))


def tokens(groups):
    return [[completion.token_ids for completion in group] for group in groups]


@pytest.mark.parametrize("count", [2, 4, 7])
def test_rollouts_do_not_depend_on_how_many_share_them(policy, prompts, count):
    def draw(ranks=None):
        sampler = TransformersSampler(policy, autocast_dtype=None)
        sampler = sampler if ranks is None else SharedSampler(sampler, ranks)
        return tokens(sampler.sample(prompts, group_size=3, sampling=SAMPLING, noise=NOISE))

    alone = draw()
    assert len(alone) == len(prompts) == 6
    assert on_ranks(count, draw) == [alone] * count


def test_ranks_draw_their_own_problems_alone(policy, prompts):
    seen = {}

    class Watched(TransformersSampler):
        def sample(self, prompts, **settings):
            seen.setdefault(id(self), []).extend(p.problem.id for p in prompts)
            return super().sample(prompts, **settings)

    def draw(ranks):
        sampler = SharedSampler(Watched(policy, autocast_dtype=None), ranks)
        sampler.sample(prompts, group_size=1, sampling=SAMPLING, noise=NOISE)

    on_ranks(4, draw)
    assert sorted(len(ids) for ids in seen.values()) == [1, 1, 2, 2]
    assert sorted(i for ids in seen.values() for i in ids) == sorted(p.problem.id for p in prompts)


def test_a_mixed_batch_is_the_same_on_every_number_of_ranks(policy, prompts):
    def draw(ranks=None):
        own = TransformersSampler(policy, autocast_dtype=None)
        current = own if ranks is None else SharedSampler(own, ranks)
        mixed = MixedSampler(policy, current, share=0.5, autocast_dtype=None, ranks=ranks)
        return tokens(mixed.sample(prompts, group_size=2, sampling=SAMPLING, noise=NOISE))

    assert on_ranks(3, draw) == [draw()] * 3
