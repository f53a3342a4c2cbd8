"""Tensors by their published names, read from a checkpoint's weight files on access (lazily).

The safetensors layout: eight bytes with the length of a JSON header, the header with every tensor's dtype,
shape and offsets, then the raw little-endian data (the safetensors README, section "Format").
"""

from __future__ import annotations

import json
import mmap
import os
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from munjang.checkpoints.catalogue import shortened
from munjang.checkpoints.files import open_regular, read_json
from munjang.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

# bfloat16 has no NumPy type: its bits are read as uint16 and widened.
_DTYPES: dict[str, str] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


class StoredTensor(Protocol):
    """A tensor in a file: its shape is known, its data is read on access."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape."""

    def read(self) -> NDArray[Any]:
        """Read the data."""


class Weights(Mapping[str, "NDArray[Any]"]):
    """Tensors by name: floating point is converted to float32, integers are unchanged; all are read-only.

    Access to an unknown name raises ``KeyError``, as in any mapping.
    """

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read one tensor; float32 from safetensors is a view on the memory-mapped file."""
        view = self._tensors[name].read().view()
        view.flags.writeable = False
        return view

    def __iter__(self) -> Iterator[str]:
        """Yield the names in the order of the file."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        """Return whether a tensor exists, without reading it."""
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading its data; ``KeyError`` if it does not exist."""
        return self._tensors[name].shape

    def stored(self, name: str) -> StoredTensor:
        """Return a tensor in the file without reading it; ``KeyError`` if it does not exist."""
        return self._tensors[name]

    def release_pages(self) -> None:
        """Release the memory pages of mapped files, where the system can; a later access reads them again."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        mapped = [tensor.file for tensor in self._tensors.values() if isinstance(tensor, _MappedTensor)]
        for file in {id(file): file for file in mapped}.values():
            file.madvise(mmap.MADV_DONTNEED)


def release_pages(weights: Mapping[str, Any]) -> None:
    """Release the memory pages of mapped files of weights, also inside a ``ChainMap``."""
    for part in weights.maps if isinstance(weights, ChainMap) else (weights,):
        if isinstance(part, Weights):
            part.release_pages()


def open_safetensors(path: Path) -> Weights:
    """Open one safetensors file, memory-mapped.

    Raises ``CheckpointError`` if the file is missing, truncated, not safetensors, or has an unknown dtype.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with open_regular(path) as stream:
            # The library checks the header strictly: overlaps, gaps, sizes that do not match the file.
            with safe_open(str(path), framework="numpy"):
                pass
            # Copy on write, because OpenVINO shares only writable memory; no code writes to it.
            file = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError) as error:  # ValueError: a name that is not UTF-8
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"'{path}' can't be read as safetensors ({reason}). Get the file again."
        ) from error
    return Weights(_mapped_tensors(path, file))


def open_shards(index: Path) -> Weights:
    """Open the safetensors files (shards) of a ``model.safetensors.index.json`` as one mapping.

    Raises ``CheckpointError`` if a file or a tensor of the index does not exist.
    """
    weight_map = read_weight_map(index)
    shards = {file: open_safetensors(index.parent / file) for file in sorted(set(weight_map.values()))}
    for tensor, file in weight_map.items():
        if tensor not in shards[file]:
            raise CheckpointError(
                f"'{index.parent / file}' lacks tensor '{tensor}', named by '{index.name}'."
            )
    return Weights({tensor: shards[file].stored(tensor) for tensor, file in weight_map.items()})


def read_weight_map(index: Path) -> dict[str, str]:
    """Return the file of each tensor from a shard index, and check that the files exist."""
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise CheckpointError(f"'{index}' is not a shard index: it has no 'weight_map' of tensor to file.")
    for file in sorted(set(weight_map.values())):
        # A shard must be in the same folder as its index; another path could be outside the checkpoint.
        if "/" in file or "\\" in file or not os.path.isfile(index.parent / file):  # noqa: PTH113  (never raises)
            raise CheckpointError(
                f"'{index}' names the file '{shortened(file)}', which is not in its folder."
            )
    return weight_map


@dataclass(frozen=True, slots=True)
class _MappedTensor:
    """One tensor's bytes in a memory-mapped file."""

    file: mmap.mmap
    data: NDArray[np.uint8]
    dtype: str
    shape: tuple[int, ...]

    def read(self) -> NDArray[Any]:
        values = _aligned(self.data, _DTYPES[self.dtype]).view(_DTYPES[self.dtype])
        return _widen(values, self.dtype).reshape(self.shape)


def _mapped_tensors(path: Path, file: mmap.mmap) -> dict[str, _MappedTensor]:
    data = np.frombuffer(file, dtype=np.uint8)
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise CheckpointError(
                f"'{path}' holds '{name}' as {entry['dtype']}, a type that can't be read here."
            )
        first, last = entry["data_offsets"]
        tensors[name] = _MappedTensor(
            file, data[start + first : start + last], entry["dtype"], tuple(entry["shape"])
        )
    return tensors


def _aligned(raw: NDArray[np.uint8], dtype: str) -> NDArray[np.uint8]:
    """Return the bytes, copied if their address is not aligned for their dtype."""
    return raw if raw.ctypes.data % np.dtype(dtype).alignment == 0 else raw.copy()


def _widen(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32) if dtype in ("F16", "F64") else values
