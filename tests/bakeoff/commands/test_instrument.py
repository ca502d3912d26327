import pytest

from bakeoff.commands.instrument import sampling_config, settings_record
from bakeoff.errors import ConfigError


def test_flags_win_over_the_file_and_what_is_of_training_in_it_is_passed_over(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("temperature: 0.5\nmax_response_tokens: 9\nlearning_rate: 3\n")
    config = sampling_config("sample", file, {"temperature": "0.7", "top_k": None})
    assert (config.sampling.temperature, config.sampling.max_response_tokens) == (0.7, 9)
    assert config.optimizer.learning_rate != 3


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"learning_rate": "1"}, "--learning-rate does nothing in `bakeoff sample`"),
        ({"temperature": "warm"}, "temperature = 'warm'"),
        ({"temperature": "-1"}, "temperature must be 0"),
    ],
)
def test_a_flag_that_does_nothing_or_does_not_fit_is_refused(flags, told):
    with pytest.raises(ConfigError, match=told):
        sampling_config("sample", None, flags)


def test_the_record_names_what_samples_depend_on():
    record = settings_record(sampling_config("sample", None, {"seed": "3"}))
    assert list(record) == ["model", "task", "sampling", "seeds"]
    assert record["seeds"]["seed"] == 3
