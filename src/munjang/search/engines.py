"""`Engine`: how the work of preparing many documents is spread out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from munjang.search.analysis import analyzer_named
from munjang.search.describing import open_recorded
from munjang.search.documents import Document, Entry
from munjang.search.preparing import Preparer
from munjang.search.store import IndexSettings

if TYPE_CHECKING:
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["Engine", "LocalEngine", "open_preparer"]


class Engine(Protocol):
    """Prepares batches of documents; it knows no store, so whoever asks writes what it gives."""

    def run(
        self, settings: IndexSettings, model_name: str, batches: Iterable[Sequence[Document]]
    ) -> Iterator[list[Entry]]:
        """Give the entries of each batch exactly once, in whatever order they are ready.

        ``batches`` is read as the work goes on, never far ahead. ``model_name`` is where the model is, for
        whoever opens it. Raises what opening the model and preparing raise.
        """
        ...


class LocalEngine:
    """Prepares in this process, one batch after the other, each on all cores; the default.

    Args:
        model: the model, if it is open already.
    """

    def __init__(self, model: SentenceTransformer | None = None) -> None:
        self._model = model

    def run(
        self, settings: IndexSettings, model_name: str, batches: Iterable[Sequence[Document]]
    ) -> Iterator[list[Entry]]:
        """Give the entries of each batch, in order."""
        preparer: Preparer | None = None
        for batch in batches:
            preparer = preparer or open_preparer(settings, model_name, model=self._model)
            yield preparer.prepare(batch)


def open_preparer(
    settings: IndexSettings,
    model_name: str,
    *,
    model: SentenceTransformer | None = None,
    threads: int | None = None,
) -> Preparer:
    """Open model and analyser as an index with these settings wants them."""
    opened = model or open_recorded(replace(settings, model=model_name), threads=threads)
    return Preparer(settings, opened, analyzer_named(settings.analyzer))
