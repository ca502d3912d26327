from pathlib import Path

import pytest
import yaml

from ablations.study import load_ablation, quick, redesigned
from bakeoff.errors import ConfigError

CLIP = {"levels": {"narrow": {"clip_epsilon": 0.1}, "none": {"clip_epsilon": None}}}
RANGE = {"low": 2, "high": 64, "log": True, "baseline": 8}


def test_the_baseline_is_every_factors_own(declare) -> None:
    study = declare(factors={"group_size": {"levels": [4, 8], "baseline": 8}, "clip": CLIP})
    assert study.baseline == {"group_size": 8, "clip": "narrow"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"factors": {}}, "at least one factor"),
        ({"seeds": []}, "distinct and at least one"),
        ({"seeds": [1000, 1000]}, r"distinct and at least one, got \[1000, 1000\]"),
        ({"factors": {"group_size": RANGE}}, "design grid needs levels of factor 'group_size'"),
        ({"trials": 5}, "design grid has as many trials as it has points"),
        ({"design": "tpe"}, "design tpe needs a number of trials"),
        ({"design": "quasi_random", "trials": 0}, "needs a number of trials, got 0"),
        ({"objectives": ["pass@1", "peak_bytes"], "pruner": "median"}, "take pruner none"),
        ({"objectives": ["pass@1", "pass@1"]}, "objectives must be distinct"),
        ({"objectives": []}, "objectives must be distinct"),
        ({"pruner": "wilcoxon", "seeds": [1, 2, 3, 4]}, "at least 5, got 4"),
        (
            {"factors": {"G": {"levels": [1], "low": 2}}},
            "test: factor 'G': low and high go together",
        ),
        ({"factors": {"G": {"levels": 4}}}, "test: factor 'G': levels"),
        ({"factors": {"G": [4, 8]}}, "test: factor 'G' must be a mapping with levels"),
        ({"factors": [4, 8]}, "test: factors = "),
        ({"design": "random"}, "design = 'random'"),
        ({"pruned": "median"}, "'pruned' is unknown; did you mean 'pruner'"),
        ({"rollouts_per_step": 10, "factors": {"group_size": {"levels": [5, 4]}}}, "group size 4"),
        (
            {"rollouts_per_step": 8, "factors": {"G": {"levels": [3], "field": "group_size"}}},
            "8 is not divisible by group size 3",
        ),
        (
            {
                **{"rollouts_per_step": 64, "design": "tpe", "trials": 4},
                "factors": {"group_size": RANGE},
            },
            "every group size between 2.0 and 64.0",
        ),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(declare, changes, told) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        declare(**changes)
    assert "\n" not in str(refused.value)


def test_a_name_that_nothing_ships_under_is_refused_with_the_closest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'group_size_kl'"):
        load_ablation("group_size_lk")
    with pytest.raises(ConfigError, match="neither a file nor a study that ships"):
        load_ablation(str(tmp_path / "none.yaml"))


def test_a_study_is_read_from_a_file_by_its_path(tmp_path: Path) -> None:
    declared = {
        **{"study": "mine", "title": "Mine", "question": "?", "seeds": [1000]},
        "factors": {"clip": CLIP, "learning_rate": {"levels": [1.0e-4, 0.001]}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(declared))
    study = load_ablation(str(tmp_path / "mine.yaml"))
    assert list(study.factors) == ["clip", "learning_rate"]
    assert study.factors["learning_rate"].level_names == (1e-4, 1e-3)
    declared["factors"]["clip"] = CLIP | {"level": []}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(declared))
    with pytest.raises(
        ConfigError, match=r"mine\.yaml: factor 'clip': 'level' is unknown; did you mean 'levels'"
    ):
        load_ablation(str(tmp_path / "mine.yaml"))


def test_quick_narrows_levels_and_seeds_and_replaces_settings(declare) -> None:
    study = declare(
        factors={
            "group_size": {"levels": [4, 8, 16], "low": 2, "high": 64, "baseline": 16},
            "epochs": {"levels": [1, 2, 4], "baseline": 2},
            "clip": CLIP,
        },
        settings={"epochs": 2, "budget": 100},
        quick={
            "seeds": [1000],
            "levels": {"group_size": [4, 8], "epochs": [2, 4], "clip": ["none"]},
            "budget": 7,
        },
    )
    small = quick(study)
    assert small.study == "tiny-quick"
    assert small.seeds == (1000,)
    assert small.settings == {"epochs": 2, "budget": 7}
    assert small.factors["group_size"].level_names == (4, 8)
    # Its baseline was narrowed away, so the first level takes its place.
    assert small.baseline == {"group_size": 4, "epochs": 2, "clip": "none"}
    assert small.factors["clip"].settings("clip", "none") == {"clip_epsilon": None}
    assert (small.factors["group_size"].low, small.factors["group_size"].high) == (2, 64)
    assert small.quick is None


def test_quick_takes_fewer_trials(declare) -> None:
    study = declare(design="quasi_random", trials=16, quick={"trials": 4})
    assert (quick(study).trials, study.trials) == (4, 16)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (None, "has no quick section"),
        ({"levels": {"klip": ["none"]}}, "'klip' is no factor; did you mean 'clip'"),
        ({"levels": {"clip": ["nine"]}}, "'nine' is no level; did you mean 'none'"),
        ({"levels": {"clip": []}}, "levels, or low and high"),
        ({"seeds": []}, "at least one"),
    ],
)
def test_a_quick_section_that_does_not_fit_is_refused(declare, section, told) -> None:
    with pytest.raises(ConfigError, match=told):
        quick(declare(factors={"clip": CLIP}, quick=section))


def test_the_same_factors_serve_another_design(declare) -> None:
    grid = declare(factors={"group_size": {"levels": [4, 8], **RANGE}, "clip": CLIP})
    sampled = redesigned(grid, design="tpe", trials=9)
    assert (sampled.design, sampled.trials, sampled.factors) == ("tpe", 9, grid.factors)
    assert redesigned(sampled, design=None, trials=None) == sampled
    assert redesigned(sampled, design=None, trials=12).trials == 12
    assert redesigned(sampled, design="quasi_random", trials=None).trials == 9
    alone = redesigned(sampled, design="leave_one_out", trials=None)
    assert (alone.design, alone.trials) == ("leave_one_out", None)


@pytest.mark.parametrize(
    ("design", "trials", "told"),
    [
        ("tpe", None, "design tpe needs a number of trials"),
        ("leave_one_out", 4, "design leave_one_out has as many trials as it has points"),
        ("tree", 4, "unknown design 'tree'"),
        ("gird", None, "did you mean 'grid'?"),
    ],
)
def test_a_design_that_does_not_fit_is_refused(declare, design, trials, told) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", "[?]")):
        redesigned(declare(factors={"clip": CLIP}), design=design, trials=trials)
