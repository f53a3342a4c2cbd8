"""Who follows a run: the log on disk, and a person at a terminal."""

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

__all__ = ["Log", "Step", "Watcher", "read_log", "shown"]


@dataclass(frozen=True, slots=True)
class Step:
    """One update: the mean loss over its batches, tokens of all processes, seconds on the clock."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    seconds: float


class Watcher(Protocol):
    """Is told what happens."""

    def begin(self, steps: int, done: int) -> None:
        """The run has so many updates, and so many are done already."""
        ...

    def step(self, step: Step) -> None:
        """An update is done."""
        ...

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        """The model was measured."""
        ...


class Log:
    """``log.jsonl``: a line for each update and each evaluation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def begin(self, steps: int, done: int) -> None:  # noqa: ARG002 - the log has no end
        """Go on behind the update ``done``: lines of updates that will be done again are taken out."""
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
        assert self._file is not None  # begun
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> CheckpointError:
        return CheckpointError(f"Can't write '{self._path}': {error.strerror or error}. Make room and go on.")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log; a line that was cut short by a kill ends it."""
    found: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


class _Bar:
    """A bar with the loss, tokens per second and the time left."""

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
    """About twenty lines for a log that has no terminal."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._steps = self._every = 1
        self._losses: list[float] = []

    def begin(self, steps: int, done: int) -> None:  # noqa: ARG002 - lines say where they are
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
    """Yield who shows a run on standard error: a bar at a terminal, lines if ``asked`` elsewhere."""
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
