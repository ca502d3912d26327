import subprocess
import sys
from pathlib import Path

import pytest

from bakeoff.errors import BakeoffError
from benchmarks.against_peers import environments
from benchmarks.against_peers.environments import TORCH, Environment, is_ready, make, python_of

PEER = Environment(name="peer-1", packages=("peer==1",))


def fake_tools(monkeypatch: pytest.MonkeyPatch, *, fails_on: str | None = None) -> list[list[str]]:
    """Records the commands instead of running them; a network would make this test another one."""
    commands: list[list[str]] = []

    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(list(command))
        if "venv" in command:
            Path(command[-1]).mkdir(parents=True)
        failed = fails_on is not None and fails_on in command
        return subprocess.CompletedProcess(command, int(failed), stderr="why\nno such package\n")

    monkeypatch.setattr(environments.subprocess, "run", run)
    return commands


def test_torch_is_asked_for_first_and_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = fake_tools(monkeypatch)
    python = make(PEER, tmp_path, echo=lambda _: None)
    assert python == tmp_path / "peer-1" / "bin" / "python"
    assert commands[0][0] == sys.executable
    requests = [command[command.index("--quiet") + 1 :] for command in commands[1:]]
    assert requests[0] == [TORCH]
    assert requests[1][-1] == "peer==1"
    assert all("==" in package for request in requests for package in request)


def test_an_environment_is_made_once_and_again_when_its_pins_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = fake_tools(monkeypatch)
    said: list[str] = []
    make(PEER, tmp_path, echo=said.append)
    assert is_ready(PEER, tmp_path)
    made = len(commands)
    make(PEER, tmp_path, echo=said.append)
    assert len(commands) == made and len(said) == 1
    assert not is_ready(Environment(name="peer-1", packages=("peer==2",)), tmp_path)


def test_an_installation_that_fails_leaves_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tools(monkeypatch, fails_on="peer==1")
    with pytest.raises(BakeoffError, match="code 1: no such package"):
        make(PEER, tmp_path, echo=lambda _: None)
    assert not is_ready(PEER, tmp_path)
    assert python_of(PEER, tmp_path).parent.parent.is_dir()
