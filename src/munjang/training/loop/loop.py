"""The training loop for all objectives: batches, gradients, updates, evaluations and checkpoints."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from munjang.errors import TrainingError
from munjang.runtime.notices import TruncationWarning
from munjang.training.loop.checkpoint import Progress, RunFolder
from munjang.training.loop.freed_memory import freed_memory_kept
from munjang.training.loop.objective import Objective, cut_into_parts, require_examples
from munjang.training.loop.optimizer import Optimizer, learning_rate_at
from munjang.training.loop.order import Order, Update, generator
from munjang.training.loop.processes import Processes, processes
from munjang.training.loop.report import TrainingResult, write_report
from munjang.training.loop.watchers import Log, Step, Watcher, read_log
from munjang.training.options import TrainingOptions

_LONGEST_LOSS = 600.0  # seconds of work that a crash may lose, even if an epoch is longer


def train(
    objective: Objective[Any],
    output: str | os.PathLike[str],
    options: TrainingOptions,
    *,
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train and save the best model in ``output``. Resume if ``output`` holds the same run, unfinished.

    Ctrl-C writes a checkpoint and then raises `KeyboardInterrupt`. Raises `TrainingError` if the loss or the
    gradient becomes NaN or infinite or memory runs out, `InputError` if the folder holds another run or other
    files, `CheckpointError` if the folder can't be written.
    """
    with freed_memory_kept(), processes(objective.network.device) as group:
        return _Run(objective, Path(output), options, group, watchers)()


class _Run:
    """The part of a run that a single process does."""

    def __init__(
        self,
        objective: Objective[Any],
        output: Path,
        options: TrainingOptions,
        group: Processes,
        watchers: Sequence[Watcher],
    ) -> None:
        self.objective, self.options, self.group = objective, options, group
        self.network = objective.network
        self.costs = objective.costs()
        require_examples(self.costs)
        self.order = Order(
            self.costs, options, whole_batches=objective.whole_batches, conflicts=objective.conflicts
        )
        self.optimizer = Optimizer(self.network, options)
        identity = {"task": objective.name, **objective.describe(), **options.deciding()}
        self.folder = RunFolder(output, identity)
        self.log = Log(output / "log.jsonl")
        self.watchers: Sequence[Watcher] = [self.log, *watchers] if group.leads else []
        self.progress = Progress()

    def __call__(self) -> TrainingResult:
        finished = self.group.told(self.folder.claim() if self.group.leads else None)
        if finished:
            return self._result(self.folder.result())
        self.progress = self.folder.resume(self.network, self.optimizer)
        try:
            for watcher in self.watchers:
                watcher.begin(self.order.steps, self.progress.step)
            with _stop_requests() as stop:
                self._evaluate_first()
                self._updates(stop)
        finally:
            self.log.close()
        return self._end()

    def _updates(self, stop: threading.Event) -> None:
        self._kept_at = time.monotonic()
        for update in self.order.updates(after=self.progress.step):
            if self._gave_up():
                return
            stopped = self._update(update, bool(stop.is_set()))
            last = update.number == self.order.steps
            if last or self._is_due(update, self.options.evaluation_steps):
                self._evaluate(update.number)
            if stopped or self._is_time_to_keep(update):
                self._checkpoint()
            if stopped and not last:
                raise KeyboardInterrupt(
                    f"stopped after update {update.number}; the same command resumes the run"
                )

    def _gave_up(self) -> bool:
        patience = self.options.patience
        return patience is not None and self.progress.without_better >= patience

    def _is_time_to_keep(self, update: Update) -> bool:
        every = self.options.checkpoint_steps or self.options.evaluation_steps
        return self._is_due(update, every) or time.monotonic() - self._kept_at > _LONGEST_LOSS

    def _is_due(self, update: Update, every: int | None) -> bool:
        return update.ends_epoch if every is None else update.number % every == 0

    def _update(self, update: Update, stop: bool) -> bool:
        """Do one update on its batches. Return whether any process was asked to stop."""
        began = time.monotonic()
        total, count = self._gradients(update)
        total, count, stopped = self.group.add_up([total, count, float(stop)], self.network.device)
        loss = total / count if count else 0.0
        if not math.isfinite(loss):
            raise self._not_a_number(update, f"the loss is {loss}")
        self.group.add_up_gradients(self.network.trained.values())
        for value in self.network.trained.values():
            if value.grad is not None and count:
                value.grad /= count
        norm = self.optimizer.clip()
        if not math.isfinite(norm):
            raise self._not_a_number(update, f"the loss is {loss:.4f}, its gradient {norm}")
        rate = learning_rate_at(update.number, self.order.steps, self.options)
        self.optimizer.step(rate)
        tokens = int(sum(self.costs[batch].sum() for batch in update.batches))
        self._count(update, tokens, time.monotonic() - began)
        epoch = update.number / self.order.per_epoch
        step = Step(update.number, epoch, loss, rate, norm, tokens, self.progress.seconds)
        for watcher in self.watchers:
            watcher.step(step)
        return bool(stopped)

    def _count(self, update: Update, tokens: int, seconds: float) -> None:
        self.progress.step = update.number
        self.progress.tokens += tokens
        self.progress.seconds += seconds

    def _gradients(self, update: Update) -> tuple[float, float]:
        total = count = 0.0
        index = 0
        for batch in update.batches:
            for part in self._parts(self.group.share(batch)):
                seed = (update.number, self.group.rank, index)
                rng = generator(self.options.seed, *seed)
                torch.manual_seed(int(rng.integers(2**62)))  # seeds dropout
                with self._memory(update):
                    tally = self.objective.accumulate(
                        [self.objective.examples[i] for i in part.tolist()], rng
                    )
                total, count, index = total + tally.total, count + tally.count, index + 1
        return total, count

    def _parts(self, share: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        if self.objective.whole_batches:
            yield from [share] if len(share) else []
        else:
            yield from cut_into_parts(share, self.costs, self.options.token_budget)

    @contextmanager
    def _memory(self, update: Update) -> Iterator[None]:
        """Convert an out-of-memory error in the ``with`` block to `TrainingError` with advice."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(
                error
            ):
                raise
            smaller = self.objective.memory_setting
            value = getattr(self.options, smaller)
            raise TrainingError(
                f"Memory ran out at update {update.number} with {smaller}={value}; try {max(1, value // 2)}."
            ) from error

    def _not_a_number(self, update: Update, what: str) -> TrainingError:
        self.optimizer.forget()
        examples = ", ".join(str(i) for i in np.concatenate(list(update.batches))[:5])
        kept = "the last checkpoint is kept" if self.progress.step else "nothing was learned yet"
        return TrainingError(
            f"At update {update.number} (epoch {update.epoch + 1}, examples {examples}, ...) {what}; {kept}. "
            f"Lower the learning rate ({self.options.learning_rate:g}) or look at these examples."
        )

    def _evaluate_first(self) -> None:
        """Measure the model before the first update, unless the log already holds these values."""
        if self.objective.metric is None or not self.options.evaluate_first or self.progress.step:
            return
        lines = read_log(self.folder.folder / "log.jsonl") if self.group.leads else []
        before = next((line["evaluation"] for line in lines if line["step"] == 0), None)
        if not self.group.told(before is not None):
            self.network.settle()
            before = self._measured() if self.group.leads else None
            for watcher in self.watchers:
                watcher.evaluation(0, before or {}, False)
        self.progress.before = self.group.told(before)

    def _evaluate(self, step: int) -> None:
        """Measure the model, and save it if it is the best so far."""
        if self.objective.metric is None:
            return
        self.network.settle()
        metrics = self.group.told(self._measured() if self.group.leads else None)
        value = metrics[self.objective.metric]
        best = self.progress.best
        sign = -1 if self.objective.lower_is_better else 1
        better = not math.isnan(value) and (best is None or sign * value > sign * best)
        if better:
            self.progress.best, self.progress.best_step, self.progress.metrics = value, step, metrics
        self.progress.without_better = 0 if better else self.progress.without_better + 1
        if better and self.group.leads:
            self.folder.save_best(self.progress, self.network)
        for watcher in self.watchers:
            watcher.evaluation(step, metrics, better)

    def _measured(self) -> dict[str, float]:
        with warnings.catch_warnings():
            # The description already states how many texts are truncated.
            warnings.simplefilter("ignore", TruncationWarning)
            return dict(self.objective.evaluate())

    def _checkpoint(self) -> None:
        self._kept_at = time.monotonic()
        if self.group.leads:
            self.folder.save(self.progress, self.network, self.optimizer)

    def _end(self) -> TrainingResult:
        """Save the best model, write the report and return the result."""
        self.folder.load_best(self.network)
        self.network.settle()
        if self.progress.best is None:
            self.progress.best_step = self.progress.step
        result = self._result(self._summary())
        if self.group.leads:
            self.objective.save(self.folder.folder)
            write_report(
                self.folder.folder, self.objective, self.options, result, self.order, self.progress.tokens
            )
            self.folder.finish(**self._summary())
        return result

    def _summary(self) -> dict[str, Any]:
        progress = self.progress
        return {
            "steps": progress.step,
            "best_step": progress.best_step,
            "metrics": progress.metrics,
            "before": progress.before,
            "seconds": progress.seconds,
        }

    def _result(self, summary: Mapping[str, Any]) -> TrainingResult:
        return TrainingResult(
            self.folder.folder,
            summary["steps"],
            summary["best_step"],
            summary["metrics"],
            summary.get("before", {}),
            summary["seconds"],
        )


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Yield an event that SIGINT (Ctrl-C) or SIGTERM sets, so that the run stops after the current update."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread can set signal handlers
        return

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        if stop.is_set():  # the second signal stops at once
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
