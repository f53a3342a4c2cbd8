"""Checkpoints of bulk encoding, from which a killed run can be resumed.

During the run there are two files beside the output ``OUT``: ``OUT.part``, a growing ``.npy`` file, and
``OUT.part.json`` with the number of durable rows and a description of the input. Rows are flushed to disk
before they are counted, and the count is replaced atomically. So the count is valid after a crash of the
process or the machine at any time; rows beyond the count are truncated and encoded again.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints.files import flush
from munjang.data.files import DataFile, opened
from munjang.errors import DataFileError, InputError, MunjangError
from munjang.sentence.similarity import same_probe


@contextmanager
def spooled(source: DataFile, output: Path) -> Iterator[DataFile]:
    """Copy an input that can be read only once to a file beside the output."""
    copy = beside(output, source.kind or ".txt")
    try:
        with opened(source.path) as file, copy.open("wb") as target:
            shutil.copyfileobj(file, target)
        yield replace(source, path=str(copy), called=source.name)
    finally:
        copy.unlink(missing_ok=True)


@contextmanager
def exclusive_lock(output: Path) -> Iterator[None]:
    """Lock the output, so that two processes can't write the same file at the same time."""
    from filelock import FileLock, Timeout

    path = beside(output, ".lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"Another process is writing '{output}'.") from None
    try:
        yield
    finally:
        with suppress(OSError):  # some systems do not delete an open file; then it stays
            path.unlink()
        lock.release()


@contextmanager
def translated_errors(output: Path) -> Iterator[None]:
    """Convert the system's errors to a one-line error about the output."""
    try:
        yield
    except MunjangError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataFileError(
            f"Can't write '{output}': {reason}. Fix that, then the same command resumes."
        ) from error


_VERSION = 1
_BLOCK_ROWS = 4096
_WHAT = {
    "input": "another content of the input file",
    "prompt": "the prompt {old!r}, now {new!r}",
    "pooling": "pooling {old}, now {new}",
    "max_seq_length": "texts cut at {old} tokens, now at {new}",
    "normalize": "normalization {old}, now {new}",
    "truncate_dim": "vectors cut to {old} components, now to {new}",
    "dtype": "dtype {old}, now {new}",
    "precision": "precision {old}, now {new}",
    "column": "the column '{old}', now '{new}'",
}


def beside(output: Path, end: str) -> Path:
    """Return the path of a temporary file beside the output."""
    return output.with_name(f"{output.name}.part{end}")


class Staging:
    """The growing matrix ``[rows, width]`` of float32 beside an output.

    ``identity`` describes all that the vectors depend on: a run is resumed only if it is equal. ``probe`` is
    the vector of a fixed text, which detects another model under the same name.
    """

    def __init__(
        self, output: Path, shape: tuple[int, int], model: str, identity: Mapping[str, Any], probe: Any
    ) -> None:
        self.part = beside(output, "")
        self._state = beside(output, ".json")
        self._new_state = beside(output, ".json.new")
        self.finished = beside(output, ".out")  # the output while it is written
        self._model = model
        self._identity = dict(identity)
        self._probe = np.asarray(probe, dtype=np.float32)
        self._header = _header(shape)
        self._row_bytes = shape[1] * 4
        self.rows = 0
        self.owned = False  # the files beside the output are this run's, also while they are created

    def begin(self, *, restart: bool) -> None:
        """Resume a killed run, or start; `rows` is the number of rows from the earlier run.

        Raises `InputError` when the existing files belong to other input or settings, or are no checkpoint.
        """
        if restart:
            self.discard()
        if self._state.exists() and self.part.exists():
            self.rows = self._check(self._read_state())
            self._cut()
            self.owned = True
            return
        if self.part.exists():
            raise InputError(f"'{self.part}' is in the way: remove it, or pass restart=True to replace it.")
        self.owned = True
        self._write_state()
        with self.part.open("wb") as file:
            file.write(self._header)

    def _cut(self) -> None:
        """Truncate the rows written after the last count."""
        size = len(self._header) + self.rows * self._row_bytes
        if self.part.stat().st_size < size:
            raise InputError(f"'{self.part}' is truncated; pass restart=True to start again.")
        with self.part.open("r+b") as file:
            file.truncate(size)

    def append(self, vectors: NDArray[np.float32]) -> None:
        """Append rows durably (flushed to disk)."""
        with self.part.open("ab") as file:
            file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
            file.flush()
            os.fsync(file.fileno())
        self.rows += len(vectors)
        self._write_state()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rows block by block."""
        width = self._row_bytes // 4
        with self.part.open("rb") as file:
            file.seek(len(self._header))
            while block := file.read(_BLOCK_ROWS * self._row_bytes):
                yield np.frombuffer(block, dtype="<f4").reshape(-1, width)

    def discard(self) -> None:
        """Delete the files beside the output."""
        # Delete the count last: without it the vectors would be taken for a foreign file.
        for path in (self.finished, self._new_state, self.part, self._state):
            path.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except ValueError:
            state = None
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            raise InputError(f"'{self._state}' can't be read; pass restart=True to start again.")
        return state

    def _check(self, state: Mapping[str, Any]) -> int:
        """Check that an earlier run's recorded state matches this run; return its number of rows."""
        before = state["identity"]
        for key, old in before.items():
            new = self._identity.get(key)
            if old != new:
                what = _WHAT.get(key, f"{key} {{old}}, now {{new}}")
                raise self._mismatch(what.format(old=_shown(old), new=_shown(new)))
        if not same_probe(state["probe"], self._probe):
            old_model = state["model"]
            also = "" if old_model != self._model else " of other weights"
            raise self._mismatch(f"the model '{old_model}'{also}, now '{self._model}'")
        return int(state["rows"])

    def _mismatch(self, what: str) -> InputError:
        return InputError(
            f"'{self.part}' was begun with {what}. Repeat the first command to finish it, "
            "or pass restart=True to start again."
        )

    def _write_state(self) -> None:
        state = {
            "version": _VERSION,
            "model": self._model,
            "identity": self._identity,
            "probe": self._probe.tolist(),
            "rows": self.rows,
        }
        with self._new_state.open("w", encoding="utf-8") as file:
            json.dump(state, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        self._new_state.replace(self._state)
        flush(self._state.parent)


def _shown(value: Any) -> str:
    """Return a setting as text; the only setting that may be ``None`` is a number without a limit."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "all" if value is None else str(value)


def _header(shape: tuple[int, int]) -> bytes:
    """Return the header of an ``.npy`` file with a float32 matrix of this shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()
