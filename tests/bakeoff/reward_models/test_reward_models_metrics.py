import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.reward_models.metrics import area_under_roc, held_out_metrics


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_metrics_of_two_solutions_by_hand() -> None:
    metrics = held_out_metrics(
        [[logit(0.9), logit(0.6)], [logit(0.7), logit(0.2), logit(0.4)]],
        [[1.0, 1.0], [1.0, 0.0, 1.0]],
    )
    # -ln 0.9 - ln 0.6 - ln 0.7 - ln 0.8 - ln 0.4, over two solutions
    assert metrics.loss == pytest.approx(2.1122953 / 2, abs=1e-6)
    assert (metrics.solutions, metrics.steps) == (2, 5)
    assert metrics.right_steps == 4 / 5
    assert metrics.step_accuracy == 4 / 5  # the 0.4 is right, and called wrong
    assert metrics.step_auc == 1.0  # 0.2 is below all four right ones
    # Lowest scores 0.6 and 0.2; all steps of the first are right, not of the second.
    assert (metrics.solution_accuracy, metrics.solution_auc) == (1.0, 1.0)
    assert metrics.right_solutions == 0.5


def test_a_soft_label_counts_as_right_from_one_half_on() -> None:
    metrics = held_out_metrics([[1.0, 1.0]], [[0.5, 0.49]])
    assert metrics.right_steps == 0.5
    # Cross-entropy with soft targets: ln(1 + e) - y, twice.
    assert metrics.loss == pytest.approx(2 * math.log(1 + math.e) - 0.99)


def test_one_kind_of_label_has_no_ranking() -> None:
    metrics = held_out_metrics([[1.0], [2.0]], [[1.0], [1.0]])
    assert (metrics.step_auc, metrics.solution_auc) == (None, None)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2).filter(
        lambda pairs: len({right for _, right in pairs}) == 2
    )
)
def test_the_area_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    right = [score for score, is_right in pairs if is_right]
    wrong = [score for score, is_right in pairs if not is_right]
    slow = sum((a > b) + (a == b) / 2 for a in right for b in wrong) / len(right) / len(wrong)
    fast = area_under_roc(
        np.array([score for score, _ in pairs], dtype=np.float64),
        np.array([is_right for _, is_right in pairs]),
    )
    assert fast == pytest.approx(slow)
