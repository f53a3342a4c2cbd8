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
from munjang.search.stores.base import IndexSettings

__all__ = ["RayEngine"]

_QUEUED = 2  # batches that a worker has: one that it works on, and the next
_TRIES = 3  # of a batch, and of workers that end before they have worked
_PATIENCE = 300.0  # seconds without any worker that could do something

# What Ray would send home, or say to nobody's use. They must be set before it is imported.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

# Tells at length that Ray, as it does by itself, lets only this user's processes into the cluster.
_TALKATIVE = "ray._private.authentication.authentication_token_setup"


class RayEngine:
    """Prepares batches in Ray actors, one to a CPU, each with a model of its own and one thread.

    Only this process, the driver, gets the entries, so it alone writes them and knows what is safe. A
    worker that ends before it gave a batch back loses nothing: another one prepares the batch anew. What
    was given back once is never prepared again.

    Args:
        workers: how many; by default one to each CPU of the cluster.
        address: of a cluster that is there (``"auto"`` finds the one of this machine, ``ray://host:port``
            a far one); by default one is started on this machine and ended with the work.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"workers must be at least 1, got {workers}.")
        self._workers = workers
        self._address = address

    def run(
        self, settings: IndexSettings, model_name: str, batches: Iterable[Sequence[Document]]
    ) -> Iterator[list[Entry]]:
        """Yield the entries of each batch exactly once, as they become ready.

        Raises `MissingExtraError` without Ray, `InputError` for a cluster that can't be reached or gives no
        worker, and for a batch that ended its worker several times; and what preparing raises.
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
        """Connect to the cluster for several runs, or start it; what was begun ends with the block.

        A process that is connected already stays as it is.
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
            place = f"the Ray cluster '{self._address}'" if self._address else "a Ray cluster here"
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise InputError(f"Connecting to {place} failed: {reason[0]}") from error
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
    """What runs in an actor. The model is opened with the first batch, so that its errors come home."""

    def __init__(self, settings: IndexSettings, model_name: str) -> None:
        self._settings = settings
        self._model_name = model_name
        self._preparer: Preparer | None = None

    def ready(self) -> None:
        """Answer, which says that the actor is there."""

    def prepare(self, documents: Sequence[Document]) -> list[Entry]:
        """Make entries of a batch."""
        self._preparer = self._preparer or open_preparer(self._settings, self._model_name, threads=1)
        return self._preparer.prepare(documents)


@dataclass(slots=True, eq=False)
class _Batch:
    number: int
    documents: Sequence[Document]
    failures: list[str] = field(default_factory=list)
    suspect: bool = False  # a worker had it when it ended

    def fail(self, reason: str) -> None:
        """Note a failure; raises `InputError` when there were too many."""
        self.failures.append(reason)
        if len(self.failures) >= _TRIES:
            ids = [repr(document.id) for document in self.documents]
            named = ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]}"
            raise InputError(
                f"Batch {self.number} (documents {named}) failed {_TRIES} times, the last time because: "
                f"{reason} Look for a document in it that is out of the ordinary, or give more memory."
            )


@dataclass(slots=True, eq=False)
class _Member:
    actor: Any
    ready: Any  # the answer to the first call
    there: bool = False
    batches: deque[tuple[Any, _Batch]] = field(default_factory=deque)  # in the order that it works on them

    def takes(self, *, suspect: bool) -> bool:
        """Return whether another batch may be sent; one whose worker ended is prepared alone.

        So it is known what ended the next worker.
        """
        if not self.there or any(batch.suspect for _, batch in self.batches):
            return False
        return len(self.batches) < (1 if suspect else _QUEUED)


class _Crew:
    """The actors, and which batches each of them has."""

    def __init__(self, ray: Any, count: int, settings: IndexSettings, model_name: str) -> None:
        self._ray = ray
        self._kind = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker)
        self._arguments = (settings, model_name)
        self._again: deque[_Batch] = deque()
        self._lost = 0  # workers in a row that ended before they answered
        self._members = [self._hire() for _ in range(count)]

    def work(self, batches: Iterable[Sequence[Document]]) -> Iterator[list[Entry]]:
        """Hand batches out and give back what comes, until there is nothing left."""
        coming = (_Batch(number, documents) for number, documents in enumerate(batches, start=1))
        while True:
            more = self._hand_out(coming)
            if not more and not any(member.batches for member in self._members):
                return
            for reference in self._finished():
                yield from self._taken(reference)

    def dismiss(self) -> None:
        """End the actors."""
        for member in self._members:
            self._ray.kill(member.actor)

    def _hire(self) -> _Member:
        actor = self._kind.remote(*self._arguments)
        return _Member(actor, actor.ready.remote())

    def _hand_out(self, coming: Iterator[_Batch]) -> bool:
        """Return each worker that is there something to do; false if there was nothing left to give."""
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
        """Wait for the next answer."""
        waiting = [reference for member in self._members for reference, _ in member.batches]
        waiting += [member.ready for member in self._members if not member.there]
        finished, _ = self._ray.wait(waiting, num_returns=1, timeout=_PATIENCE if not self._busy() else None)
        if not finished:
            raise InputError(
                f"The Ray cluster gave no worker within {_PATIENCE:g} seconds; "
                f"it has {self._ray.available_resources().get('CPU', 0):g} free CPUs, each worker needs one."
            )
        return list(finished)

    def _busy(self) -> bool:
        return any(member.batches for member in self._members)

    def _taken(self, reference: Any) -> list[list[Entry]]:
        """Take an answer in; return what was prepared: nothing if it was no batch's, or one that failed."""
        member, batch = self._found(reference)
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
            member.there = True
            return []
        member.batches = deque(one for one in member.batches if one[1] is not batch)
        return [answer]

    def _found(self, reference: Any) -> tuple[_Member, _Batch | None]:
        for member in self._members:
            if member.ready == reference:
                return member, None
            for known, batch in member.batches:
                if known == reference:
                    return member, batch
        raise AssertionError("an answer to no question")

    def _drop(self, member: _Member, batch: _Batch | None, reason: str) -> list[list[Entry]]:
        """Take a batch that failed back."""
        if batch is None:
            return self._replace(member, reason)
        member.batches = deque(one for one in member.batches if one[1] is not batch)
        self._again.append(batch)
        batch.fail(reason)
        return []

    def _replace(self, member: _Member, reason: str) -> list[list[Entry]]:
        """Put another worker in the place of one that ended; return what it prepared, take the rest back.

        The first batch of the rest is taken for the reason, as a worker takes them one by one. Its answer may
        have been lost on the way, though, and the second be the reason; the next time tells, see `takes`.
        """
        self._lost += not member.there
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
