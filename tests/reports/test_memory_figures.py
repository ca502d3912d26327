import re

from reports.memory_figures import component_colours, timeline_figure, write_profile_figures
from reports.palette import COMPONENT_COLOURS

RUNS = [
    {
        "phase": "sample",
        "seconds": [0.0, 2.0],
        "bytes": {"policy weights": [4e6, 4e6], "KV cache": [0, 6e6]},
    },
    {
        "phase": "update",
        "seconds": [0.0, 1.0],
        "bytes": {"policy weights": [4e6, 4e6], "activations": [0, 9e6]},
    },
]


def words(svg: str) -> set[str]:
    return set(re.findall(r">([^<>]+)</text>", svg))


def test_the_largest_component_has_the_first_colour_in_every_figure() -> None:
    found = component_colours([{"a": 1.0, "b": 5.0}, {"a": 2.0, "c": 3.0, "": 9.0}])
    assert list(found.items()) == list(zip("bca", COMPONENT_COLOURS[:3], strict=True))


def test_a_timeline_names_its_phases_and_components_and_says_the_most() -> None:
    colours = component_colours([run["bytes"] and {k: max(v) for k, v in run["bytes"].items()}
                                 for run in RUNS])  # fmt: skip
    figure = timeline_figure("t", "grpo", RUNS, colours=colours)
    assert figure.alt.endswith("at most 13 MB.")
    assert {"GRPO", "sample", "update", "policy weights", "KV cache"} <= words(figure.inline)


def test_a_phase_too_short_for_its_name_has_none() -> None:
    short = {"phase": "score", "seconds": [0.0, 0.01], "bytes": {"policy weights": [4e6, 4e6]}}
    colours = {"policy weights": "#000000"}
    figure = timeline_figure("t", "grpo", [RUNS[0], short, RUNS[1]], colours=colours)
    assert "update" in words(figure.inline)
    assert "score" not in words(figure.inline)


def test_a_profile_has_a_bar_figure_and_a_timeline_a_method(tmp_path) -> None:
    found = {
        "peak_components": {"update": {"policy weights": 4e6, "activations": 9e6}},
        "peak_bytes": {"update": 500e6},
        "timeline": RUNS,
    }
    files = write_profile_figures({"methods": {"grpo": found, "dir/a.py:B": found}}, tmp_path)
    assert [file.name for file in files] == [
        *("memory-grpo.svg", "memory-a.py-B.svg"),
        *("timeline-grpo.svg", "timeline-a.py-B.svg"),
    ]
    assert "13 MB of 500 MB" in words(files[0].read_text(encoding="utf-8"))
