import shlex
import sys

from bakeoff.provenance import git_revision, machine, measured_by, versions


def test_a_result_begins_with_the_command_that_makes_it_again(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/scaling.py", "--axis", "group size"])
    record = measured_by("scaling")
    assert shlex.split(record["command"]) == [
        *("python", "-m", "benchmarks.scaling"),
        *("--axis", "group size"),
    ]
    assert record["benchmark"] == "scaling"
    assert record["machine"] == machine()
    assert record["git_revision"] == git_revision()
    assert record["versions"] == versions()
