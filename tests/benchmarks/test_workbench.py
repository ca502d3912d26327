from dataclasses import replace

from benchmarks.workbench import Shape, workbench

SHAPE = Shape(hidden_size=16, layers=1, problems=2, group_size=4, max_response_tokens=6)


def test_equal_shapes_sample_the_same_and_an_update_moves_the_policy():
    one, other = workbench(SHAPE), workbench(SHAPE)
    rollouts = one.sample(0)
    assert [r.completion.token_ids for r in rollouts] == [
        r.completion.token_ids for r in other.sample(0)
    ]
    assert len(rollouts) == 8
    one.update(one.annotate(rollouts))
    assert one.engine.version == 1
    assert one.engine.frozen_checksums() == other.engine.frozen_checksums()
    assert [r.completion.logprobs for r in one.sample(1)] != [
        r.completion.logprobs for r in other.sample(1)
    ]


def test_responses_of_a_shape_that_never_ends_are_all_of_full_length():
    rollouts = workbench(replace(SHAPE, ends=False)).sample(0)
    assert {len(rollout.completion.token_ids) for rollout in rollouts} == {6}
