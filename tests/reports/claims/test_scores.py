import numpy as np
import pytest

from bakeoff.errors import BakeoffError
from reports.claims.scores import Scores, combined


def scores(policy, seeds, problems, values):
    return Scores(
        policies=(policy,),
        seeds=tuple(seeds),
        problems=tuple(problems),
        values=np.array(values, dtype=np.float64),
    )


def test_a_difference_is_over_shared_seeds_and_problems_whatever_their_order():
    a = scores("a", (0, 1), "pq", [[0.1, 0.2], [0.3, 0.4]])
    b = scores("b", (2, 1), "rqp", [[9, 9, 9], [0.0, 0.5, 0.9]])
    found = combined([(1, a), (-1, b)])
    assert (found.policies, found.seeds, found.problems) == (("a", "b"), (1,), ("p", "q"))
    assert found.values == pytest.approx(np.array([[0.3 - 0.9, 0.4 - 0.5]]))


def test_data_without_seeds_pair_with_every_seed():
    fixed = scores("start", (), "pq", [[0.5, 0.25]])
    run = scores("grpo", (3, 4), "pq", [[1.0, 1.0], [0.0, 0.0]])
    found = combined([(1, run), (-1, fixed)])
    assert found.seeds == (3, 4)
    assert found.values == pytest.approx(np.array([[0.5, 0.75], [-0.5, -0.25]]))
    alone = combined([(1, fixed), (-0.5, fixed)])
    assert alone.seeds == ()
    assert alone.values == pytest.approx(np.array([[0.25, 0.125]]))


def test_four_weights_make_a_difference_of_differences():
    tables = [
        scores(name, (0,), "p", [[value]]) for name, value in zip("abcd", (8, 4, 2, 1), strict=True)
    ]
    found = combined(list(zip((1, -1, -1, 1), tables, strict=True)))
    assert found.values.tolist() == [[3.0]]


def test_tables_that_share_nothing_are_refused():
    a, b = scores("a", (0,), "p", [[1]]), scores("b", (1,), "p", [[1]])
    with pytest.raises(BakeoffError, match="a, b share no seed"):
        combined([(1, a), (-1, b)])
    c = scores("c", (0,), "q", [[1]])
    with pytest.raises(BakeoffError, match="a, c were given no common problem"):
        combined([(1, a), (-1, c)])
