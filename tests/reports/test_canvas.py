import re
from itertools import pairwise

import pytest
from matplotlib.axes import Axes

from reports.canvas import EndLabel, draw, label_ends, short_count, signed
from reports.palette import INK


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (950, "950"), (1500, "1.5k"), (200_000, "200k"), (3.1e14, "310T")]
)
def test_counts_are_short(count, text):
    assert short_count(count) == text


def test_differences_carry_a_sign():
    assert [signed(share) for share in (0.08, -0.16, 0.0)] == ["+8", "−16", "0"]


def test_labels_at_one_height_are_written_apart():
    heights: list[float] = []

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK)
        label_ends(axes, [EndLabel(text=t, y=1.0, colour=INK) for t in "abc"])
        heights.extend(text.xy[1] for text in axes.texts)

    draw("x", paint, alt="a line", size=(4, 3), margins=(0.5, 0.5, 0.5, 0.5))
    points = [height * 2 * 72 for height in sorted(heights)]  # axes are 2 inches high
    assert min(b - a for a, b in pairwise(points)) >= 12.9
    assert max(heights) <= 1.0


def test_colours_follow_the_page_and_a_file_brings_its_own():
    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK)

    figure = draw("x", paint, alt='a "line" < 2', size=(4, 3), margins=(0.5, 0.5, 0.5, 0.5))
    assert "var(--ink" in figure.inline
    assert "--ink:" not in figure.inline
    assert "--ink:" in figure.standalone
    assert 'aria-label="a &quot;line&quot; &lt; 2"' in figure.inline


def test_ids_of_a_figure_can_be_told_apart_on_a_page_of_several_studies():
    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], "o", color=INK)

    figure = draw("x", paint, alt="two dots", size=(4, 3), margins=(0.5, 0.5, 0.5, 0.5))
    placed = figure.on_page("second")
    ids = set(re.findall(r'\bid="([^"]+)"', placed))
    assert ids and all(one.startswith("second-x-") for one in ids)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', placed)
    assert references and {a or b for a, b in references} <= ids
