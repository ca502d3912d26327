import subprocess
import sys
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.reward_models.folder import (
    INFO_FILE,
    RewardHead,
    RewardKind,
    RewardModelInfo,
    read_info,
    read_kind,
    weights_digest,
    write_info,
)

INFO = RewardModelInfo(
    kind=RewardKind.PROCESS,
    head=RewardHead.TWO_TOKEN,
    instruction="{question}\n问",
    prompt_format="plain",
    eos_token_id=1,
    base_model="builtin",
    potential_token="good",
    no_potential_token="bad",
    training={"loss": 0.5},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_info(tmp_path, INFO)
    assert read_info(tmp_path) == INFO
    assert read_kind(tmp_path) is RewardKind.PROCESS


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "holds no reward model"),
        ("{", "is not JSON"),
        ("[]", "expected a JSON object"),
        ('{"kind": "process"}', "KeyError: 'head'"),
        ('{"kind": "praise"}', "no record of a reward model"),
    ],
)
def test_a_folder_that_is_none_is_refused_in_one_line(
    tmp_path: Path, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / INFO_FILE).write_text(content)
    with pytest.raises(ConfigError, match=told) as caught:
        read_kind(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_kind_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    write_info(tmp_path, INFO)
    file = tmp_path / INFO_FILE
    file.write_text(file.read_text().replace('"process"', '"praise"'))
    with pytest.raises(ConfigError, match="'praise' is not a valid RewardKind"):
        read_info(tmp_path)


def test_the_kind_is_known_without_torch(tmp_path: Path) -> None:
    write_info(tmp_path, INFO)
    code = (
        "import sys; from pathlib import Path\n"
        "from bakeoff.reward_models.folder import read_kind\n"
        f"print(read_kind(Path({str(tmp_path)!r})).value, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["process", "False"], result.stderr


def test_the_digest_is_that_of_the_weights(tmp_path: Path) -> None:
    for name, weights in (("one", b"a"), ("same", b"a"), ("other", b"b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        (tmp_path / name / "training.json").write_text(name)
    digests = {name: weights_digest(tmp_path / name) for name in ("one", "same", "other")}
    assert digests["one"] == digests["same"] != digests["other"]
