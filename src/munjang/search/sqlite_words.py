"""Search by word in SQLite: FTS5 over words that the application made, ranked by BM25."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from munjang.search.filters import Filter
from munjang.search.sqlite_filters import condition_of
from munjang.search.store import Match

if TYPE_CHECKING:
    import apsw

__all__ = ["joined", "lexical"]

_MOST_WORDS = 128  # of one query, the longest; a longer one costs more than it says
_LONGEST_WORD = 1000
_CAPITALS = re.compile("[A-Z]")
_SPLITTING = re.compile("[\x00-\x20\x7f\ud800-\udfff]")  # the tokenizer splits here; half pairs are no text


def joined(words: Sequence[str]) -> str:
    """Give words as the text that is indexed."""
    return _marked(" ".join(words))


def _marked(text: str) -> str:
    """Mark capitals, for the tokenizer takes A to Z for a to z, but words are what the analyser made."""
    return _CAPITALS.sub("\ue000\\g<0>", text)


def lexical(
    connection: apsw.Connection, words: Sequence[str], limit: int, where: Filter | None
) -> list[Match]:
    """Find the passages that have any of the words, best first, of equal ones the older first."""
    expression = _expression(words)
    if not expression or limit < 1:
        return []
    condition, values = condition_of(where)
    filtered = (
        "AND EXISTS (SELECT 1 FROM passage JOIN document ON document.number = passage.document "  # noqa: S608
        f"WHERE passage.number = words.rowid AND {condition})"
    )
    found = connection.execute(
        "SELECT words.rowid, -bm25(words) AS score FROM words WHERE words MATCH ? "  # noqa: S608
        f"{filtered if where is not None else ''} ORDER BY score DESC, words.rowid LIMIT ?",
        [expression, *(values if where is not None else ()), limit],
    )
    return [Match(*row) for row in found]


def _expression(words: Sequence[str]) -> str:
    """Write a query of quoted words; inside quotes nothing has a meaning but the quote itself."""
    distinct = [word for word in dict.fromkeys(words) if _can_be_indexed(word)]
    if len(distinct) > _MOST_WORDS:
        distinct = sorted(distinct, key=len, reverse=True)[:_MOST_WORDS]
    return " OR ".join('"' + _marked(word).replace('"', '""') + '"' for word in distinct)


def _can_be_indexed(word: str) -> bool:
    """Whether this is one word to the tokenizer, and text to SQLite."""
    return 0 < len(word) <= _LONGEST_WORD and _SPLITTING.search(word) is None
