"""Search by word in PostgreSQL: the words of a query, each weighed by how rare it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from munjang.search.filters import Filter
from munjang.search.postgres_filters import only_documents
from munjang.search.postgres_schema import Layout
from munjang.search.postgres_session import Connection
from munjang.search.postgres_text import words_query
from munjang.search.store import Match

__all__ = ["find_words"]

_MOST_WORDS = 128  # of one query, the longest; a longer one costs more than it says
_FREQUENT = 1.64493406685  # pi^2/6, by which ts_rank divides
_SATURATION, _LENGTH = 1.2, 0.75  # the usual k1 and b of BM25


def find_words(
    connection: Connection, layout: Layout, words: Sequence[str], limit: int, where: Filter | None
) -> list[Match]:
    """Find the passages that have any of the words, best first, ties by the smaller number.

    ``ts_rank`` knows nothing of rare and common words, so each word is ranked by itself and weighed as in
    BM25 (Robertson and Zaragoza, 2009)::

        sum over the words of  ln(1 + (N - n + 0.5) / (n + 0.5)) * f
        divided by             (1 + k1 * (1 - b + b * length / mean length)) / (1 + k1)

    where N passages are in the index, n of them have the word, and ``f`` is 1 + 1/4 + 1/9 + ... with as
    many terms as the passage has the word: what ``ts_rank`` gives for one word of weight 1, times pi^2/6.
    A filter changes which passages are found, not their scores.
    """
    asked = sorted((word for word in dict.fromkeys(words) if word), key=len, reverse=True)[:_MOST_WORDS]
    if not asked or not layout.words:
        return []
    query, values = _query(layout, asked, limit, where)
    rows = connection.execute(query.encode(), values).fetchall()
    return [Match(int(number), float(score)) for number, score in rows]


def _query(layout: Layout, asked: Sequence[str], limit: int, where: Filter | None) -> tuple[str, list[Any]]:
    condition, filtered = only_documents("document", where)
    each = range(len(asked))
    ranks = ", ".join(f"ts_rank('{{1,1,1,1}}', words, %s::tsquery) AS r{one}" for one in each)
    # Casts to float8, as a plain 0.5 is a numeric, which takes ten times as long to reckon with.
    counts = (f"(count(*) FILTER (WHERE r{one} > 0))::float8 AS n{one}" for one in each)
    rarities = (
        f"ln(1 + ({layout.passages} - n{one} + 0.5::float8) / (n{one} + 0.5::float8))" for one in each
    )
    weights = ", ".join(f"{rarity} AS w{one}" for one, rarity in enumerate(rarities))
    score = " + ".join(f"w{one} * r{one}" for one in each)
    scale = _FREQUENT * (1 + _SATURATION)
    start, growth = 1 + _SATURATION * (1 - _LENGTH), _SATURATION * _LENGTH * layout.passages / layout.words
    query = (
        f"WITH matched AS MATERIALIZED (SELECT number, document, length, {ranks} "  # noqa: S608
        f"FROM passages_{layout.number} WHERE words @@ %s::tsquery), "
        f"weighed AS (SELECT {weights} FROM (SELECT {', '.join(counts)} FROM matched) AS counted) "
        f"SELECT number, {scale}::float8 * ({score}) / ({start}::float8 + {growth}::float8 * length) AS fit "
        f"FROM matched, weighed WHERE {condition} ORDER BY fit DESC, number LIMIT %s"
    )
    return query, [*(words_query([word]) for word in asked), words_query(asked), *filtered, limit]
