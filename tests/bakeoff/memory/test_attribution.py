"""Every byte is counted once, at the highest moment, and belongs to what it is for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from bakeoff.logprobs import selected_logprobs
from bakeoff.memory.attribution import AllocationTracker, claim, component
from bakeoff.memory.components import Component
from bakeoff.memory.owners import gradient_tensors, optimizer_tensors, weight_tensors

KIB = 1024


def floats(kibibytes: int) -> Tensor:
    return torch.empty(kibibytes * KIB // 4)


@contextmanager
def tracking(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[AllocationTracker]:
    tracker = AllocationTracker()
    tracker.own(Component.POLICY_WEIGHTS, weight_tensors(model))
    tracker.own(Component.POLICY_GRADIENTS, gradient_tensors(model))
    tracker.own(Component.POLICY_OPTIMIZER, optimizer_tensors([optimizer], model))
    with tracker:
        yield tracker


def small_llama() -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], None]]:
    """A model, its optimizer, and a step of both that zeroes the last step's gradients."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=160,
            vocab_size=1000,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    tokens = torch.randint(0, 1000, (8, 48))
    # Given and not left to transformers, which makes a mask where it cannot see that none is
    # needed: in fake tensors it sees no values.
    mask = torch.ones(48, 48, dtype=torch.bool).tril().expand(8, 1, 48, 48)

    def step() -> None:
        optimizer.zero_grad()
        model(input_ids=tokens, attention_mask=mask, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()

    return model, optimizer, step


def test_the_peak_is_the_sum_of_what_lives_together() -> None:
    with AllocationTracker() as tracker:
        first = floats(4)
        second = floats(2)
        del first
        third = floats(3)
        assert tracker.peak_bytes == 6 * KIB  # first and second; 2 + 3 comes later
        del second, third
        assert tracker.peak() == {Component.OTHER: 6 * KIB}


def test_a_span_begins_with_what_is_live() -> None:
    with AllocationTracker() as tracker:
        kept, gone = floats(4), floats(8)
        del gone
        tracker.mark()
        assert tracker.peak_bytes == 4 * KIB
        more = floats(1)
        assert tracker.peak() == {Component.OTHER: 5 * KIB}
    del kept, more


def test_views_and_changes_in_place_are_counted_once() -> None:
    with AllocationTracker() as tracker:
        whole = floats(4)
        rows = whole.view(32, 32)[3:7].transpose(0, 1)
        whole.add_(1.0)
        rows.mul_(2.0)
        same = whole.detach().flatten()
    assert tracker.peak_bytes == 4 * KIB
    del same


def test_a_storage_that_grows_counts_with_its_size() -> None:
    with AllocationTracker() as tracker, component(Component.KV_CACHE):
        grows = floats(1)
        grows.resize_(4 * KIB)
        assert tracker.peak() == {Component.KV_CACHE: 16 * KIB}
        del grows
        again = floats(16)
    assert tracker.peak_bytes == 16 * KIB
    del again


def test_bytes_belong_to_what_is_declared_and_claims_come_late() -> None:
    with AllocationTracker() as tracker:
        with component(Component.LOGITS):
            logits = floats(2)
            with component(Component.KV_CACHE):
                cache = floats(3)
        late = floats(5)
        claim(Component.KV_CACHE, [late])
        peak = tracker.peak()
    assert peak == {Component.KV_CACHE: 8 * KIB, Component.LOGITS: 2 * KIB}
    del logits, cache, late


def test_without_a_tracker_nothing_is_read() -> None:
    def unread() -> Iterator[Tensor]:
        raise AssertionError("read")
        yield

    claim(Component.KV_CACHE, unread())
    with component(Component.LOGITS):
        assert torch.ones(2).sum() == 2


def test_an_owned_tensor_is_freed_as_any_other() -> None:
    weight = floats(4)
    tracker = AllocationTracker()
    tracker.own(Component.REFERENCE, [weight, weight.view(-1), weight[:3]])
    with tracker:
        del weight
        tracker.mark()
        assert tracker.peak_bytes == 0


def test_what_a_module_makes_is_an_activation_and_what_is_made_outside_is_not() -> None:
    layer = nn.Linear(16, 256, bias=False)
    tracker = AllocationTracker()
    tracker.own(Component.POLICY_WEIGHTS, layer.parameters())
    with tracker, torch.no_grad():
        outside = torch.zeros(8, 16)
        inside = layer(outside)
        peak = tracker.peak()
    assert peak == {
        Component.POLICY_WEIGHTS: 4 * 16 * 256,
        Component.ACTIVATIONS: 4 * 8 * 256,
        Component.OTHER: 4 * 8 * 16,
    }
    del inside


def test_a_forward_pass_that_fails_leaves_no_module_open() -> None:
    with AllocationTracker() as tracker:
        with pytest.raises(RuntimeError):
            nn.Linear(4, 4)(torch.ones(3))
        tracker.mark()
        outside = floats(1)
        found = tracker.peak()
    assert found[Component.OTHER] >= KIB
    assert Component.ACTIVATIONS not in found
    del outside


def test_gradients_and_states_are_known_after_several_steps_in_one_span() -> None:
    layer = nn.Linear(64, 64, bias=False)
    optimizer = torch.optim.AdamW(layer.parameters())
    size = 4 * 64 * 64
    with tracking(layer, optimizer) as tracker:
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(2, 64)).sum().backward()
            optimizer.step()
        tracker.mark()
        peak = tracker.peak()
    assert peak[Component.POLICY_GRADIENTS] == size
    assert peak[Component.POLICY_OPTIMIZER] == 2 * size + 4  # and a float32 step count
    assert peak[Component.POLICY_WEIGHTS] == size


def test_a_critics_tensors_are_told_from_the_policys_in_one_optimizer() -> None:
    trunk, head = nn.Linear(32, 32, bias=False), nn.Linear(32, 1, bias=False)
    optimizer = torch.optim.AdamW([*trunk.parameters(), *head.parameters()])
    tracker = AllocationTracker()
    tracker.own(Component.POLICY_WEIGHTS, trunk.parameters())
    tracker.own(Component.CRITIC_WEIGHTS, head.parameters())
    with tracker:
        head(trunk(torch.ones(2, 32))).sum().backward()
        optimizer.step()
        tracker.mark()
    peak = tracker.peak()
    assert peak[Component.POLICY_GRADIENTS] == 4 * 32 * 32
    assert peak[Component.CRITIC_GRADIENTS] == 4 * 32
    assert peak[Component.CRITIC_OPTIMIZER] == 2 * 4 * 32 + 4


def test_logits_made_again_in_the_backward_pass_are_logits() -> None:
    hidden = torch.randn(64, 8, requires_grad=True)
    weight = torch.randn(500, 8, requires_grad=True)
    with AllocationTracker() as tracker:
        logprobs, _ = selected_logprobs(
            hidden, weight, None, torch.zeros(64, dtype=torch.int64), temperature=1.0
        )
        tracker.mark()
        logprobs.sum().backward()
    assert tracker.peak()[Component.LOGITS] >= 4 * 64 * 500
    assert tracker.peak().get(Component.ACTIVATIONS, 0) < 4 * 64 * 500 / 10


def test_the_timeline_adds_up_to_the_peak() -> None:
    model, _, step = small_llama()
    tracker = AllocationTracker(keep_events=True)
    tracker.own(Component.POLICY_WEIGHTS, weight_tensors(model))
    with tracker:
        step()
    total, highest = 0, 0
    for _, _, change in tracker.timeline():
        total += change
        highest = max(highest, total)
    assert highest == tracker.peak_bytes == sum(tracker.peak().values())
    with pytest.raises(ValueError, match="keep_events"):
        AllocationTracker().timeline()


def test_the_peak_is_that_of_torchs_own_tracker() -> None:
    model, optimizer, step = small_llama()
    step()
    with tracking(model, optimizer) as tracker:
        step()
    model, optimizer, step = small_llama()
    step()
    twin = MemTracker()
    twin.track_external(model, optimizer)
    with twin:
        step()
    (found,) = twin.get_tracker_snapshot("peak").values()
    assert tracker.peak_bytes == pytest.approx(found["Total"], rel=0.03)
    assert tracker.peak()[Component.POLICY_OPTIMIZER] == sum(
        count for kind, count in found.items() if getattr(kind, "name", "") == "OPT"
    )


def test_the_peak_is_the_allocators() -> None:
    model, optimizer, step = small_llama()
    step()
    with tracking(model, optimizer) as tracker:
        before = tracker.peak_bytes - sum(t.nbytes for t in gradient_tensors(model))
        step()
    # The profiler sees no memory that was there before it, and not that it is freed: the weights
    # and states stay, the gradients are freed first.
    assert tracker.peak_bytes == pytest.approx(before + allocator_peak(step), rel=0.03)


def test_faked_tensors_have_the_bytes_of_real_ones() -> None:
    def peak() -> AllocationTracker:
        model, optimizer, step = small_llama()
        step()
        with tracking(model, optimizer) as tracker:
            step()
        return tracker

    real = peak()
    with FakeTensorMode():
        fake = peak()
    assert fake.peak() == real.peak()


def allocator_peak(run: Callable[[], None]) -> int:
    """The most bytes that the CPU allocator had given out during a call."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = profiled.profiler.kineto_results.events()
    total, highest = 0, 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        total += event.nbytes()
        highest = max(highest, total)
    return highest


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_backward_pass_on_a_device_thread_is_seen() -> None:
    layer = nn.Linear(512, 512, bias=False, device="cuda")
    with AllocationTracker(device_type="cuda") as tracker:
        loss = layer(torch.ones(64, 512, device="cuda")).sum()
        tracker.mark()
        before = tracker.peak_bytes
        loss.backward()
    assert tracker.peak_bytes >= before + 4 * 512 * 512
    assert tracker.peak()[Component.ACTIVATIONS] >= 4 * 512 * 512
