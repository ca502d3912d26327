from benchmarks.against_peers.rewards import share_of_letter


def test_the_reward_is_the_share_of_the_words_that_have_the_letter() -> None:
    found = share_of_letter(["a b a b", "b", "", "ca a bb Ab"], finish=["stop"] * 4)
    assert found == [0.5, 0.0, 0.0, 0.5]
