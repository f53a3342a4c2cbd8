"""Weights in a PyTorch pickle, for checkpoints that were never published as safetensors."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from munjang.checkpoints.files import open_regular
from munjang.checkpoints.weights import Weights, read_weight_map
from munjang.errors import CheckpointError, MissingExtraError, UnsafeCheckpointError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import torch
    from numpy.typing import NDArray


def open_pickle(path: Path) -> Weights:
    """Open ``pytorch_model.bin``, or the files (shards) of a ``pytorch_model.bin.index.json``.

    PyTorch reads them with ``weights_only=True``, which builds tensors and runs no code of the file. Raises
    ``MissingExtraError`` without PyTorch, ``UnsafeCheckpointError`` for a file that would run code, and
    ``CheckpointError`` for a file that is broken or contains anything but tensors by name.
    """
    files = {path}
    if path.suffix == ".json":
        files = {path.parent / name for name in read_weight_map(path).values()}
    return Weights({name: tensor for file in sorted(files) for name, tensor in _load(file).items()})


@dataclass(frozen=True, slots=True)
class _TorchTensor:
    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def read(self) -> NDArray[Any]:
        tensor = self.tensor.detach()
        array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        return array


def _load(file: Path) -> dict[str, _TorchTensor]:
    torch = _torch()
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=_is_zip(file))
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpointError(
            f"'{file}' is not a plain pickle of tensors and is refused: loading it could run code."
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # invalid pickle bytes can raise any exception
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"'{file}' can't be read as a PyTorch checkpoint ({reason}).") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and torch.is_tensor(value) and value.layout == torch.strided
        for name, value in state.items()
    ):
        raise CheckpointError(f"'{file}' is not a mapping of names to tensors; only such files can be read.")
    return {name: _TorchTensor(tensor) for name, tensor in state.items()}


def _is_zip(file: Path) -> bool:
    """Return whether a file has PyTorch's zip layout, which can be memory-mapped (since version 1.6)."""
    with open_regular(file) as stream:
        return stream.read(4) == b"PK\x03\x04"


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError.of(
            "Reading a .bin file needs PyTorch, which is not installed (a safetensors copy needs nothing)",
            "train",
        ) from error
    return torch
