from benchmarks.predicted import compared, error


def test_an_error_is_a_share_of_what_was_measured() -> None:
    assert error({"predicted_bytes": 105, "measured_bytes": 100}) == 0.05
    assert error({"predicted_bytes": 90, "measured_bytes": 100}) == -0.1


def test_the_whole_is_the_highest_phase_of_those_that_both_sides_have() -> None:
    predicted = {"load": {"weights": 40}, "sample": {"weights": 40, "cache": 60}, "score": {"a": 1}}
    measured = {
        "load": {"weights": 50},
        "sample": {"weights": 40, "cache": 40},
        "evaluate": {"a": 9},
    }
    found = compared(predicted, measured)
    assert set(found["phases"]) == {"load", "sample"}
    assert (found["phases"]["load"]["error"], found["phases"]["sample"]["error"]) == (-0.2, 0.25)
    assert found["whole"] == {"predicted_bytes": 100, "measured_bytes": 80, "error": 0.25}
