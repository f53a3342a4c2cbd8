"""A program that writes into a store and is killed; run as a script, it reads commands from standard input.

It loads the imports of a writer once and forks a writer for each command, so that hundreds can be killed in
seconds. A command is ``path task first seconds``; the answer is one line for each acknowledged step of the
task, and ``killed`` when the writer has been killed, after ``seconds``.
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
    """Return what a step writes: documents, and ids to delete first. Deterministic."""
    drawn = random.Random(step)
    put = [_document(drawn, step) for _ in range(drawn.randrange(_MOST_PUT))]
    return put, [drawn.randrange(_IDS) for _ in range(drawn.randrange(3))]


def _document(drawn: random.Random, step: int) -> Document:
    text = " ".join(drawn.choices(WORDS, k=drawn.randrange(1, 9)))
    return document(
        drawn.randrange(_IDS), f"{text} step{step}", metadata={"step": step}, source=f"{step % 5}"
    )


def replay(documents: dict[DocumentId, Document], step: int) -> None:
    """Apply the changes of a step to a dictionary."""
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
    """Migrate back and forth between two settings; each step is a migration."""
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
            os._exit(1)  # reached only after a failure
    time.sleep(float(seconds))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.write(1, b"killed\n" if os.WIFSIGNALED(status) else b"failed\n")


class Writers:
    """The program as a test controls it."""

    def __init__(self, home: Path) -> None:
        folder = str(Path(__file__).parent.parent)
        environment = python_environment(home)
        environment["PYTHONPATH"] += os.pathsep + folder
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "support.store_writer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=home,
        )  # fmt: skip

    def run(self, path: Path, task: str, first: int, seconds: float) -> list[int]:
        """Start a writer, kill it after some time, and return the steps that it acknowledged."""
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
