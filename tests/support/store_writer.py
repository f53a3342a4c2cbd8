"""A program that writes into a store and is killed; run as a script it takes orders on standard input.

It loads what a writer needs once and forks a writer for each order, so that hundreds of them die in seconds.
An order is ``path task first seconds``; the answer is a line for each step of the task that was acknowledged,
and ``killed`` once the writer was killed, after ``seconds``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from munjang.search.documents import Document, DocumentId
from munjang.search.stores.base import Changes, Store
from munjang.search.stores.sqlite.store import open_sqlite
from support.processes import python_environment
from support.stores import SETTINGS, document, entry, other_settings, vector_of

__all__ = ["TARGETS", "WORDS", "Writers", "changes", "replay"]

TARGETS = (SETTINGS, other_settings(model="larger", dimension=12, probe=(0.5,)))
WORDS = [f"word{number}" for number in range(40)]
_IDS = 120
_MOST_PUT = 6
_REBUILD_EVERY = 97


def changes(step: int) -> tuple[list[Document], list[DocumentId]]:
    """What one step writes: documents, and ids to delete first; the same each time."""
    drawn = random.Random(step)
    put = [_document(drawn, step) for _ in range(drawn.randrange(_MOST_PUT))]
    return put, [drawn.randrange(_IDS) for _ in range(drawn.randrange(3))]


def _document(drawn: random.Random, step: int) -> Document:
    text = " ".join(drawn.choices(WORDS, k=drawn.randrange(1, 9)))
    return document(
        drawn.randrange(_IDS), f"{text} step{step}", metadata={"step": step}, source=f"{step % 5}"
    )


def replay(documents: dict[DocumentId, Document], step: int) -> None:
    """Do to a dictionary what the step does to the store."""
    put, delete = changes(step)
    for identifier in delete:
        documents.pop(identifier, None)
    documents.update((one.id, one) for one in put)


def _write(store: Store, first: int) -> Iterator[int]:
    store.create(SETTINGS)
    step = first
    while True:
        put, delete = changes(step)
        store.write(Changes(put=[entry(one) for one in put], delete=delete))
        yield step
        step += 1
        if step % _REBUILD_EVERY == 0:
            store.rebuild()
        elif step % 5 == 0:
            with store.snapshot() as reader:
                reader.semantic(vector_of("a question"), 5)


def _move(store: Store, first: int) -> Iterator[int]:
    """Move to and fro between settings; a step is a move."""
    for move in range(first, sys.maxsize):
        target = TARGETS[move % len(TARGETS)]
        while not store.switch(target):
            store.stage(target, [entry(one, target) for one in store.unstaged(target, 9)])
        yield move


_TASKS = {"write": _write, "move": _move}


def _work(path: str, task: str, first: int) -> None:
    store = open_sqlite(Path(path), create=True)
    for step in _TASKS[task](store, first):
        os.write(1, b"%d\n" % step)


def _obey(path: str, task: str, first: str, seconds: str) -> None:
    child = os.fork()
    if not child:
        try:
            _work(path, task, int(first))
        finally:
            os._exit(1)  # only a failure comes here
    time.sleep(float(seconds))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.write(1, b"killed\n" if os.WIFSIGNALED(status) else b"failed\n")


class Writers:
    """The program, from the side of a test."""

    def __init__(self, home: Path) -> None:
        folder = str(Path(__file__).parent.parent)
        environment = python_environment(home)
        environment["PYTHONPATH"] += os.pathsep + folder
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "support.store_writer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=home,
        )  # fmt: skip

    def run(self, path: Path, task: str, first: int, seconds: float) -> list[int]:
        """Start a writer, kill it after some time, and give the steps that it acknowledged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\t{task}\t{first}\t{seconds}\n")
        self._process.stdin.flush()
        acknowledged = []
        while (line := self._process.stdout.readline().strip()) != "killed":
            assert line.isdigit(), f"the writer failed: {line}"
            acknowledged.append(int(line))
        return acknowledged

    def close(self) -> None:
        """End the program."""
        self._process.communicate("")


if __name__ == "__main__":
    for order in sys.stdin:
        _obey(*order.rstrip("\n").split("\t"))
