import json

import pytest

from bakeoff.commands.resumable import ResumableLines
from bakeoff.errors import ConfigError

LEDGER = {"sampled_tokens": 3}


@pytest.fixture
def make(tmp_path):
    def resumable(total=4, **settings):
        return ResumableLines(
            tmp_path / "out" / "lines.jsonl",
            tmp_path / "out" / "state.json",
            settings={"seed": 0, "model": {"name": "builtin"}} | settings,
            total=total,
        )

    return resumable


def rows(lines):
    return [json.loads(line) for line in lines.lines.read_text().splitlines()]


def test_nothing_is_written_before_the_first_lines_are_there(make, tmp_path):
    make()
    assert list(tmp_path.iterdir()) == []


def test_it_goes_on_where_it_stopped(make):
    first = make()
    first.append([{"n": 0}, {"n": 1}], ledger=LEDGER)
    second = make()
    assert (second.done, second.is_complete) == (2, False)
    assert second.record["ledger"] == LEDGER
    second.append([{"n": 2}, {"n": 3}], ledger=LEDGER)
    assert make().is_complete
    assert rows(second) == [{"n": n} for n in range(4)]


@pytest.mark.parametrize("rest", ['{"n": 2', '{"n": 2}\n', '{"n": 2}\n{"n": 3}\n{"n'])
def test_lines_that_the_state_does_not_count_are_made_again(make, rest):
    first = make()
    first.append([{"n": 0}, {"n": 1}], ledger=LEDGER)
    with first.lines.open("a") as file:
        file.write(rest)
    second = make()
    assert second.done == 2
    second.append([{"n": 2}], ledger=LEDGER)
    assert rows(second) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_other_settings_are_refused_by_name_and_change_nothing(make):
    first = make()
    first.append([{"n": 0}], ledger=LEDGER)
    before = first.lines.read_bytes()
    with pytest.raises(ConfigError, match="seed was 0 and is 1; choose another --out"):
        make(seed=1)
    with pytest.raises(ConfigError, match="name was 'builtin' and is 'other'"):
        make(model={"name": "other"})
    assert first.lines.read_bytes() == before


def test_lines_that_nothing_accounts_for_are_refused(make):
    first = make()
    first.lines.parent.mkdir()
    first.lines.write_text('{"mine": 1}\n')
    with pytest.raises(ConfigError, match=r"no state\.json says what made it"):
        make()
    assert first.lines.read_text() == '{"mine": 1}\n'


def test_lost_lines_are_not_passed_over(make):
    first = make()
    first.append([{"n": 0}, {"n": 1}], ledger=LEDGER)
    first.lines.write_text('{"n": 0}\n')
    with pytest.raises(ConfigError, match=r"has 1 lines, but state\.json counts 2"):
        make()
