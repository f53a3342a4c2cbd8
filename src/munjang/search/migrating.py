"""Moving an index to another model, analyser or length of passages, while it is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from munjang.search.analysis import analyzer_named
from munjang.search.preparing import Advance, Preparer
from munjang.search.store import TRANSACTION, IndexSettings, Store

if TYPE_CHECKING:
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["migrate"]


def migrate(
    store: Store, target: IndexSettings, model: SentenceTransformer, advance: Advance | None = None
) -> int:
    """Prepare every document for the target and put it all in place at once; give how many were prepared.

    What has been prepared is kept aside in the store, so that a move that was stopped goes on where it was.
    Documents that are written meanwhile are prepared before the end. Until then searches see the old.

    Args:
        store: of the index.
        target: the new settings.
        model: the one that they are about.
        advance: called with the number of documents done.

    Raises `IndexMismatchError` if a move to something else was begun.
    """
    preparer = Preparer(target, model, analyzer_named(target.analyzer))
    done = 0
    while True:
        documents = store.unstaged(target, TRANSACTION)
        if documents:
            store.stage(target, preparer.prepare(documents, advance))
            done += len(documents)
        elif store.switch(target):
            return done
