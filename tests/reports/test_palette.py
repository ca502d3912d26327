import pytest

from reports.palette import GREY, display_name, marks, stylesheet, variables


def contrast(a, b):
    """WCAG 2.2's ratio of relative luminances, 1 to 21."""

    def luminance(colour):
        shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_can_be_read_on_its_ground(scheme):
    colours = {name: pair[scheme] for name, pair in variables().items()}
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    text = [
        "--ink",
        "--muted",
        *(name for name in colours if name.startswith("--m") and name[3:].isdigit()),
    ]
    assert len(text) == 10
    faint = {name: contrast(colours[name], colours["--paper"]) for name in text}
    assert {name: ratio for name, ratio in faint.items() if ratio < 4.5} == {}
    for ground in ("--better", "--worse", "--open"):
        assert contrast(colours["--ink"], colours[ground]) >= 4.5, ground


def test_of_more_methods_than_colours_the_best_are_coloured_and_the_rest_grey():
    arms = [f"arm{n}" for n in range(11)]
    look = marks(arms, best=list(reversed(arms)))
    assert [m for m in arms if look[m] is GREY] == arms[:3]
    assert len({look[m].colour for m in arms[3:]}) == 8


def test_a_preset_has_one_colour_in_every_study():
    alone, among = marks(["grpo"]), marks(["mine", "ppo", "grpo"])
    assert alone["grpo"] == among["grpo"]


def test_methods_of_a_study_look_different():
    look = marks(["mine", "ppo", "yours", "rft", "grpo", "online_rft"])
    assert len({mark.colour for mark in look.values()}) == 6
    assert len({mark.marker for mark in look.values()}) == 6


def test_print_is_light_even_where_the_screen_is_dark():
    assert stylesheet(":root").rindex("@media print") > stylesheet(":root").index("dark)")


def test_unknown_methods_keep_their_name():
    assert display_name("online_rft") == "Online RFT"
    assert display_name("mine.py:RLOO") == "mine.py:RLOO"
