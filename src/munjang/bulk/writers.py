"""From staged vectors to the finished file: ``.npy``, ``.jsonl`` or ``.parquet``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.bulk.checkpoint import Staging
from munjang.checkpoints.files import flush
from munjang.data.files import Row
from munjang.data.records import import_pyarrow
from munjang.errors import InputError
from munjang.progress import Advance
from munjang.sentence.quantization import quantize_embeddings

if TYPE_CHECKING:
    from munjang.choices import Precision

Blocks = Iterator[NDArray[Any]]
_FORMATS = (".npy", ".parquet", ".jsonl")


def check_output(output: Path) -> None:
    """Raise an error unless a file of this name can be written.

    `InputError` if the suffix is no known format, the folder does not exist or the path is a folder;
    `MissingExtraError` if parquet's package is not installed.
    """
    if output.suffix.lower() not in _FORMATS:
        raise InputError(f"The output '{output}' must end in {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}.")
    if output.is_dir():
        raise InputError(f"The output '{output}' is a folder; name a file in it.")
    if not output.parent.is_dir():
        raise InputError(f"There is no folder '{output.parent}' to write '{output.name}' into.")
    if output.suffix.lower() == ".parquet":
        import_pyarrow()


def write_output(
    staging: Staging, rows: Iterable[Row], output: Path, precision: Precision, advance: Advance
) -> None:
    """Write the output from the staged vectors; it is renamed to its path atomically.

    ``rows`` are the rows of the vectors; ``.jsonl`` and ``.parquet`` contain their ids and texts.
    """
    kind = output.suffix.lower()
    if kind == ".npy" and precision == "float32":
        staging.part.replace(output)
    else:
        writer = {".npy": _write_npy, ".parquet": _write_parquet, ".jsonl": _write_jsonl}[kind]
        writer(staging.finished, _in_precision(staging, precision, advance), rows, staging.rows)
        flush(staging.finished)
        staging.finished.replace(output)
    flush(output.parent)
    staging.discard()


def _in_precision(staging: Staging, precision: Precision, advance: Advance) -> Blocks:
    """Return blocks of vectors in a precision; quantisation to bytes uses the range over the whole file."""
    ranges = _ranges(staging) if precision in ("int8", "uint8") else None
    for block in staging.blocks():
        yield block if precision == "float32" else quantize_embeddings(block, precision, ranges=ranges)
        advance(len(block))


def _ranges(staging: Staging) -> NDArray[np.float32]:
    limits = [(block.min(axis=0), block.max(axis=0)) for block in staging.blocks()]
    lowest, highest = zip(*limits, strict=True)
    return np.stack([np.min(lowest, axis=0), np.max(highest, axis=0)])


def _write_npy(path: Path, blocks: Blocks, rows: Iterable[Row], count: int) -> None:  # noqa: ARG001
    with path.open("wb") as file:
        first = next(blocks)
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": first.dtype.str, "fortran_order": False, "shape": (count, first.shape[1])},
        )
        file.write(np.ascontiguousarray(first).data)
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)


def _write_jsonl(path: Path, blocks: Blocks, rows: Iterable[Row], count: int) -> None:  # noqa: ARG001
    with path.open("w", encoding="utf-8", newline="\n") as file:
        source = iter(rows)
        for block in blocks:
            for vector, row in zip(block, source, strict=False):
                head = json.dumps({"id": row.id, "text": row.text}, ensure_ascii=False)
                file.write(f'{head[:-1]}, "embedding": {json_numbers(vector)}}}\n')


def _write_parquet(path: Path, blocks: Blocks, rows: Iterable[Row], count: int) -> None:  # noqa: ARG001
    parquet, arrow = import_pyarrow()
    source = iter(rows)
    first = next(blocks)
    ids = arrow.int64() if all(_is_int64(row.id) for row in rows) else arrow.string()
    vectors = arrow.list_(arrow.from_numpy_dtype(first.dtype), first.shape[1])
    schema = arrow.schema([("id", ids), ("text", arrow.string()), ("embedding", vectors)])
    with parquet.ParquetWriter(path, schema) as writer:
        for block in _chain(first, blocks):
            batch = list(islice(source, len(block)))
            columns = [
                arrow.array([row.id if ids == arrow.int64() else str(row.id) for row in batch], ids),
                arrow.array([row.text for row in batch], arrow.string()),
                arrow.FixedSizeListArray.from_arrays(arrow.array(block.reshape(-1)), type=vectors),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))


def _is_int64(value: int | str) -> bool:
    return isinstance(value, int) and -(2**63) <= value < 2**63


def _chain(first: NDArray[Any], others: Blocks) -> Blocks:
    yield first
    yield from others


def json_numbers(vector: NDArray[Any]) -> str:
    """Return a vector as a JSON list, each number with float32 precision."""
    numbers = vector.tolist()
    if vector.dtype.kind != "f":
        return json.dumps(numbers)
    return f"[{', '.join(['%.9g'] * len(numbers)) % tuple(numbers)}]"
