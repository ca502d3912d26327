import re

from reports.comparison import Pair
from reports.pair_figures import differences, matrix


def pair(a, b, difference, verdict):
    return Pair(
        a=a, b=b, metric="pass@1", difference=difference, low=difference - 0.02,
        high=difference + 0.03, probability_of_improvement=0.5, p_value=0.5, p_value_holm=0.5,
        verdict=verdict,
    )  # fmt: skip


PAIRS = [
    pair("ppo", "grpo", -0.08, "worse"),
    pair("ppo", "rft", 0.01, "inconclusive"),
    pair("grpo", "rft", 0.09, "better"),
]


def test_a_cell_is_row_minus_column_and_its_mirror_says_the_opposite():
    svg = matrix(PAIRS, methods=("grpo", "ppo", "rft")).inline
    said = re.findall(r">([^<>]+)</text>", svg)
    # Both ways round: the interval is turned with the difference.
    assert {"−8.0", "+8.0", "−9.0", "+9.0", "−1.0", "+1.0"} <= set(said)
    assert {"−10.0 to −5.0", "+5.0 to +10.0"} <= set(said)
    grounds = re.findall(r"fill: var\(--(better|worse|open)", svg)
    assert sorted(grounds) == ["better"] * 2 + ["open"] * 2 + ["worse"] * 2


def test_the_alternative_text_holds_every_difference_with_its_verdict():
    for figure in (matrix(PAIRS, methods=("grpo", "ppo", "rft")), differences(PAIRS)):
        assert "PPO minus GRPO -8.0 points, worse" in figure.alt
        assert "PPO minus RFT +1.0 points, inconclusive" in figure.alt


def test_a_matrix_of_many_methods_keeps_the_size_of_its_cells():
    def width(n):
        names = [f"arm{i}" for i in range(n)]
        pairs = [pair(names[0], other, 0.1, "better") for other in names[1:]]
        svg = matrix(pairs, methods=names).inline
        return float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])

    assert abs((width(12) - width(11)) - (width(4) - width(3))) < 0.01
