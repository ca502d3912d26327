import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from benchmarks import sampling
from benchmarks.sampling import SIDES, Side, builtin_workload, generate, llama_workload, measure
from benchmarks.workbench import Shape

SHAPE = Shape(hidden_size=16, layers=1, problems=3, group_size=4, max_response_tokens=6)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_every_side_gives_whole_groups_that_end_at_their_first_end(side):
    work = llama_workload(replace(SHAPE, vocabulary=6, max_response_tokens=12))
    drawn = side.prepared(work, 8)(0)
    (eos,) = work.policy.eos_token_ids
    assert len(drawn) == 3 * 4
    for tokens in drawn:
        assert tokens.count(eos) == (tokens[-1] == eos)
        assert len(tokens) == 12 or tokens[-1] == eos
    assert len({len(tokens) for tokens in drawn}) > 1


def test_all_sides_write_as_many_tokens_when_nothing_ends():
    found = measure(llama_workload(replace(SHAPE, ends=False)), rounds=2, rows=8, other_rows=4)
    assert [one.side for one in found] == [side.name for side in SIDES]
    assert [one.tokens for one in found] == [[3 * 4 * 6] * 2] * len(SIDES)
    own = found[0]
    assert own.same_tokens_again and own.same_tokens_cut
    assert own.ours_over["runs"] == [1.0, 1.0]
    for one in found:
        assert one.tokens_per_second["runs"] == pytest.approx([72 / s for s in one.seconds])
        assert one.ours_over["runs"] == pytest.approx(
            [other / own for other, own in zip(one.seconds, own.seconds, strict=True)]
        )


def test_generate_takes_its_noise_from_the_seed_and_from_the_cut():
    work = llama_workload(replace(SHAPE, ends=False))
    draw = generate(work, 8)
    state = torch.get_rng_state()
    assert draw(1) == draw(1) != draw(2)
    assert generate(work, 4)(1) != draw(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_groups_of_generate_stand_in_the_order_of_their_prompts():
    work = builtin_workload(problems=5, group_size=2, max_response_tokens=10)
    together = generate(replace(work, group_size=1), 5)
    assert sorted(work.prompts, key=lambda one: len(one.token_ids)) != work.prompts
    # Only a model that is sure of itself writes the same from other noise.
    with torch.no_grad():
        work.policy.model.get_input_embeddings().weight.mul_(20)
    alone = [generate(replace(work, prompts=[one], group_size=1), 1)(0)[0] for one in work.prompts]
    assert together(0) == alone


def test_the_command_prints_and_writes_what_it_found(tmp_path, monkeypatch):
    tiny = {"tiny": lambda device: llama_workload(SHAPE, device=device)}
    monkeypatch.setattr(sampling, "WORKLOADS", tiny)
    file = tmp_path / "found.json"
    ran = CliRunner().invoke(
        sampling.main, ["--rounds", "1", "--json", "--out", str(file)], catch_exceptions=False
    )
    record = json.loads(file.read_text())
    assert record["benchmark"] == "sampling"
    assert json.loads(ran.stdout) == record
    ((name, sides),) = record["workloads"].items()
    assert "lengths that differ" in name
    assert [one["side"] for one in sides] == [side.name for side in SIDES]


def test_a_side_that_depends_on_the_cut_is_told():
    def prepared(work, rows):
        return lambda seed: [(rows, seed)]

    (found,) = measure(llama_workload(SHAPE), rounds=1, sides=[Side(name="cut", prepared=prepared)])
    assert found.same_tokens_again and not found.same_tokens_cut
