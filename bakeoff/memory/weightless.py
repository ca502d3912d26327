"""Running a model's code for its bytes: weights without values, tokens with theirs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten


class _Fake(FakeTensorMode):  # type: ignore[no-untyped-call]
    """A mode that copies of its tensors share.

    A fake buffer holds its mode, so a copied model would copy that with the weak references in
    it, and both would release them: the heap would break.
    """

    def __deepcopy__(self, memo: object) -> _Fake:
        return self

    def may_turn_const(self, t: Tensor) -> bool:
        """Never: a tensor that remembers its value cannot be copied while a model is."""
        return False


class Weightless(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Real token ids, masks and lengths beside models that allocate nothing.

    Whatever is computed from a fake tensor (FakeTensorMode: shape, type and device only) is fake,
    and so is every new tensor of floats; all else is computed. So code that cuts batches by lengths
    runs as it is, and what it asks of a model's output has an answer that changes nothing: a number
    is 1, a condition does not hold. A real tensor that a model's output would change stays.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake = _Fake(allow_non_fake_inputs=True)
        self._makes_floats = False

    @contextmanager
    def building(self) -> Iterator[None]:
        """Tensors made inside are fake: for models and their optimizers."""
        with self._fake, _modules_stay(), warnings.catch_warnings():
            # `deepcopy` asks a tensor for its address, which a fake one has not.
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
            yield

    @contextmanager
    def computing(self) -> Iterator[None]:
        """New tensors of floats are real inside: for what no model's output enters."""
        self._makes_floats = True
        try:
            yield
        finally:
            self._makes_floats = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is _aten._local_scalar_dense.default:
            return _number(*args)
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not leaves:
            return self._made(func, args, kwargs)
        if not any(isinstance(leaf, FakeTensor) for leaf in leaves):
            return func(*args, **kwargs)
        answer = _ANSWERS.get(func)
        if answer is not None:
            return answer(self._fake, *args, **kwargs)
        if _changes_a_real_tensor(func, args):
            # A value that nobody knows cannot enter a tensor that has values.
            return args[0]
        with self._fake:
            return func(*args, **kwargs)

    def _made(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A new tensor: fake if it holds floats, for caches and sums over outputs begin as such."""
        if self._makes_floats:
            return func(*args, **kwargs)
        with self._fake:
            made = func(*args, **kwargs)
        if isinstance(made, Tensor) and made.is_floating_point():
            return made
        return func(*args, **kwargs)


@contextmanager
def _modules_stay() -> Iterator[None]:
    """A module's `to` returns it as it is: a fake parameter cannot be exchanged for another."""
    move = nn.Module.to
    nn.Module.to = lambda self, *_, **__: self  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.to = move  # type: ignore[method-assign]


def _changes_a_real_tensor(func: Any, args: tuple[Any, ...]) -> bool:
    return (
        func._schema.is_mutable
        and isinstance(args[0], Tensor)
        and not isinstance(args[0], FakeTensor)
    )


def _number(value: Tensor) -> float | int | bool:
    if value.is_floating_point():
        # Also of a real tensor: sums over a model's outputs are made in place in real zeros.
        return 1.0
    if not isinstance(value, FakeTensor):
        number: int | bool = _aten._local_scalar_dense.default(value)
        return number
    return False if value.dtype == torch.bool else 1


def _places(fake: FakeTensorMode, condition: Tensor) -> Tensor:
    if isinstance(condition, FakeTensor):
        with fake:
            return torch.empty(0, condition.dim(), dtype=torch.int64)
    return condition.nonzero()


def _as_places(fake: FakeTensorMode, indices: Iterable[Tensor | None]) -> list[Tensor | None]:
    """The same indices with conditions turned into places."""
    found: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            found += list(_places(fake, index).unbind(dim=1))
        else:
            found.append(index)
    return found


def _index(fake: FakeTensorMode, values: Tensor, indices: list[Tensor | None]) -> Tensor:
    places = _as_places(fake, indices)
    with fake:
        taken: Tensor = _aten.index.Tensor(values, places)
        return taken


def _index_put(
    fake: FakeTensorMode, values: Tensor, indices: list[Tensor | None], *rest: Any, **options: Any
) -> Tensor:
    with fake:
        changed: Tensor = _aten.clone(values)
        return changed


def _index_put_(fake: FakeTensorMode, values: Tensor, *_: Any, **__: Any) -> Tensor:
    return values


def _masked_select(fake: FakeTensorMode, values: Tensor, mask: Tensor) -> Tensor:
    count = 0 if isinstance(mask, FakeTensor) else int(mask.expand(values.shape).sum())
    with fake:
        return values.new_empty(count)


_ANSWERS: Mapping[Any, Callable[..., Any]] = {
    _aten.nonzero.default: _places,
    _aten.index.Tensor: _index,
    _aten.index_put.default: _index_put,
    _aten.index_put_.default: _index_put_,
    _aten._index_put_impl_.default: _index_put_,
    _aten.masked_select.default: _masked_select,
}
