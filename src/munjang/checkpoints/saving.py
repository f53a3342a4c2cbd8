"""Writing of models: safetensors files block by block, which needs little memory, and whole folders."""

from __future__ import annotations

import json
import math
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from munjang.checkpoints.files import replacing
from munjang.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The header entry of one tensor."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Return the size of the tensor's data in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def save_weights(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write tensors to a safetensors file atomically; ``transformers`` can load it too.

    Raises ``CheckpointError`` when a dtype has no safetensors name or the file can't be written.
    """
    # Wide dtypes come first, which keeps every tensor aligned, so that it can be read as a view.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    specs = [TensorSpec(name, tensors[name].dtype, tensors[name].shape) for name in names]
    try:
        write_tensors(path, specs, (tensors[name] for name in names))
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"Can't write '{path}': {reason}. Choose another folder or make room there."
        raise CheckpointError(message) from error


def write_tensors(path: Path, specs: Sequence[TensorSpec], blocks: Iterable[NDArray[Any]]) -> None:
    """Write the tensors of ``specs``, whose data is in ``blocks`` in the same order.

    A tensor may have several blocks. Raises ``OSError`` when the file can't be written, ``ValueError``
    when the blocks do not fill the specs exactly.
    """
    written = 0
    with replacing(path) as file:
        file.write(_header(specs))
        for block in blocks:
            little = np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<"))
            written += file.write(little.data)
        if written != sum(spec.size_bytes for spec in specs):
            raise ValueError(f"{written} bytes of numbers do not fill the tensors announced for '{path}'")


def _header(specs: Sequence[TensorSpec]) -> bytes:
    # Without this metadata entry transformers refuses the file.
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for spec in specs:
        stop = start + spec.size_bytes
        entries[spec.name] = {"dtype": _name(spec), "shape": list(spec.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _name(spec: TensorSpec) -> str:
    try:
        return _NAMES[spec.dtype.name]
    except KeyError:
        raise CheckpointError(
            f"Tensor '{spec.name}' of type {spec.dtype} can't be saved as safetensors."
        ) from None


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; its files are renamed into ``folder`` if the block raises nothing.

    Until then nothing in ``folder`` changes. A memory-mapped file remains valid for its readers, so a model
    can be saved over the files that it was read from. Raises `CheckpointError` if the disk is full, a
    permission is missing, or the name is invalid.
    """
    if "\0" in str(folder):
        raise CheckpointError(f"Can't save to {str(folder)!r}: it has a NUL character. Choose another one.")
    is_new = not os.path.lexists(folder)  # Path.exists raises for some names
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder, so that both are on one file system.
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as temporary:
            yield Path(temporary)
            _move(Path(temporary), folder)
    except BaseException as error:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise CheckpointError(
                f"Can't save to '{folder}': {reason}. Choose another folder or make room."
            ) from error
        raise


def _move(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*"), key=_model_list_last):
        if path.is_file():
            moved = target / path.relative_to(source)
            moved.parent.mkdir(parents=True, exist_ok=True)
            path.replace(moved)


def _model_list_last(path: Path) -> tuple[bool, Path]:
    """Sort ``modules.json`` last: its presence shows that the model is complete."""
    return path.name == "modules.json", path
