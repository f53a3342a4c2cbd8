"""Encoding of a file into a file, with an interruption."""

from __future__ import annotations

from pathlib import Path

from munjang import SentenceTransformer
from munjang.bulk.encoding import BulkEncoding, BulkOptions
from munjang.data.files import DataFile

__all__ = ["ROWS", "StopError", "beside", "make", "text"]

ROWS = 9000  # three chunks


def text(number: int) -> str:
    return f"{number * 7919 % 9973} 번째 문장" if number % 50 else ""


class StopError(Exception):
    """An interruption during the work."""


def make(
    model: SentenceTransformer,
    source: Path | DataFile,
    output: Path,
    options: BulkOptions | None = None,
    *,
    restart: bool = False,
    stop_after: int | None = None,
    name: str = "tiny",
) -> int:
    """Encode everything, or stop after a number of rows; return the number of rows at the start."""
    made = 0

    def advance(count: int) -> None:
        nonlocal made
        made += count
        if stop_after is not None and made > stop_after:
            raise StopError

    data = source if isinstance(source, DataFile) else DataFile(path=str(source))
    with BulkEncoding(data, output, options, restart=restart) as work:
        done = work.start(model, name)
        work.run(advance)
        work.finish(lambda _: None)
        return done


def beside(output: Path) -> list[str]:
    """Return the files in the output's folder whose names begin with the output's name."""
    return sorted(path.name for path in output.parent.iterdir() if path.name.startswith(output.name))
