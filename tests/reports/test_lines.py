import numpy as np
import pytest

from bakeoff.errors import BakeoffError
from bakeoff.records import append_lines
from reports.lines import read_columns, read_lines

ROWS = [
    {"batch": 1, "entropy": 0.5, "seconds": {"sample": 1.0}},
    {"batch": 2, "entropy": None, "note": "ß\u2028"},
    {"batch": 3, "loss": 1e-300},
]


def test_rows_come_back_as_they_were_written(tmp_path):
    append_lines(tmp_path / "rows.jsonl", ROWS)
    assert list(read_lines(tmp_path / "rows.jsonl")) == ROWS


def test_columns_have_a_number_a_line_and_nan_where_there_is_none(tmp_path):
    append_lines(tmp_path / "rows.jsonl", ROWS)
    found = read_columns(tmp_path / "rows.jsonl", ("batch", "entropy", "loss", "absent"))
    np.testing.assert_array_equal(found["batch"], [1, 2, 3])
    np.testing.assert_array_equal(found["entropy"], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(found["loss"], [np.nan, np.nan, 1e-300])
    assert np.isnan(found["absent"]).all()


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
    assert list(read_lines(tmp_path / "rows.jsonl")) == []
    assert read_columns(tmp_path / "rows.jsonl", ("batch",))["batch"].shape == (0,)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"batch": 1}\n{"batch": 2')
    assert list(read_lines(file)) == [{"batch": 1}]
    assert read_columns(file, ("batch",))["batch"].tolist() == [1.0]


def test_a_loss_that_diverged_is_read(tmp_path):
    append_lines(tmp_path / "rows.jsonl", [{"loss": float("nan")}, {"loss": float("inf")}])
    found = read_columns(tmp_path / "rows.jsonl", ("loss",))
    np.testing.assert_array_equal(found["loss"], [np.nan, np.inf])
    assert [row["loss"] for row in read_lines(tmp_path / "rows.jsonl")][1] == float("inf")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"batch": 2,}', "line 2 is not JSON"),
        ("[2]", "line 2 holds a list"),
        ('{"batch": "two"}', "line 2: .*'two'"),
        ('{"batch": [2]}', r"line 2: .*\[2\]"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, why):
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"batch": 1}}\n{line}\n{{"batch": 3}}\n')
    with pytest.raises(BakeoffError, match=f"rows.jsonl, {why}"):
        read_columns(file, ("batch",))
