"""Read-only views of a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from munjang.errors import CheckpointError

S = TypeVar("S")
T = TypeVar("T")

# Checkpoints converted from TensorFlow (for example bert-base-uncased) still have these names.
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


@dataclass(frozen=True, slots=True)
class Params(Generic[T]):
    """Tensors of a checkpoint, addressed by their published names.

    ``p / "attention.self"`` narrows the view; ``p["query.weight"]`` reads one tensor. A tensor's type
    depends on the executor: a NumPy array, a torch parameter, a constant of a graph.

    Raises `CheckpointError`, naming the tensor, if a tensor is missing.
    """

    tensors: Mapping[str, T]
    prefix: str = ""

    def __truediv__(self, name: str | int) -> Params[T]:
        return Params(self.tensors, f"{self.prefix}{name}.")

    def __getitem__(self, name: str) -> T:
        full_name = self._find(name)
        if full_name is None:
            raise CheckpointError(f"The checkpoint has no tensor '{self.prefix}{name}'.")
        return self.tensors[full_name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def get(self, name: str) -> T | None:
        """Return a tensor that may be absent, such as a bias."""
        full_name = self._find(name)
        return None if full_name is None else self.tensors[full_name]

    def has_prefix(self) -> bool:
        """Return whether any tensor has this prefix."""
        return any(name.startswith(self.prefix) for name in self.tensors)

    def _find(self, name: str) -> str | None:
        full = self.prefix + name
        if full in self.tensors:
            return full
        for new, old in _OLD_NAMES.items():
            if full.endswith(new) and (renamed := full.removesuffix(new) + old) in self.tensors:
                return renamed
        return None


class MadeOnce(Mapping[str, T], Generic[S, T]):
    """Tensors as the executor's array type: created at the first access and cached in ``made``."""

    def __init__(self, tensors: Mapping[str, S], make: Callable[[str, S], T]) -> None:
        self._tensors = tensors
        self._make = make
        self.made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self.made:
            self.made[name] = self._make(name, self._tensors[name])
        return self.made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
