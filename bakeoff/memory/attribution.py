"""Which component every allocated byte belongs to, at the moment when most are allocated."""

from __future__ import annotations

import time
import weakref
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.memory.components import Component

# The CUDA allocator hands out whole blocks of this many bytes.
_CUDA_BLOCK = 512

_GRADIENTS = {
    Component.POLICY_WEIGHTS: Component.POLICY_GRADIENTS,
    Component.CRITIC_WEIGHTS: Component.CRITIC_GRADIENTS,
}
_STATES = {
    Component.POLICY_WEIGHTS: Component.POLICY_OPTIMIZER,
    Component.CRITIC_WEIGHTS: Component.CRITIC_OPTIMIZER,
}

# Of the process and not of a thread: on CUDA a backward pass runs on a thread of its own.
_active: AllocationTracker | None = None


@contextmanager
def component(which: Component) -> Iterator[None]:
    """Storages allocated inside belong to `which`, whatever module or pass allocates them."""
    tracker = _active
    if tracker is None:
        yield
        return
    tracker._declared.append(which)
    try:
        yield
    finally:
        tracker._declared.pop()


def claim(which: Component, tensors: Iterable[Tensor]) -> None:
    """Gives storages that exist to `which`; `tensors` is not read while nothing is tracked."""
    if _active is not None:
        _active.own(which, tensors)


class _Storage:
    """One storage, from its allocation to its end."""

    __slots__ = ("component", "nbytes", "number", "reference")

    def __init__(self, nbytes: int, which: Component, number: int) -> None:
        self.nbytes = nbytes
        self.component = which
        self.number = number
        self.reference: Any = None  # keeps the callback at the storage's end alive


class _Events:
    """Every allocation and every end, in few bytes: they are in the process that is measured."""

    def __init__(self) -> None:
        self._seconds = array("d")
        self._numbers = array("q")
        self._changes = array("q")
        self._labels: dict[int, Component] = {}  # of storages that have ended

    def begin(self, storage: _Storage) -> None:
        self._append(storage.number, storage.nbytes)

    def end(self, storage: _Storage) -> None:
        self._append(storage.number, -storage.nbytes)
        self._labels[storage.number] = storage.component

    def labelled(self, live: Iterable[_Storage]) -> list[tuple[float, Component, int]]:
        labels = self._labels | {storage.number: storage.component for storage in live}
        return [
            (seconds, labels[number], change)
            for seconds, number, change in zip(
                self._seconds, self._numbers, self._changes, strict=True
            )
        ]

    def _append(self, number: int, change: int) -> None:
        self._seconds.append(time.perf_counter())
        self._numbers.append(number)
        self._changes.append(change)


class AllocationTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that are live, by component, while it is entered.

    A storage counts once, whatever views it has, from the first operation that returns it (or
    from `own`) until it is freed. It belongs to what `own`, `claim` or `component` said last.
    Left to itself it is an activation if a module's forward or a backward pass made it, a
    gradient or an optimizer state if an optimizer steps with it, and `other` otherwise.

    What an operation allocates and frees within itself is not seen. Under FakeTensorMode, which
    must be entered first, the bytes are those that real tensors would have had.

    Args:
        device_type: "cuda" or "cpu", of the storages that count; None counts all but meta.
        keep_events: remember every allocation, for `timeline`.
    """

    def __init__(self, *, device_type: str | None = None, keep_events: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device_type = device_type
        self._live: dict[int, _Storage] = {}
        self._gone: list[_Storage] = []  # freed since the highest moment, live in it
        self._numbers = 0
        self._bytes = 0
        self._peak_bytes = 0
        self._peak_number = 0  # of the last storage allocated at the highest moment
        self._declared: list[Component] = []
        self._forward_depth = 0
        self._events = _Events() if keep_events else None
        self._outside: AllocationTracker | None = None
        self._hooks = ExitStack()

    def __enter__(self) -> AllocationTracker:
        global _active
        self._outside, _active = _active, self
        for handle in (
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
            register_optimizer_step_pre_hook(self._own_gradients),
            register_optimizer_step_post_hook(self._own_states),
        ):
            self._hooks.callback(handle.remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        global _active
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        self._hooks.close()
        _active, self._outside = self._outside, None

    def own(self, which: Component, tensors: Iterable[Tensor]) -> None:
        """Gives storages to `which`; those that were not counted are from now on."""
        for tensor in tensors:
            storage = self._note(tensor, which)
            if storage is not None:
                storage.component = which

    def mark(self) -> None:
        """Begins a span: the highest moment so far is now."""
        self._peak_bytes = self._bytes
        self._peak_number = self._numbers
        self._gone.clear()

    def peak(self) -> Mapping[Component, int]:
        """Bytes live at the highest moment of the span, by component; absent ones have none."""
        found: Counter[Component] = Counter()
        for storage in self._live.values():
            if storage.number <= self._peak_number:
                found[storage.component] += storage.nbytes
        for storage in self._gone:
            found[storage.component] += storage.nbytes
        return {which: found[which] for which in Component if found[which]}

    @property
    def peak_bytes(self) -> int:
        """Bytes live at the highest moment of the span: the sum of `peak`."""
        return self._peak_bytes

    def timeline(self) -> Sequence[tuple[float, Component, int]]:
        """Every change in order: `time.perf_counter` seconds, component, bytes gained or lost.

        Components are those known now, so call it at the end.
        """
        if self._events is None:
            raise ValueError("no timeline was kept: pass keep_events=True")
        return self._events.labelled(self._live.values())

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._note_all(result)
        return result

    def _note_all(self, result: object) -> None:
        if isinstance(result, Tensor):
            self._note(result, None)
        elif isinstance(result, tuple | list):
            for part in result:
                self._note_all(part)

    def _note(self, tensor: Tensor, which: Component | None) -> _Storage | None:
        """The storage of a tensor, counted with the size it has now; None if it never counts."""
        device_type = tensor.device.type
        if tensor.layout is not torch.strided or device_type == "meta":
            return None
        if self._device_type is not None and device_type != self._device_type:
            return None
        untyped = tensor.untyped_storage()
        nbytes = untyped.nbytes()
        if device_type == "cuda":
            nbytes = -(-nbytes // _CUDA_BLOCK) * _CUDA_BLOCK
        key = untyped._cdata
        known = self._live.get(key)
        if known is not None:
            return known if known.nbytes == nbytes else self._resize(known, key, nbytes)
        storage = self._count(key, nbytes, which or self._label())
        storage.reference = weakref.ref(untyped, partial(self._freed, key))
        return storage

    def _label(self) -> Component:
        if self._declared:
            return self._declared[-1]
        if self._forward_depth or torch._C._current_graph_task_id() != -1:
            return Component.ACTIVATIONS
        return Component.OTHER

    def _count(self, key: int, nbytes: int, which: Component) -> _Storage:
        self._numbers += 1
        storage = self._live[key] = _Storage(nbytes, which, self._numbers)
        self._bytes += nbytes
        if self._bytes > self._peak_bytes:
            self._peak_bytes = self._bytes
            self._peak_number = self._numbers
            self._gone.clear()
        if self._events is not None:
            self._events.begin(storage)
        return storage

    def _freed(self, key: int, _: object = None) -> None:
        storage = self._live.pop(key)
        self._bytes -= storage.nbytes
        if storage.number <= self._peak_number:
            self._gone.append(storage)
        if self._events is not None:
            self._events.end(storage)

    def _resize(self, known: _Storage, key: int, nbytes: int) -> _Storage:
        self._freed(key)
        grown = self._count(key, nbytes, known.component)
        grown.reference = known.reference
        return grown

    def _enter_module(self, *_: object) -> None:
        self._forward_depth += 1

    def _leave_module(self, *_: object) -> None:
        self._forward_depth -= 1

    def _own_gradients(self, optimizer: Optimizer, *_: object) -> None:
        # At every step and not at the end of a span: the next step frees them.
        for parameter, which in self._parameters(optimizer, _GRADIENTS):
            if parameter.grad is not None:
                self.own(which, [parameter.grad])

    def _own_states(self, optimizer: Optimizer, *_: object) -> None:
        for parameter, which in self._parameters(optimizer, _STATES):
            state = optimizer.state.get(parameter, {})
            self.own(which, [value for value in state.values() if isinstance(value, Tensor)])

    def _parameters(
        self, optimizer: Optimizer, made_for: Mapping[Component, Component]
    ) -> Iterator[tuple[Tensor, Component]]:
        """An optimizer's parameters that are owned weights, and the component that they make."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                storage = self._live.get(parameter.untyped_storage()._cdata)
                if storage is not None and storage.component in made_for:
                    yield parameter, made_for[storage.component]
