import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reports.ablation.front import front_mask, non_dominated

rows = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 4), min_size=width, max_size=width), min_size=1, max_size=12
    )
)


@given(rows)
def test_the_front_is_what_brute_force_leaves(goods):
    def beaten(one: list[int]) -> bool:
        return any(
            all(a >= b for a, b in zip(other, one, strict=True))
            and any(a > b for a, b in zip(other, one, strict=True))
            for other in goods
        )

    expected = [not beaten(row) for row in goods]
    assert front_mask(np.array(goods, dtype=float)).tolist() == expected


def test_accuracy_is_wanted_high_and_memory_low(make_grid, read):
    rates = {(4, 0.04): 0.25, (8, 0.04): 0.5, (16, 0.04): 0.5, (32, 0.04): 0.75}
    memory = {(4, 0.04): 1e8, (8, 0.04): 2e8, (16, 0.04): 3e8, (32, 0.04): 4e8}
    changes = {place: {"peak_bytes": value} for place, value in memory.items()}
    sweep = read(make_grid(rates, changes=changes))
    front = non_dominated(sweep.settings, ("peak_bytes", "pass@1"))
    # 16 needs more memory than 8 for the same accuracy.
    assert [setting.trial.levels["group_size"] for setting in front] == [4, 8, 32]
