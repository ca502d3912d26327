"""The shipped studies: valid, whole and quick."""

import shlex
from pathlib import Path

import pytest
import yaml

from ablations.designs import planned_points
from ablations.space import cells_of
from ablations.study import STUDIES, load_ablation, quick
from bakeoff.cli import cli
from bakeoff.config import as_record
from bakeoff.records import config_hash
from bakeoff.types import Split
from benchmarks.suite import load_suite

NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))
# What --quick may say beside settings.
OF_THE_STUDY = {"seeds", "levels", "trials"}


@pytest.mark.parametrize("form", [lambda study: study, quick], ids=["whole", "quick"])
@pytest.mark.parametrize("name", NAMES)
def test_every_point_of_a_shipped_study_makes_valid_cells(name, form) -> None:
    study = form(load_ablation(name))
    points = planned_points(study)
    assert study.baseline in points
    hashes = set()
    for point in points:
        cells = cells_of(study, point, folder=Path("runs"), overrides={})
        assert [cell.seed for cell in cells] == list(study.seeds)
        for cell in cells:
            assert cell.config.evaluation.evaluation_split is Split.VALIDATION
            hashes.add(config_hash(as_record(cell.config)))
            if study.rollouts_per_step is not None:
                group_size = cell.config.method_settings["group_size"]
                assert (
                    cell.config.training.problems_per_step * group_size == study.rollouts_per_step
                )
    # No two trials of a design are the same cells under two names.
    assert len(hashes) == len(points) * len(study.seeds)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_study_is_called_as_its_file_and_takes_no_seed_of_a_comparison(name) -> None:
    study = load_ablation(name)
    assert study.study == name
    assert not set(study.seeds) & set(load_suite(None).seeds)
    assert study.question.endswith("?")


@pytest.mark.parametrize("name", NAMES)
def test_a_setup_command_is_one_of_the_command_line(name) -> None:
    for command in load_ablation(name).setup:
        arguments = shlex.split(command)
        parser = cli
        while arguments[0] in getattr(parser, "commands", {}):
            parser = parser.commands[arguments.pop(0)]
        assert parser is not cli
        parser.make_context("bakeoff", arguments)


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_form_is_smaller(name) -> None:
    study = load_ablation(name)
    small = quick(study)
    assert len(planned_points(small)) <= len(planned_points(study))
    assert small.settings["budget"] < load_suite(None).settings["budget"]
    # Every narrowed factor keeps to the levels of the whole study.
    declared = yaml.safe_load((STUDIES / f"{name}.yaml").read_text())["quick"]
    assert set(declared) & OF_THE_STUDY
    for factor, levels in declared.get("levels", {}).items():
        assert set(levels) <= set(study.factors[factor].level_names)


def test_the_help_of_the_command_names_every_study_and_docs_describe_it() -> None:
    text = cli.commands["ablate"].help
    assert text is not None
    page = (STUDIES.parents[1] / "docs" / "ablations.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert name in text.replace(",", " ").replace(".", " ").split()
        assert f"| `{name}` |" in page
