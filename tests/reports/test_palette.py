from reports.palette import display_name, marks, stylesheet


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
