from dataclasses import replace

import pytest

from reports.claims.arms import ArmEnd
from reports.claims.finding import Finding, Value
from reports.claims.judges import Judged
from reports.claims.paper import CLAIMS
from reports.claims.text import arm_table, claim_table, number, spread, value_table
from reports.statistics import Interval

GAIN = Value(
    name="grpo − online_rft",
    value=-1.24,
    unit="points",
    low=-2.0,
    high=0.04,
    p_value=0.0004,
    p_value_holm=0.06,
    difference=True,
    decides=True,
)


@pytest.mark.parametrize(
    ("value", "said", "interval"),
    [
        (GAIN, "−1.2", "−2.0 to +0.0"),
        (Value(name="x", value=-0.04, unit="points", difference=True), "+0.0", ""),
        (Value(name="x", value=71.26, unit="%", low=70.0, high=72.5), "71.3", "70.0 to 72.5"),
        (Value(name="x", value=2.34e-7, unit="largest error"), "2.34e−07", ""),
        (Value(name="x", value=-0.01234, unit="nats", difference=True), "−0.0123", ""),
    ],
)
def test_numbers_are_rounded_to_what_their_unit_bears(value, said, interval):
    assert (number(value), spread(value)) == (said, interval)


def test_a_claim_s_row_holds_what_decides():
    decided = Finding(
        verdict="inconclusive",
        reason="open",
        values=(GAIN, Value(name="beside it", value=9.0, unit="points", difference=True)),
    )
    missing = Finding(verdict="inconclusive", reason="arm rft is not in the study")
    table = claim_table(
        [Judged(claim=CLAIMS[2], finding=decided), Judged(claim=CLAIMS[1], finding=missing)]
    )
    first, second = ([entry.plain for entry in row] for row in table.rows)
    assert first[0] == "3"
    assert first[3] == "grpo − online_rft: −1.2 (−2.0 to +0.0) points"
    assert second[3] == "arm rft is not in the study"
    assert second[4] == "inconclusive"


def test_of_many_deciding_numbers_the_row_holds_the_largest():
    gains = tuple(replace(GAIN, name=f"pair {i}", value=float(i - 3)) for i in range(5))
    finding = Finding(verdict="inconclusive", reason="open", values=gains)
    (row,) = claim_table([Judged(claim=CLAIMS[2], finding=finding)]).rows
    assert row[3].text == "pair 0: −3.0 (−2.0 to +0.0) points, the largest of 5"


def test_only_what_decides_has_an_adjusted_p():
    other = Value(name="beside it", value=9.0, unit="points", p_value=0.2, difference=True)
    table = value_table(Finding(verdict="inconclusive", reason="", values=(GAIN, other)))
    first, second = ([entry.plain for entry in row] for row in table.rows)
    assert first[3:] == ["< 0.001", "0.060", "yes"]
    assert second[3:] == ["0.200", "–", ""]


def test_an_arm_s_row_leaves_open_what_is_not_known():
    end = ArmEnd(
        policy="grpo",
        seeds=(0, 1),
        pass_at_1=Interval(mean=0.512, low=0.5, high=0.53),
        greedy=None,
        ood=None,
        entropy=0.04321,
        wall_seconds=300.0,
    )
    (row,) = arm_table([end]).rows
    assert [entry.plain for entry in row] == [
        "grpo", "2", "51.2 (50.0–53.0)", "–", "–", "0.0432", "5.0 min"
    ]  # fmt: skip
