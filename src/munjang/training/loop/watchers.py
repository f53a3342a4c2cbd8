"""Observers of a run: the log on disk and the display in a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from munjang.checkpoints.files import replacing
from munjang.errors import CheckpointError
from munjang.progress import bars


@dataclass(frozen=True, slots=True)
class Step:
    """The record of an update.

    ``loss`` is the mean over its batches, ``tokens`` counts all processes, ``seconds`` is the wall-clock time
    of all updates so far.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    seconds: float


class Watcher(Protocol):
    """An observer whose methods the loop calls during a run."""

    def begin(self, steps: int, done: int) -> None:
        """Handle the start of a run of ``steps`` updates, of which ``done`` are already done."""
        ...

    def step(self, step: Step) -> None:
        """Handle a finished update."""
        ...

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        """Handle an evaluation of the model."""
        ...


class Log:
    """The file ``log.jsonl`` with a line for each update and each evaluation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def begin(self, steps: int, done: int) -> None:  # noqa: ARG002 - the log needs no total
        """Open the log after update ``done``. Lines of later updates, which will be repeated, are deleted."""
        kept = [line for line in read_log(self._path) if line["step"] <= done]
        try:
            with replacing(self._path) as file:
                file.writelines(json.dumps(line).encode() + b"\n" for line in kept)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def step(self, step: Step) -> None:
        """Write an update."""
        self._write(asdict(step))

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        """Write an evaluation."""
        self._write({"step": step, "evaluation": dict(metrics), "best": best})

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None  # begin() was called
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"Can't write '{self._path}': {error.strerror or error}. Free disk space, then start it again."
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log up to the first line that is not valid JSON, such as a line truncated by a crash."""
    events: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                break
    return events


class _Bar:
    """A progress bar with the loss, tokens per second and the remaining time."""

    def __init__(self, bar: Any, name: str) -> None:
        self._bar, self._name = bar, name
        self._loss: float | None = None
        self._tokens = 0
        self._began = time.monotonic()

    def begin(self, steps: int, done: int) -> None:
        self._task = self._bar.add_task(self._name, total=steps, completed=done, loss="", speed="")
        self._began = time.monotonic()

    def step(self, step: Step) -> None:
        self._loss = step.loss if self._loss is None else 0.95 * self._loss + 0.05 * step.loss
        self._tokens += step.tokens
        speed = self._tokens / max(time.monotonic() - self._began, 1e-9)
        self._bar.update(
            self._task, completed=step.step, loss=f"loss {self._loss:.4f}", speed=f"{speed:,.0f} tokens/s"
        )

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        self._bar.console.print(f"step {step:,}: {_written(metrics)}{' (best)' if best else ''}")


class _Lines:
    """About twenty progress lines for output that is not a terminal."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._steps = self._every = 1
        self._losses: list[float] = []

    def begin(self, steps: int, done: int) -> None:  # noqa: ARG002 - each line states its step
        self._steps, self._every = steps, max(1, steps // 20)

    def step(self, step: Step) -> None:
        self._losses.append(step.loss)
        if step.step % self._every == 0 or step.step == self._steps:
            mean = sum(self._losses) / len(self._losses)
            self._losses = []
            self._say(f"step {step.step:,} of {self._steps:,}: loss {mean:.4f}, {step.seconds:,.0f} s")

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        self._say(f"step {step:,}: {_written(metrics)}{' (best)' if best else ''}")

    def _say(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._file.flush()


def _written(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


@contextmanager
def shown(asked: bool | None, name: str) -> Iterator[Sequence[Watcher]]:
    """Yield watchers that show a run on standard error: a bar in a terminal, else lines if ``asked``."""
    import sys

    if asked is False or (asked is None and not sys.stderr.isatty()):
        yield ()
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        with bars(*columns) as bar:
            yield (_Bar(bar, name),)
    else:
        yield (_Lines(sys.stderr),)
