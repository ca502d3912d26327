import json

from bakeoff.models import builtin


def test_the_shipped_architecture_is_the_one_the_code_writes(tmp_path):
    builtin.write_architecture(tmp_path)
    for name in ("config.json", "tokenizer.json"):
        shipped, written = (
            json.loads((folder / name).read_text()) for folder in (builtin.FOLDER, tmp_path)
        )
        for settings in (shipped, written):
            settings.pop("transformers_version", None)
        assert shipped == written, name


def test_the_shipped_weights_are_small():
    assert (builtin.FOLDER / "model.safetensors").stat().st_size <= 3 * 2**20
