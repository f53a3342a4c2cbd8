"""`RayEngine`: documents prepared by many processes on one machine or many, with Ray (extra ``ray``)."""

from __future__ import annotations

import importlib
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from munjang.backends.cores import available_cores
from munjang.errors import InputError, MissingExtraError, MunjangError
from munjang.search.documents import Document, Entry
from munjang.search.prepare import Preparer, open_preparer
from munjang.search.settings import IndexSettings
from munjang.validation import optional_count

_QUEUED = 2  # batches per worker: the current batch and the next
_TRIES = 3  # maximum failures of a batch, and maximum consecutive workers that end before they are ready
_PATIENCE = 300.0  # seconds to wait for a worker when no worker is busy

# Disable Ray's usage statistics and useless warnings. These must be set before Ray is imported.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

# The logger of a long message that Ray, by default, admits only this user's processes to the cluster.
_TALKATIVE = "ray._private.authentication.authentication_token_setup"


class RayEngine:
    """Prepares batches in Ray actors, one per CPU, each with a separate model and one thread.

    Only this process, the driver, receives and writes the entries, so it knows which are committed. If a
    worker ends before it returns a batch, another worker prepares the batch again. A returned batch is never
    prepared again.

    Args:
        workers: number of workers; by default one per CPU of the cluster.
        address: of an existing cluster (``"auto"`` for the cluster of this machine, ``ray://host:port`` for a
            remote cluster); by default a cluster is started on this machine and stopped after the work.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self._workers = optional_count("workers", workers)
        self._address = address

    def run(
        self, settings: IndexSettings, model_name: str, batches: Iterable[Sequence[Document]]
    ) -> Iterator[list[Entry]]:
        """Yield the entries of each batch exactly once, in order of completion.

        Raises `MissingExtraError` without Ray, `InputError` for a cluster that can't be reached or provides
        no worker, and for a batch that failed several times; and the errors of preparing.
        """
        with self.connected() as ray:
            count = self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            crew = _Crew(ray, count, settings, model_name)
            try:
                yield from crew.work(batches)
            finally:
                crew.dismiss()

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """Connect to the cluster for several runs, or start it; disconnect or stop it after the block.

        An existing connection of the process is used and left open.
        """
        ray = _import_ray()
        if ray.is_initialized():
            yield ray
            return
        options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if self._address is None:
            logging.getLogger(_TALKATIVE).setLevel(logging.ERROR)
            options |= {"num_cpus": self._workers or available_cores(), "include_dashboard": False}
        try:
            ray.init(self._address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            cluster = f"the Ray cluster '{self._address}'" if self._address else "a Ray cluster here"
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise InputError(f"Connecting to {cluster} failed: {reason[0]}") from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _import_ray() -> Any:
    for name, value in _QUIET.items():
        os.environ[name] = value
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError.of(
            f"The engine 'ray' needs Ray, which can't be loaded ({error})", "ray"
        ) from error


class _Worker:
    """The code of an actor. It opens the model at the first batch, so that errors reach the driver."""

    def __init__(self, settings: IndexSettings, model_name: str) -> None:
        self._settings = settings
        self._model_name = model_name
        self._preparer: Preparer | None = None

    def ready(self) -> None:
        """Return, which shows that the actor has started."""

    def prepare(self, documents: Sequence[Document]) -> list[Entry]:
        """Return the entries of a batch."""
        self._preparer = self._preparer or open_preparer(self._settings, self._model_name, threads=1)
        return self._preparer.prepare(documents)


@dataclass(slots=True, eq=False)
class _Batch:
    number: int
    documents: Sequence[Document]
    failures: list[str] = field(default_factory=list)
    suspect: bool = False  # it was queued at a worker that ended

    def fail(self, reason: str) -> None:
        """Record a failure; raise `InputError` after too many failures."""
        self.failures.append(reason)
        if len(self.failures) >= _TRIES:
            ids = [repr(document.id) for document in self.documents]
            named = ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]}"
            raise InputError(
                f"Batch {self.number} (documents {named}) failed {_TRIES} times, the last time because: "
                f"{reason} Look for an unusual document in it, or use a machine with more memory."
            )


@dataclass(slots=True, eq=False)
class _Member:
    actor: Any
    ready: Any  # the reference of the first call's result
    started: bool = False
    batches: deque[tuple[Any, _Batch]] = field(default_factory=deque)  # in processing order

    def takes(self, *, suspect: bool) -> bool:
        """Return whether another batch may be sent; a suspect batch, whose worker ended, is prepared alone.

        So if the next worker ends too, its only batch is the cause.
        """
        if not self.started or any(batch.suspect for _, batch in self.batches):
            return False
        return len(self.batches) < (1 if suspect else _QUEUED)


class _Crew:
    """The actors and their queued batches."""

    def __init__(self, ray: Any, count: int, settings: IndexSettings, model_name: str) -> None:
        self._ray = ray
        self._kind = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker)
        self._arguments = (settings, model_name)
        self._again: deque[_Batch] = deque()
        self._lost = 0  # consecutive workers that ended before they were ready
        self._members = [self._hire() for _ in range(count)]

    def work(self, batches: Iterable[Sequence[Document]]) -> Iterator[list[Entry]]:
        """Send batches to workers and yield the results, until all batches are done."""
        coming = (_Batch(number, documents) for number, documents in enumerate(batches, start=1))
        while True:
            more = self._hand_out(coming)
            if not more and not any(member.batches for member in self._members):
                return
            for reference in self._finished():
                yield from self._taken(reference)

    def dismiss(self) -> None:
        """Kill the actors."""
        for member in self._members:
            self._ray.kill(member.actor)

    def _hire(self) -> _Member:
        actor = self._kind.remote(*self._arguments)
        return _Member(actor, actor.ready.remote())

    def _hand_out(self, coming: Iterator[_Batch]) -> bool:
        """Send batches to all workers with free slots; return false if no batch was left."""
        for _ in range(_QUEUED):
            for member in self._members:
                if not member.takes(suspect=bool(self._again)):
                    continue
                batch = self._again.popleft() if self._again else next(coming, None)
                if batch is None:
                    return False
                member.batches.append((member.actor.prepare.remote(batch.documents), batch))
        return True

    def _finished(self) -> list[Any]:
        """Wait for the next result and return its reference."""
        waiting = [reference for member in self._members for reference, _ in member.batches]
        waiting += [member.ready for member in self._members if not member.started]
        finished, _ = self._ray.wait(waiting, num_returns=1, timeout=_PATIENCE if not self._busy() else None)
        if not finished:
            raise InputError(
                f"The Ray cluster provided no worker within {_PATIENCE:g} seconds; "
                f"it has {self._ray.available_resources().get('CPU', 0):g} free CPUs, each worker needs one."
            )
        return list(finished)

    def _busy(self) -> bool:
        return any(member.batches for member in self._members)

    def _taken(self, reference: Any) -> list[list[Entry]]:
        """Process a result; return the prepared batches: none for a worker's start or a failed batch."""
        member, batch = self._owner(reference)
        errors = self._ray.exceptions
        try:
            answer: list[Entry] | None = self._ray.get(reference)
        except errors.RayActorError as error:
            return self._replace(member, _first_line(error))
        except errors.RayTaskError as error:
            if isinstance(error.cause, MunjangError):
                raise error.cause from None
            return self._drop(member, batch, f"{type(error.cause).__name__}: {_first_line(error.cause)}")
        except errors.RayError as error:
            return self._drop(member, batch, _first_line(error))
        self._lost = 0
        if answer is None:
            member.started = True
            return []
        member.batches = deque(pair for pair in member.batches if pair[1] is not batch)
        return [answer]

    def _owner(self, reference: Any) -> tuple[_Member, _Batch | None]:
        for member in self._members:
            if member.ready == reference:
                return member, None
            for known, batch in member.batches:
                if known == reference:
                    return member, batch
        raise AssertionError("a result of an unknown call")

    def _drop(self, member: _Member, batch: _Batch | None, reason: str) -> list[list[Entry]]:
        """Put a failed batch back into the queue."""
        if batch is None:
            return self._replace(member, reason)
        member.batches = deque(pair for pair in member.batches if pair[1] is not batch)
        self._again.append(batch)
        batch.fail(reason)
        return []

    def _replace(self, member: _Member, reason: str) -> list[list[Entry]]:
        """Replace a worker that ended; return the batches that it finished, and requeue its other batches.

        The first requeued batch is assumed to be the cause, since a worker processes batches in order. But
        its result may have been lost, and the second batch may be the cause; the retry shows it, see `takes`.
        """
        self._lost += not member.started
        if self._lost >= _TRIES:
            raise InputError(f"{_TRIES} Ray workers ended before they had begun, the last because: {reason}")
        answers, rest = [], []
        for reference, batch in member.batches:
            try:
                answers.append(self._ray.get(reference))
            except self._ray.exceptions.RayError:
                batch.suspect = True
                rest.append(batch)
        self._again.extendleft(reversed(rest))
        self._members[self._members.index(member)] = self._hire()
        if rest:
            rest[0].fail(reason)
        return answers


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith(".") else f"{text}."
