import numpy as np

from reports.palette import marks
from reports.target_figures import profile_figure, times_table
from reports.target_times import FACTORS, TargetTimes
from reports.targets import time_to_target_profile

TIMES = np.array([[[10.0, 30.0, 20.0]], [[np.inf, np.inf, 40.0]], [[5.0, 60.0, np.nan]]])
FOUND = TargetTimes(
    methods=("grpo", "ppo", "rft"),
    shares=(0.5,),
    targets=(0.6,),
    times=TIMES,
    profile=time_to_target_profile(TIMES.reshape(3, -1), factors=FACTORS),
)
LOOK = marks(FOUND.methods)


def test_the_table_has_the_median_time_or_says_that_most_missed():
    table = times_table(FOUND, look=LOOK)
    assert table.columns[2] == "to 60.0 % (50 % of the way)"
    cells = [row[2].plain for row in table.rows]
    assert cells == ["20 s (3 of 3)", "missed (1 of 3)", "60 s (2 of 2)"]
    assert [record["reached"] for record in table.records] == [3, 1, 2]


def test_the_profile_is_told_in_words():
    alt = profile_figure(FOUND, look=LOOK).alt
    # GRPO is fastest at two of three seeds and twice the best at the other.
    assert "GRPO 67 % at once, 100 % within 4 times" in alt
    assert "PPO 0 % at once, 33 % within 4 times" in alt
