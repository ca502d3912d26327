import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import identities
from benchmarks.identities import TOLERANCE, check_identities, main


def test_every_identity_holds_on_every_batch() -> None:
    for seed in (0, 1):
        found = check_identities(seed=seed)
        assert [one.statement for one in found if not one.holds] == []
        assert len(found) == 11


def test_a_formula_that_is_off_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "kl_k3", lambda logprobs, ref: 0.5 * (logprobs - ref) - 0.1)
    failed = {one.statement for one in check_identities() if not one.holds}
    assert failed == {"k3 is not negative", "k3 is 0 where the policies agree"}


def test_one_sign_wrong_in_the_return_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "to_go", lambda rewards: -rewards.flip(1).cumsum(1).flip(1))
    (failed,) = [one for one in check_identities() if not one.holds]
    assert failed.statement.startswith("GAE")
    assert failed.largest_error > 100 * TOLERANCE


def test_they_are_printed_and_written(tmp_path: Path) -> None:
    file = tmp_path / "identities.json"
    result = CliRunner().invoke(main, ["--json", str(file)])
    assert result.exit_code == 0
    rows = json.loads(file.read_text())["identities"]
    assert len(result.output.splitlines()) == len(rows) == 11
    assert all(row["holds"] and row["largest_error"] <= TOLERANCE for row in rows)
    assert {"statement", "source"} < rows[0].keys()
