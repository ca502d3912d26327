from bakeoff.commands.profile_measure import POINTS, second_batch, table, thinned
from bakeoff.memory.components import Component
from bakeoff.memory.tracker import Timeline

WEIGHTS, ACTIVATIONS = Component.POLICY_WEIGHTS, Component.ACTIVATIONS


def run(phase: str, batch: int | None) -> Timeline:
    return Timeline(phase=phase, batch=batch, start=0.0, changes=[])


def test_the_second_batch_has_its_phases_in_order() -> None:
    runs = [run("sample", 0), run("update", 0), run("sample", 1), run("measure", 1)]
    runs += [run("update", 1), run("evaluate", 1)]
    assert second_batch(runs) == runs[2:5]


def test_a_pools_last_part_stands_before_the_batch_that_trains_on_it() -> None:
    runs = [run("sample", None), run("score", None), run("sample", None), run("score", None)]
    runs += [run("evaluate", None), run("update", 0), run("update", 1)]
    assert second_batch(runs) == [runs[2], runs[3], runs[6]]


def test_a_timeline_begins_with_what_was_there() -> None:
    changes = [
        (8.0, WEIGHTS, 60),
        (8.5, WEIGHTS, 40),
        (10.0, ACTIVATIONS, 7),
        (11.0, ACTIVATIONS, 5),
        (12.0, ACTIVATIONS, -12),
    ]
    assert thinned(Timeline(phase="update", batch=1, start=9.0, changes=changes)) == {
        "phase": "update",
        "seconds": [0.0, 1.0, 2.0, 3.0],
        "bytes": {"policy weights": [100] * 4, "activations": [0, 7, 12, 0]},
    }


def test_a_thinned_timeline_keeps_the_highest_moment() -> None:
    changes = [(0.0, WEIGHTS, 10)]
    for step in range(10_000):
        size = 1000 if step == 7777 else 1
        changes += [(1.0 + step, ACTIVATIONS, size), (1.5 + step, ACTIVATIONS, -size)]
    found = thinned(Timeline(phase="update", batch=1, start=0.5, changes=changes))
    assert len(found["seconds"]) <= POINTS
    assert max(found["bytes"]["activations"]) == 1000
    assert found["seconds"][found["bytes"]["activations"].index(1000)] == 7777.5
    assert found["bytes"]["policy weights"] == [10] * len(found["seconds"])


def test_a_phase_in_which_nothing_changes_is_its_beginning() -> None:
    still = Timeline(phase="score", batch=1, start=2.0, changes=[(1.0, WEIGHTS, 10)])
    assert thinned(still) == {
        "phase": "score",
        "seconds": [0.0],
        "bytes": {"policy weights": [10]},
    }


def test_the_table_names_the_largest_components() -> None:
    parts = {"activations": 75, "policy weights": 20, "other": 5}
    method = {"peak_components": {"update": parts}, "peak_bytes": {"update": 300}}
    assert table({"methods": {"grpo": method}}) == [
        ("grpo", "update", 100, 300, "activations 75 %, policy weights 20 %")
    ]
