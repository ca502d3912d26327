import re
from pathlib import Path

import pytest

from bakeoff.errors import BakeoffError
from reports.frameworks import FILE, elsewhere, read_frameworks


def test_grpo_and_ppo_are_told_by_the_paper_and_three_frameworks():
    for method in ("grpo", "ppo"):
        found = [row.where for row in elsewhere(method)]
        assert found[0] == "DeepSeekMath"
        assert found[-3:] == ["TRL", "verl", "OpenRLHF"]
    assert elsewhere("mine") == ()


def test_no_two_sources_mean_the_same_by_grpo():
    rows = elsewhere("grpo")
    assert len({(r.advantage, r.loss, r.aggregation, r.kl, r.group_size) for r in rows}) == 4


def test_every_row_says_where_and_when_it_was_read():
    for row in read_frameworks(FILE):
        assert re.fullmatch(r"20\d\d-[01]\d", row.date)
        assert row.source.startswith("arXiv:") or re.search(r"\.(py|yaml)$", row.source)


def test_a_misspelt_key_is_an_error_that_names_it(tmp_path: Path):
    file = tmp_path / "frameworks.yaml"
    file.write_text(FILE.read_text().replace("group_size", "groupsize", 1))
    with pytest.raises(BakeoffError, match="row 1: group_size, groupsize"):
        read_frameworks(file)
