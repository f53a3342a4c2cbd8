"""Semantic, lexical and hybrid search of an index: one hit per document, with optional reranking."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from munjang.choices import Mode
from munjang.errors import InputError, InputTypeError, StoreError
from munjang.search.documents import Document, DocumentId, Hit
from munjang.search.filters import Filter, parse_filter
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

Item = TypeVar("Item", bound=Hashable)

Fusion: TypeAlias = Literal["scores", "ranks"]
FUSIONS: tuple[str, ...] = get_args(Fusion)

K = 60  # the constant of the paper; a larger constant reduces the weight of the first ranks


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
    for order, (name, items) in enumerate(rankings.items()):
        if not items:
            continue
        high, low = items[0][1], lowest.get(name, items[-1][1])
        share = weights.get(name, 1.0) / total
        for rank, (item, score) in enumerate(items, 1):
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
    ranks = {name: [item for item, _ in items] for name, items in rankings.items()}
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


class SearchArguments(TypedDict, total=False):
    """Optional arguments of `Index.search` and `Index.search_batch`.

    Attributes:
        mode: ``"semantic"`` by embedding (the score is the similarity), ``"lexical"`` by word (BM25), or
            ``"hybrid"`` (default), the fusion of both.
        limit: maximum number of documents, by default 10.
        offset: number of best documents to skip, for the next page; by default 0.
        filter: conditions on metadata, as ``{"lang": "ko", "year": {"gte": 2020}}``; see
            `munjang.search.filters`.
        min_score: drop hits whose ``score`` is lower; a hybrid score is relative to the best hit.
        weights: of the two parts in hybrid mode, by default ``{"semantic": 1, "lexical": 1}``.
        fusion: ``"scores"`` (default): weighted mean of scores scaled to 0..1 (convex combination);
            ``"ranks"``: sum of reciprocal ranks, at most about 0.033 (reciprocal rank fusion).
        rerank: a cross-encoder that scores the query with each of the 64 best passages (more for later
            pages) and reorders them; its scores replace the other scores.
        exact: compare with every vector, even if there is an approximate index; by default false.
    """

    mode: Mode
    limit: int
    offset: int
    filter: Mapping[str, Any] | None
    min_score: float | None
    weights: Mapping[str, float] | None
    fusion: Fusion
    rerank: CrossEncoder | None
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The checked `SearchArguments` of a search, with defaults.

    Raises `InputError` or `InputTypeError` for an invalid argument.

    Attributes:
        where: the parsed filter.
        shares: the weights of both parts.
    """

    mode: Mode = "hybrid"
    limit: int = 10
    offset: int = 0
    filter: Mapping[str, Any] | None = None
    min_score: float | None = None
    weights: Mapping[str, float] | None = None
    fusion: Fusion = "scores"
    rerank: CrossEncoder | None = None
    exact: bool = False
    where: Filter | None = field(init=False)
    shares: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        mode = checked_choice("mode", self.mode, get_args(Mode))
        limit, offset = checked_count("limit", self.limit, 1), checked_count("offset", self.offset, 0)
        if limit + offset > DEEPEST:
            raise InputError(
                f"limit and offset must be at most {DEEPEST:,} together, got {shown_value(self.limit)} and "
                f"{shown_value(self.offset)}."
            )
        _check_reranker(self.rerank)
        checked = {
            "mode": mode,
            "fusion": checked_choice("fusion", self.fusion, FUSIONS),
            "limit": limit,
            "offset": offset,
            "min_score": None if self.min_score is None else checked_number("min_score", self.min_score),
            "exact": checked_flag("exact", self.exact),
            "where": parse_filter(self.filter),
            "shares": _shares(self.weights, mode),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the search with a positive weight."""
        return tuple(part for part in _PARTS[self.mode] if self.shares[part] > 0)

    @property
    def end(self) -> int:
        """Number of best documents needed to return the page."""
        return self.offset + self.limit

    @property
    def depth(self) -> int:
        """Number of candidate passages of each part."""
        times = -(-self.end * _PASSAGES_PER_DOCUMENT // _DEPTH)
        return int(_DEPTH << (times - 1).bit_length())


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


def _shares(weights: Mapping[str, float] | None, mode: str) -> dict[str, float]:
    shares = {SEMANTIC: 1.0, LEXICAL: 1.0}
    if weights is None:
        return shares
    if mode != "hybrid":
        raise InputError(f"weights need mode='hybrid'; a {mode} search has only one part.")
    if not isinstance(weights, Mapping):
        raise InputTypeError(f"weights must be like {shares}, got {shown_value(weights)}.")
    for name, value in weights.items():
        if name not in shares:
            raise InputError(f"weights must be like {shares}, got the name {shown_value(name)}.")
        shares[name] = checked_number(f"weights[{name!r}]", value, least=0, most=_HEAVIEST)
    if not any(shares.values()):
        raise InputError(f"weights must have a positive value, got {shares}.")
    return shares


def checked_query(query: object) -> str:
    """Return a checked query; raise `InputTypeError` or `InputError` for an invalid query."""
    if isinstance(query, str) and len(query) > _LONGEST_QUERY:
        raise InputError(
            f"The query has {len(query):,} characters, more than {_LONGEST_QUERY:,}; search for a part of it."
        )
    return checked_text(query, "The query")


def query_words(query: str, analyzer: Analyzer) -> list[str]:
    """Return the distinct words of a query, at most 256."""
    return list(dict.fromkeys(analyzer.words(query)))[:_WORDS]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A candidate document with its best passage."""

    id: DocumentId
    passage: Found
    score: float
    scores: Mapping[str, float]
    lead: float | None


def run_search(
    reader: Reader,
    analyzer: Analyzer,
    query: str,
    vector: NDArray[np.float32] | None,
    options: SearchOptions,
) -> list[Hit]:
    """Return the hits of a query; ``vector`` is the query's vector ``[d]``, required for a semantic part."""
    words = query_words(query, analyzer)
    candidates = _candidates(reader, words, vector, options)
    if options.rerank is not None:
        candidates = _reranked(reader, query, candidates, options)
    if (least := options.min_score) is not None:
        candidates = [candidate for candidate in candidates if candidate.score >= least]
    page = candidates[options.offset : options.end]
    return list(_hits(reader, page, analyzer, set(words), options.offset + 1))


def _candidates(
    reader: Reader,
    words: list[str],
    vector: NDArray[np.float32] | None,
    options: SearchOptions,
) -> list[_Candidate]:
    """Return the candidate documents, best first."""
    matches: dict[str, Sequence[Match]] = {}
    for part in options.parts:
        if part == SEMANTIC:
            assert vector is not None
            matches[part] = reader.semantic(vector, options.depth, options.where, exact=options.exact)
        else:
            matches[part] = reader.lexical(words, options.depth, options.where) if words else ()
    passages = sorted({match.passage for ranking in matches.values() for match in ranking})
    locations = reader.find(passages)
    if missing := [passage for passage in passages if passage not in locations]:
        raise _damaged(f"passage {missing[0]} belongs to no document")
    best = {part: _best_of_documents(ranking, locations) for part, ranking in matches.items()}
    cosine = reader.settings is not None and reader.settings.similarity == "cosine"
    cosines = best.get(SEMANTIC, {}) if cosine else {}
    leads = dict(zip(cosines, relative_leads(list(cosines.values())) or (), strict=False))
    best_passages: dict[DocumentId, Found] = {}
    for passage, _ in fuse(options.fusion, matches, options.shares, _LOWEST):  # best first
        best_passages.setdefault(locations[passage].document, locations[passage])
    listed = {part: list(scores.items()) for part, scores in best.items()}
    # Also fused with a weight of 0, so that the scores of hybrid mode have the same scale with any weights.
    hybrid = options.mode == "hybrid"
    ranking = fuse(options.fusion, listed, options.shares, _LOWEST) if hybrid else listed[options.parts[0]]
    return [
        _Candidate(
            document,
            best_passages[document],
            score,
            {part: scores[document] for part, scores in best.items() if document in scores},
            leads.get(document),
        )
        for document, score in ranking
    ]


def _best_of_documents(matches: Sequence[Match], locations: Mapping[int, Found]) -> dict[DocumentId, float]:
    """Return the documents of passages, best first, each with the score of its best passage."""
    best: dict[DocumentId, float] = {}
    for match in matches:
        best.setdefault(locations[match.passage].document, float(match.score))
    return best


def _reranked(
    reader: Reader, query: str, candidates: list[_Candidate], options: SearchOptions
) -> list[_Candidate]:
    """Return the first candidates sorted by a cross-encoder; equal scores keep their order (stable sort)."""
    assert options.rerank is not None
    candidates = candidates[: options.depth // _PASSAGES_PER_DOCUMENT]
    if not candidates:
        return []
    documents = reader.get([candidate.id for candidate in candidates])
    pairs = [(query, _passage_text(documents, candidate)[1]) for candidate in candidates]
    scores = cast("NDArray[np.float32]", options.rerank.predict(pairs)).tolist()
    reranked = [
        replace(candidate, score=score, scores={**candidate.scores, RERANK: score})
        for candidate, score in zip(candidates, scores, strict=True)
    ]
    return sorted(reranked, key=lambda candidate: -candidate.score)


def _passage_text(documents: Mapping[DocumentId, Document], candidate: _Candidate) -> tuple[Document, str]:
    """Return a candidate's document and passage; raise `StoreError` if the index lacks them."""
    document, passage = documents.get(candidate.id), candidate.passage
    if document is None or passage.field not in document.fields:
        raise _damaged(f"a passage of document {candidate.id!r} is in a field that is missing")
    text = document.fields[passage.field]
    if not 0 <= passage.start <= passage.end <= len(text):
        raise _damaged(f"a passage of document {candidate.id!r} is outside its field")
    return document, text[passage.start : passage.end]


def _damaged(problem: str) -> StoreError:
    return StoreError(f"The index is damaged: {problem}; `munjang index check` reports what can be saved.")


def _hits(
    reader: Reader, page: Sequence[_Candidate], analyzer: Analyzer, words: set[str], first: int
) -> Iterator[Hit]:
    documents = reader.get([candidate.id for candidate in page])
    for rank, candidate in enumerate(page, first):
        document, text = _passage_text(documents, candidate)
        yield Hit(
            rank=rank,
            id=candidate.id,
            score=candidate.score,
            text=text,
            field=candidate.passage.field,
            start=candidate.passage.start,
            end=candidate.passage.end,
            document=document,
            scores=candidate.scores,
            lead=candidate.lead,
            make_snippet=_snippet_maker(text, analyzer, words),
        )


def _snippet_maker(text: str, analyzer: Analyzer, words: set[str]) -> Callable[[], Snippet]:
    """Return a cached function that makes the snippet at its first call, since analysis takes time."""
    return cache(lambda: make_snippet(text, analyzer.spans(text) if words else (), words))


# Leads: how far the similarity of a hit exceeds those of the query's other near neighbours

BACKGROUND = slice(5, 25)  # ranks of the neighbours that count as background: similar, but not answers
_FEWEST = 11  # minimum number of documents for a meaningful background
# A relative lead below the threshold shows that no document matches well. Measured with
# multilingual-e5-small and, for English, all-MiniLM-L6-v2. Questions that no document answers: 78 to 91% are
# below the threshold, in an index of everyday questions with their answers and of KorQuAD's paragraphs; 56%
# with MiniLM in an index of answers alone. Questions that a document answers: 3% are below in KorQuAD's
# paragraphs, none in questions with answers, and 3% (MiniLM) to 34% (e5, Korean) in short answers alone.
FITTING = 0.15


def surroundings(similarities: Sequence[float]) -> float | None:
    """Return the mean of the 6th to 25th highest similarity; of all but the highest if there are fewer.

    ``similarities`` include the best one, in any order; NaN is ignored. ``None`` if no other is left.
    """
    ordered = sorted((value for value in similarities if not math.isnan(value)), reverse=True)
    background = ordered[BACKGROUND] or ordered[1:]
    return sum(background) / len(background) if background else None


def lead(similarity: float, others: Sequence[float]) -> float:
    """Return by how much a similarity exceeds its `surroundings`; the similarity itself without surroundings.

    The cosines of a model lie in a narrow range, which is higher for some queries and languages than for
    others; so the difference from the query's surroundings is more informative than the cosine. Never
    negative for the highest similarity.
    """
    background = surroundings(others)
    return similarity if background is None else similarity - background


def relative_leads(similarities: Sequence[float]) -> list[float] | None:
    """Return ``(cosine - m) / (1 - m)`` for each cosine, with ``m`` the mean of the surroundings.

    Unlike cosines and leads, these shares are comparable between models. ``None`` with too few cosines.
    """
    background = surroundings(similarities) if len(similarities) >= _FEWEST else None
    if background is None or background >= 1:
        return None
    return [(value - background) / (1 - background) for value in similarities]
