"""Documents that record or kill the worker that prepares them; Ray workers import this module."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from munjang.search.documents import Document

__all__ = ["DeadlyBatch", "WatchedBatch", "descendants"]


class WatchedBatch(Sequence[Document]):
    """Documents that append a line to a file whenever a process starts to work on them."""

    def __init__(self, number: int, documents: Sequence[Document], log: Path) -> None:
        self.number = number
        self.documents = documents
        self.log = log

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, place: Any) -> Any:
        return self.documents[place]

    def __reduce__(self) -> Any:
        return type(self)._arrived, (self.number, self.documents, self.log)

    @classmethod
    def _arrived(cls, number: int, documents: Sequence[Document], log: Path) -> Sequence[Document]:
        with log.open("a") as file:
            file.write(f"{number} {os.getpid()}\n")
        return documents


class DeadlyBatch(WatchedBatch):
    """Documents that kill every worker."""

    @classmethod
    def _arrived(cls, number: int, documents: Sequence[Document], log: Path) -> Sequence[Document]:
        super()._arrived(number, documents, log)
        os.kill(os.getpid(), signal.SIGKILL)
        return documents


def descendants(process: int) -> Iterator[int]:
    """Yield the child processes of a process, and their children."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # has ended in the meantime
            continue
        if parent == process:
            child = int(path.parent.name)
            yield child
            yield from descendants(child)
