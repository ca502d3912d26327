import pytest

from ablations.factors import Factor
from bakeoff.errors import ConfigError
from bakeoff.settings import validated

CLIPS = {"narrow": {"clip_epsilon": 0.1}, "none": {"clip_epsilon": None, "epochs": 1}}


def test_the_first_level_is_the_baseline_unless_one_is_named() -> None:
    assert Factor(levels=(4, 8, 16)).baseline_level == 4
    assert Factor(levels=(4, 8, 16), baseline=8).baseline_level == 8
    # 0 and false are levels like any other.
    assert Factor(levels=(0.5, 0.0), baseline=0.0).baseline_level == 0.0
    assert Factor(levels=(True, False), baseline=False).baseline_level is False


def test_a_level_sets_the_factors_own_name_or_its_field() -> None:
    assert Factor(levels=(4, 8)).settings("group_size", 8) == {"group_size": 8}
    assert Factor(levels=(4, 8), field="group_size").settings("G", 8) == {"group_size": 8}


def test_a_named_level_sets_what_it_names_and_nothing_else() -> None:
    clip = Factor(levels=CLIPS)
    assert clip.level_names == ("narrow", "none")
    assert clip.settings("clip", "none") == {"clip_epsilon": None, "epochs": 1}
    assert clip.settings("clip", "narrow") == {"clip_epsilon": 0.1}


def test_what_a_level_sets_can_be_changed_without_changing_the_factor() -> None:
    clip = Factor(levels=CLIPS)
    clip.settings("clip", "none")["epochs"] = 5
    assert clip.settings("clip", "none")["epochs"] == 1


@pytest.mark.parametrize(
    ("factor", "whole"),
    [
        (Factor(levels=(4, 8), low=2, high=64), True),
        (Factor(levels=(0.0, 1), low=0, high=1), False),
        (Factor(low=1, high=9, baseline=4), True),
        (Factor(low=1, high=9, baseline=4.0), False),
    ],
)
def test_levels_and_baseline_say_whether_only_whole_numbers_are_taken(
    factor: Factor, whole: bool
) -> None:
    assert factor.is_integer is whole


def test_levels_keep_their_type_when_they_come_from_a_file() -> None:
    factor = validated(Factor, {"levels": [True, 1.5, "a", 4]}, where="f")
    assert [type(level) for level in factor.level_names] == [bool, float, str, int]


def test_a_record_says_what_was_varied() -> None:
    factor = Factor(levels=(4, 8), low=2, high=64, log=True, baseline=8, unit="rollouts")
    record = {
        "name": "group_size",
        "unit": "rollouts",
        "levels": [4, 8],
        "low": 2,
        "high": 64,
        "log": True,
        "baseline": 8,
    }
    assert factor.record("group_size", sampled=True) == record
    # A design of levels has no range, whatever the file declares for others.
    assert factor.record("group_size", sampled=False) == record | {"low": None, "high": None}
    assert Factor(levels=CLIPS).record("clip", sampled=False)["levels"] == ["narrow", "none"]


def test_a_switch_is_recorded_by_name() -> None:
    record = Factor(levels=(True, False)).record("critic", sampled=False)
    assert (record["levels"], record["baseline"]) == (["true", "false"], "true")


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({}, "levels, or low and high"),
        ({"levels": [1], "low": 0.5}, "low and high go together"),
        ({"levels": [1.0], "high": 0.5}, "low and high go together"),
        ({"levels": [1.0], "low": 2, "high": 2}, "low must be below high, got 2 and 2"),
        ({"levels": [1.0], "low": 0, "high": 2, "log": True}, "above 0 on a logarithmic scale"),
        ({"levels": CLIPS, "low": 0, "high": 2}, "named levels have no range"),
        ({"levels": ["a", "b"], "low": 0, "high": 2}, "levels that are numbers"),
        ({"levels": [True, False], "low": 0, "high": 2}, "levels that are numbers"),
        ({"levels": [4, 8], "low": 1.5, "high": 9}, "whole as the levels are, got 1.5 and 9"),
        ({"levels": [4, 8, 4]}, "distinct"),
        ({"levels": CLIPS, "field": "clip_epsilon"}, "leave field out"),
        ({"levels": [4, 8], "baseline": 16}, r"16 is none of the levels \[4, 8\]"),
        ({"levels": CLIPS, "baseline": "wide"}, "'wide' is none of the levels"),
        ({"low": 0, "high": 1}, "without levels needs a baseline"),
        ({"levels": [1], "units": "s"}, "'units' is unknown; did you mean 'unit'"),
    ],
)
def test_what_cannot_be_varied_is_refused(declared: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        validated(Factor, declared, where="f")
    assert "\n" not in str(refused.value)
