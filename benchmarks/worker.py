"""A process that runs one peer and encodes on request, and the handle that controls it.

Requests and answers are JSON, one per line. Only the library's own work is timed: texts are read before the
clock starts and vectors are written after it has stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from benchmarks.peers import PEERS, Encoder, Setting
from benchmarks.quiet import Timing, busy_seconds

__all__ = ["PeerError", "Worker", "environment"]

ROOT = Path(__file__).resolve().parent.parent


class PeerError(Exception):
    """A peer is not installed, or failed."""


def environment() -> dict[str, str]:
    """Return the environment of every measured process: this project's code, and no network."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(paths)}


class Worker:
    """A peer in its own process.

    Raises `PeerError` when the peer is not there or fails.
    """

    def __init__(self, peer: str, folder: Path) -> None:
        self.peer = peer
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
            env=environment(),
        )
        answer = self._answer()
        self.settings: list[Setting] = answer["settings"]
        self.load_seconds: float = answer["seconds"]

    def encode(self, texts: Path, setting: Setting, keep: Path | None = None) -> Timing:
        """Encode the texts of a JSON file, and keep the vectors in an ``.npy`` file if one is named."""
        request = {"texts": str(texts), "setting": setting, "keep": keep and str(keep)}
        assert self._process.stdin is not None
        busy = busy_seconds()
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        others = busy_seconds() - busy - answer["all_core_seconds"]
        return Timing(answer["seconds"], answer["core_seconds"], others)

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: Mapping[str, Any] = json.loads(line) if line else {"error": "its process died"}
        if "error" in answer:
            self.close()
            raise PeerError(f"{self.peer}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _serve(peer: str, folder: Path, answers: IO[str]) -> None:
    def answer(content: Mapping[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        start = time.perf_counter()
        encoder = PEERS[peer](folder)
        answer({"settings": list(encoder.settings), "seconds": time.perf_counter() - start})
        for line in sys.stdin:
            answer(_encode(encoder, json.loads(line)))
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its reason to be skipped
        answer({"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]})


def _encode(encoder: Encoder, request: Mapping[str, Any]) -> dict[str, float]:
    begin = time.process_time()
    texts = json.loads(Path(request["texts"]).read_text(encoding="utf-8"))
    start, start_cores = time.perf_counter(), time.process_time()
    vectors = encoder.encode(texts, request["setting"])
    seconds, core_seconds = time.perf_counter() - start, time.process_time() - start_cores
    if request["keep"]:
        import numpy as np

        np.save(request["keep"], vectors)
    return {
        "seconds": seconds,
        "core_seconds": core_seconds,
        "all_core_seconds": time.process_time() - begin,  # includes reading and writing files
    }


def _main() -> None:
    # The output of libraries must not mix with the answers.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        _serve(sys.argv[1], Path(sys.argv[2]), answers)


if __name__ == "__main__":
    _main()
