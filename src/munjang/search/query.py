"""Semantic, lexical and hybrid search of an index: one hit per document, with optional reranking."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from munjang.choices import Mode
from munjang.errors import InputError, InputTypeError, StoreError
from munjang.search.documents import Document, DocumentId, Hit
from munjang.search.filters import Filter, parse_filter
from munjang.search.lead import relative_leads
from munjang.search.stores.base import Found, Match, Reader
from munjang.search.text.analysis import Analyzer
from munjang.search.text.snippets import Snippet, make_snippet
from munjang.validation import (
    checked_choice,
    checked_count,
    checked_flag,
    checked_number,
    checked_text,
    shown_value,
)

if TYPE_CHECKING:
    from munjang.sentence.cross_encoder import CrossEncoder

__all__ = [
    "DEEPEST",
    "FUSIONS",
    "Fusion",
    "K",
    "Mode",
    "SearchOptions",
    "checked_query",
    "convex_combination",
    "fuse",
    "query_words",
    "reciprocal_rank_fusion",
    "run_search",
    "search_options",
]

Item = TypeVar("Item", bound=Hashable)

Fusion: TypeAlias = Literal["scores", "ranks"]
FUSIONS: tuple[str, ...] = get_args(Fusion)

K = 60  # the constant of the paper; the larger, the less the first ranks count


def reciprocal_rank_fusion(
    rankings: Mapping[str, Sequence[Item]], weights: Mapping[str, float], *, k: int = K
) -> list[tuple[Item, float]]:
    """Join rankings, best first: an item's score is the sum of ``weight / (k + rank)`` over the rankings.

    Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009. Ranks start at 1. Equal scores are ordered by the item's best rank in any ranking,
    then by the order of the rankings.
    """
    scores: dict[Item, float] = {}
    best: dict[Item, tuple[int, int]] = {}
    for order, (name, items) in enumerate(rankings.items()):
        weight = weights.get(name, 1.0)
        for rank, item in enumerate(items, 1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
            best[item] = min(best.get(item, (rank, order)), (rank, order))
    return sorted(scores.items(), key=lambda pair: (-pair[1], best[pair[0]]))


def convex_combination(
    rankings: Mapping[str, Sequence[tuple[Item, float]]],
    weights: Mapping[str, float],
    lowest: Mapping[str, float],
) -> list[tuple[Item, float]]:
    """Join scored rankings, best first: the weighted mean of an item's scores, each scaled to 0..1.

    In each ranking the best score becomes 1. The score that becomes 0 is the ranking's entry in ``lowest``,
    for scores with a known minimum, or else the last score of the ranking. An item missing from a ranking
    has the score 0 there. Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval", ACM
    TOIS 42(1), 2023; they find it better than rank fusion, which ignores the differences between scores. Ties
    as in `reciprocal_rank_fusion`.
    """
    total = sum(weights.get(name, 1.0) for name in rankings) or 1.0
    scores: dict[Item, float] = {}
    best: dict[Item, tuple[int, int]] = {}
    for order, (name, found) in enumerate(rankings.items()):
        if not found:
            continue
        high, low = found[0][1], lowest.get(name, found[-1][1])
        share = weights.get(name, 1.0) / total
        for rank, (item, score) in enumerate(found, 1):
            relative = (score - low) / (high - low) if high > low else 1.0
            scores[item] = scores.get(item, 0.0) + share * relative
            best[item] = min(best.get(item, (rank, order)), (rank, order))
    return sorted(scores.items(), key=lambda pair: (-pair[1], best[pair[0]]))


def fuse(
    fusion: str,
    rankings: Mapping[str, Sequence[tuple[Item, float]]],
    weights: Mapping[str, float],
    lowest: Mapping[str, float],
) -> list[tuple[Item, float]]:
    """Join rankings by their ``"scores"`` or by their ``"ranks"``."""
    if fusion == "scores":
        return convex_combination(rankings, weights, lowest)
    ranks = {name: [item for item, _ in found] for name, found in rankings.items()}
    return reciprocal_rank_fusion(ranks, weights)


SEMANTIC, LEXICAL, RERANK = "semantic", "lexical", "rerank"
_PARTS: Mapping[str, tuple[str, ...]] = {
    "hybrid": (SEMANTIC, LEXICAL),
    "semantic": (SEMANTIC,),
    "lexical": (LEXICAL,),
}
_LOWEST = {LEXICAL: 0.0}  # the minimum of BM25; the minimum similarity of a model is unknown
_LONGEST_QUERY = 20_000  # characters; a longer text is a document, not a query
_HEAVIEST = 1e9  # maximum weight; the sum of the weights must stay finite
_WORDS = 256  # maximum number of different words of a query
DEEPEST = 10_000  # maximum number of results in all pages together
# The minimum number of candidate passages of each part; it doubles with each doubling of offset + limit. It
# depends on nothing else, so that the pages of a result are consistent.
_DEPTH = 256
_PASSAGES_PER_DOCUMENT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The checked arguments of a search, without the query; see `Index.search`."""

    mode: str = "hybrid"
    limit: int = 10
    offset: int = 0
    where: Filter | None = None
    min_score: float | None = None
    weights: Mapping[str, float]
    fusion: str = "scores"
    rerank: CrossEncoder | None = None
    exact: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the search with a positive weight."""
        return tuple(part for part in _PARTS[self.mode] if self.weights[part] > 0)

    @property
    def wanted(self) -> int:
        """Number of best documents needed to return the page."""
        return self.offset + self.limit

    @property
    def depth(self) -> int:
        """Number of candidate passages of each part."""
        times = -(-self.wanted * _PASSAGES_PER_DOCUMENT // _DEPTH)
        return int(_DEPTH << (times - 1).bit_length())


def search_options(
    *,
    mode: str,
    limit: int,
    offset: int,
    filter: Mapping[str, Any] | None,  # noqa: A002 -- what users call it
    min_score: float | None,
    weights: Mapping[str, float] | None,
    fusion: str,
    rerank: CrossEncoder | None,
    exact: bool,
) -> SearchOptions:
    """Check the arguments of a search; raise `InputError` or `InputTypeError` for an invalid argument."""
    mode = checked_choice("mode", mode, get_args(Mode))
    fusion = checked_choice("fusion", fusion, FUSIONS)
    limit, offset = checked_count("limit", limit, 1), checked_count("offset", offset, 0)
    if limit + offset > DEEPEST:
        raise InputError(
            f"limit and offset must be at most {DEEPEST:,} together, got {shown_value(limit)} and "
            f"{shown_value(offset)}."
        )
    if min_score is not None:
        min_score = checked_number("min_score", min_score)
    _check_reranker(rerank)
    return SearchOptions(
        mode=mode,
        limit=limit,
        offset=offset,
        where=parse_filter(filter),
        min_score=min_score,
        weights=_weights(weights, mode),
        fusion=fusion,
        rerank=rerank,
        exact=checked_flag("exact", exact),
    )


def _check_reranker(rerank: object) -> None:
    if rerank is None:
        return
    from munjang.sentence.cross_encoder import CrossEncoder

    if not isinstance(rerank, CrossEncoder):
        raise InputTypeError(
            f"rerank must be an opened CrossEncoder, got {shown_value(rerank)}; open it with "
            "CrossEncoder(name)."
        )
    if rerank.num_labels != 1:
        raise InputError(f"rerank needs a model with one label, this one has {rerank.num_labels}.")


def _weights(given: Mapping[str, float] | None, mode: str) -> dict[str, float]:
    weights = {SEMANTIC: 1.0, LEXICAL: 1.0}
    if given is None:
        return weights
    if mode != "hybrid":
        raise InputError(f"weights go with mode='hybrid'; a {mode} search has only one part.")
    if not isinstance(given, Mapping):
        raise InputTypeError(f"weights must be like {weights}, got {shown_value(given)}.")
    for name, value in given.items():
        if name not in weights:
            raise InputError(f"weights must be like {weights}, got the name {shown_value(name)}.")
        weights[name] = checked_number(f"weights[{name!r}]", value, least=0, most=_HEAVIEST)
    if not any(weights[part] for part in _PARTS[mode]):
        raise InputError(f"With the weights {weights}, nothing is left of a {mode} search.")
    return weights


def checked_query(query: object) -> str:
    """Return a checked query; raise `InputTypeError` or `InputError` for an invalid query."""
    if isinstance(query, str) and len(query) > _LONGEST_QUERY:
        raise InputError(
            f"The query has {len(query):,} characters, more than {_LONGEST_QUERY:,}; look for a part of it."
        )
    return checked_text(query, "The query")


def query_words(query: str, analyzer: Analyzer) -> list[str]:
    """Return the distinct words of a query, at most 256."""
    return list(dict.fromkeys(analyzer.words(query)))[:_WORDS]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A candidate document with its best passage."""

    id: DocumentId
    place: Found
    score: float
    scores: Mapping[str, float]
    lead: float | None


def run_search(
    reader: Reader,
    analyzer: Analyzer,
    query: str,
    vector: NDArray[np.float32] | None,
    options: SearchOptions,
    *,
    cosine: bool,
) -> list[Hit]:
    """Return the hits of a query; ``vector`` is the query's vector ``[d]``, required for a semantic part.

    ``cosine`` is whether the similarity is cosine.
    """
    words = query_words(query, analyzer)
    candidates = _candidates(reader, words, vector, options, cosine=cosine)
    if options.rerank is not None:
        candidates = _reranked(reader, query, candidates, options)
    least = options.min_score
    good = [one for one in candidates if least is None or one.score >= least]
    page = good[options.offset : options.wanted]
    return list(_hits(reader, page, analyzer, set(words), options.offset + 1))


def _candidates(
    reader: Reader,
    words: list[str],
    vector: NDArray[np.float32] | None,
    options: SearchOptions,
    *,
    cosine: bool,
) -> list[_Candidate]:
    """Return the candidate documents, best first."""
    matches: dict[str, Sequence[Match]] = {}
    for part in options.parts:
        if part == SEMANTIC:
            assert vector is not None
            matches[part] = reader.semantic(vector, options.depth, options.where, exact=options.exact)
        else:
            matches[part] = reader.lexical(words, options.depth, options.where) if words else ()
    passages = sorted({match.passage for found in matches.values() for match in found})
    places = reader.find(passages)
    if missing := [passage for passage in passages if passage not in places]:
        raise _damaged(f"passage {missing[0]} belongs to no document")
    best = {part: _best_of_documents(found, places) for part, found in matches.items()}
    similar = best.get(SEMANTIC, {}) if cosine else {}
    leads = dict(zip(similar, relative_leads(list(similar.values())) or (), strict=False))
    fused = fuse(options.fusion, matches, options.weights, _LOWEST)
    shown: dict[DocumentId, int] = {}
    for passage, _ in fused:  # best first
        shown.setdefault(places[passage].document, passage)
    if len(best) == 1:
        ((part, single),) = best.items()
        ranking = list(single.items())
    else:
        listed = {part: list(found.items()) for part, found in best.items()}
        ranking = fuse(options.fusion, listed, options.weights, _LOWEST)
    return [
        _Candidate(
            number,
            places[shown[number]],
            score,
            {part: found[number] for part, found in best.items() if number in found},
            leads.get(number),
        )
        for number, score in ranking
    ]


def _best_of_documents(found: Sequence[Match], places: Mapping[int, Found]) -> dict[DocumentId, float]:
    """Return the documents of passages, best first, each with the score of its best passage."""
    best: dict[DocumentId, float] = {}
    for match in found:
        best.setdefault(places[match.passage].document, float(match.score))
    return best


def _reranked(
    reader: Reader, query: str, candidates: list[_Candidate], options: SearchOptions
) -> list[_Candidate]:
    """Return the first candidates sorted by a cross-encoder; equal scores keep their order (stable sort)."""
    assert options.rerank is not None
    some = candidates[: options.depth // _PASSAGES_PER_DOCUMENT]
    if not some:
        return []
    documents = reader.get([one.id for one in some])
    pairs = [(query, _passage(documents, one)[1]) for one in some]
    scores = cast("NDArray[np.float32]", options.rerank.predict(pairs))
    order = np.argsort(-scores, kind="stable")
    return [
        replace(some[i], score=float(scores[i]), scores={**some[i].scores, RERANK: float(scores[i])})
        for i in order
    ]


def _passage(documents: Mapping[DocumentId, Document], one: _Candidate) -> tuple[Document, str]:
    """Return a candidate's document and passage; raise `StoreError` if the index lacks them."""
    document, place = documents.get(one.id), one.place
    if document is None or place.field not in document.fields:
        raise _damaged(f"a passage of document {one.id!r} lies in a field that is missing")
    text = document.fields[place.field]
    if not 0 <= place.start <= place.end <= len(text):
        raise _damaged(f"a passage of document {one.id!r} lies outside its field")
    return document, text[place.start : place.end]


def _damaged(what: str) -> StoreError:
    return StoreError(f"The index is damaged: {what}; `munjang index check` reports what can be saved.")


def _hits(
    reader: Reader, page: Sequence[_Candidate], analyzer: Analyzer, words: set[str], first: int
) -> Iterator[Hit]:
    documents = reader.get([one.id for one in page])
    for rank, one in enumerate(page, first):
        document, text = _passage(documents, one)
        yield Hit(
            rank=rank,
            id=one.id,
            score=one.score,
            text=text,
            field=one.place.field,
            start=one.place.start,
            end=one.place.end,
            document=document,
            scores=one.scores,
            lead=one.lead,
            make_snippet=_snippet_maker(text, analyzer, words),
        )


def _snippet_maker(text: str, analyzer: Analyzer, words: set[str]) -> Callable[[], Snippet]:
    """Return a cached function that makes the snippet at its first call, since analysis takes time."""
    return cache(lambda: make_snippet(text, analyzer.spans(text) if words else (), words))
