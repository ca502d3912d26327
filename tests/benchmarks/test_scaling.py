from dataclasses import replace

from benchmarks.scaling import MIDDLE, Point, draw, measure


def test_a_larger_group_takes_more_memory_and_every_round_is_timed():
    shapes = [
        replace(MIDDLE, problems=1, group_size=size, layers=1, vocabulary=32, max_response_tokens=4)
        for size in (2, 16)
    ]
    small, large = measure("group size", shapes, rounds=2)
    assert (small.place, large.place) == (2, 16)
    assert (small.rollouts, large.rollouts) == (2, 16)
    assert len(small.sampling_seconds) == len(large.update_seconds) == 2
    assert large.update_bytes > small.update_bytes
    assert large.sampling_bytes > small.sampling_bytes


def test_the_figure_has_a_column_an_axis(tmp_path):
    points = [
        Point(
            axis=axis,
            place=place,
            rollouts=4,
            sampling_seconds=[0.1, 0.2],
            update_seconds=[0.3, 0.4],
            sampling_bytes=10**6,
            update_bytes=10**7,
        )
        for axis in ("group size", "vocabulary")
        for place in (4, 8)
    ]
    draw(points, tmp_path / "scaling.svg")
    drawn = (tmp_path / "scaling.svg").read_text()
    assert drawn.startswith("<?xml")
    assert drawn.count('id="axes_') == 4
