"""Arrays with the methods of torch tensors, and torch tensors if requested.

torch is imported only when a caller requests torch tensors. Without torch there is `Tensor`, a NumPy array
that supports the usual calls of a lesson (``.item()``, ``.cpu().numpy()``, ``.softmax(dim=-1)``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple, ParamSpec, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.errors import InputError
from munjang.validation import check_device

P = ParamSpec("P")
Real: TypeAlias = float  # in the class, `float` is a method


class TopK(NamedTuple):
    """The largest values along an axis, and their indices."""

    values: Tensor
    indices: Tensor


class Size(int):
    """The number of elements, as in NumPy; calling it returns the shape, as in torch."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        """Return the shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]


class Tensor(np.ndarray[Any, Any]):
    """A NumPy array that also has the methods of torch tensors that lessons use.

    NumPy's functions accept it, and ``np.asarray`` returns a plain view of it. Torch functions accept it too,
    as a tensor that shares its memory. If a name exists in both libraries, it has NumPy's meaning
    (``x.max(0)`` returns the values alone), and the keyword ``dim`` selects torch's.
    """

    @property
    def size(self) -> Size:
        """The number of elements; ``size()`` is the shape and ``size(0)`` the length of an axis."""
        size = Size(np.ndarray.size.__get__(self))
        size.shape = self.shape
        return size

    def __float__(self) -> Real:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def numpy(self) -> NDArray[Any]:
        """Return a plain array over the same memory."""
        return np.asarray(self)

    def detach(self) -> Tensor:
        """Return the array itself, which has no gradient."""
        return self

    def cpu(self) -> Tensor:
        """Return the array itself, which is in the CPU's memory."""
        return self

    def to(self, device: object = "cpu") -> Tensor:
        """Return the array itself; `InputError` for a device other than the CPU."""
        check_device(device)
        return self

    def clone(self) -> Tensor:
        """Return a copy."""
        return self.copy()

    def dim(self) -> int:
        """Return the number of axes."""
        return self.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return int(self.size)

    def float(self) -> Tensor:
        """Return the values in single precision."""
        return tensor(self.astype(np.float32, copy=False))

    def long(self) -> Tensor:
        """Return the values as integers of 64 bits."""
        return tensor(self.astype(np.int64, copy=False))

    def unsqueeze(self, dim: int) -> Tensor:
        """Return the array with an inserted axis of length 1."""
        return tensor(np.expand_dims(self, dim))

    def squeeze(self, axis: Any = None, *, dim: int | None = None) -> Tensor:
        """Return the array without axes of length 1; ``dim`` names one, which stays if it is longer."""
        if dim is not None:
            return self if self.shape[dim] != 1 else tensor(super().squeeze(dim))
        return tensor(super().squeeze(axis))

    def view(self, *shape: Any, **options: Any) -> Any:
        """Return the array in another shape if integers are given, otherwise NumPy's view."""
        if shape and all(isinstance(length, int | np.integer) for length in shape):
            return self.reshape(shape)
        return super().view(*shape, **options)

    def argmax(self, axis: Any = None, out: Any = None, *, dim: int | None = None, **options: Any) -> Any:
        """Return the index of the largest value, along ``axis`` or ``dim``."""
        return super().argmax(dim if axis is None else axis, out, **options)

    def argmin(self, axis: Any = None, out: Any = None, *, dim: int | None = None, **options: Any) -> Any:
        """Return the index of the smallest value, along ``axis`` or ``dim``."""
        return super().argmin(dim if axis is None else axis, out, **options)

    def nonzero(self, *, as_tuple: bool = True) -> Any:
        """Return the indices of nonzero values: an array per axis; without ``as_tuple`` a row per value."""
        if as_tuple:
            return tuple(map(tensor, super().nonzero()))
        return tensor(np.argwhere(np.asarray(self)))

    def sum(self, axis: Any = None, *arguments: Any, dim: Any = None, **options: Any) -> Any:
        """Return the sum, along ``axis`` or ``dim``."""
        return super().sum(dim if axis is None else axis, *arguments, **options)

    def mean(self, axis: Any = None, *arguments: Any, dim: Any = None, **options: Any) -> Any:
        """Return the mean, along ``axis`` or ``dim``."""
        return super().mean(dim if axis is None else axis, *arguments, **options)

    def max(self, axis: Any = None, *arguments: Any, dim: int | None = None, **options: Any) -> Any:
        """Return the largest value along ``axis``; along ``dim``, the values and their indices."""
        if dim is None:
            return super().max(axis, *arguments, **options)
        return TopK(super().max(dim), self.argmax(dim))

    def softmax(self, dim: int) -> Tensor:
        """Return probabilities that add up to 1 along an axis."""
        powers = np.exp(self - self.max(axis=dim, keepdims=True))
        return tensor(powers / powers.sum(axis=dim, keepdims=True))

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> TopK:
        """Return the k largest (or smallest) values along an axis, best first, and their indices.

        Raises `InputError` when there are fewer than k.
        """
        if not 0 <= k <= self.shape[dim]:
            raise InputError(f"topk needs a k of 0 to {self.shape[dim]}, got {k}.")
        plain = np.moveaxis(np.asarray(self), dim, -1)
        order = np.argsort(-plain if largest else plain, axis=-1, kind="stable")[..., :k]
        values = np.take_along_axis(plain, order, axis=-1)
        return TopK(tensor(np.moveaxis(values, -1, dim)), tensor(np.moveaxis(order, -1, dim)))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: object,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a torch function on tensors that share the memory of these arrays."""
        return function(*_with_torch(args), **_with_torch(dict(kwargs or {})))


def _with_torch(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch_tensor(value)
    if isinstance(value, dict):
        return {name: _with_torch(item) for name, item in value.items()}
    return type(value)(map(_with_torch, value)) if type(value) in (list, tuple) else value


def as_tensor(value: Any) -> Any:
    """Return a torch tensor unchanged, any other value as a `Tensor`."""
    return value if is_torch(value) else tensor(value)


def tensor(value: ArrayLike) -> Tensor:
    """Return a `Tensor` over the memory of an array."""
    return cast("Tensor", np.asarray(value).view(Tensor))


def installed_torch() -> Any | None:
    """Import torch and return it, or return None if it is not installed."""
    try:
        return import_module("torch")
    except ImportError:
        return None


def is_torch(value: object) -> bool:
    """Return whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def torch_tensor(array: NDArray[Any]) -> Any:
    """Return a torch tensor over the memory of an array; a `Tensor` if torch is not installed."""
    torch = installed_torch()
    if torch is None:
        return tensor(array)
    plain = np.ascontiguousarray(array)  # torch does not support negative strides
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy()).reshape(array.shape)


def tensors_for_tensors(function: Callable[P, NDArray[Any]]) -> Callable[P, Any]:
    """Wrap a function of arrays: it returns a torch tensor if an argument is one, or a list of them."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        result = function(*args, **kwargs)
        given = [*args, *kwargs.values()]
        firsts = (value[0] if isinstance(value, list | tuple) and value else value for value in given)
        return torch_tensor(result) if any(map(is_torch, firsts)) else result

    return wrapper


def scores_as_tensors(function: Callable[P, NDArray[Any]]) -> Callable[P, Any]:
    """Wrap a function of arrays as `tensors_for_tensors` does, with a `Tensor` for a plain array."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        return as_tensor(converted(*args, **kwargs))

    converted = tensors_for_tensors(function)
    return wrapper
