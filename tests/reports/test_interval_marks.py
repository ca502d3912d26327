import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from reports.interval_marks import interval_rows
from reports.palette import INK, MUTED, PAPER
from reports.statistics import Interval

ROWS = (
    ("a", Interval(mean=0.05, low=0.02, high=0.09), "better"),
    ("b", Interval(mean=-0.01, low=-0.04, high=0.03), "inconclusive"),
)


@pytest.fixture
def axes():
    made = Figure().subplots()
    interval_rows(made, ROWS, ticks=5, label="points")
    return made


def test_a_row_has_its_interval_and_its_mean_and_the_first_is_on_top(axes):
    zero, *drawn = axes.lines
    assert list(zero.get_xdata()) == [0, 0]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in drawn] == [
        ([0.02, 0.09], [0, 0]), ([0.05], [0]), ([-0.04, 0.03], [1, 1]), ([-0.01], [1]),
    ]  # fmt: skip
    bottom, top = axes.get_ylim()
    assert bottom > 1 > 0 > top
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]


def test_only_a_verdict_that_is_in_has_a_filled_mark(axes):
    _, _, clear, _, open_mark = axes.lines
    assert to_hex(clear.get_markerfacecolor()) == to_hex(clear.get_markeredgecolor()) == to_hex(INK)
    assert to_hex(open_mark.get_markerfacecolor()) == to_hex(PAPER)
    assert to_hex(open_mark.get_markeredgecolor()) == to_hex(MUTED)


def test_ticks_are_points_with_a_sign(axes):
    assert axes.xaxis.get_major_formatter()(-0.04, 0) == "−4"
    assert axes.get_xlabel() == "points"
