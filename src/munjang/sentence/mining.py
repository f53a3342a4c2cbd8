"""Search among vectors: nearest neighbours, most similar pairs, communities.

Scores are computed block by block, for at most `_QUERY_BLOCK` x `_CORPUS_BLOCK` pairs at a time, and only
candidates for the result are kept. Chunk sizes and blocks change a result only by the rounding of a matrix
product: equal scores are ordered by the lower index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.errors import InputError, InputTypeError
from munjang.progress import tracked
from munjang.sentence.similarity import (
    FloatArray,
    ScoreFunction,
    as_matrix,
    check_same_width,
    cos_sim,
    dot_score,
    normalize_embeddings,
)
from munjang.validation import check_flags, checked_count

if TYPE_CHECKING:
    from collections.abc import Sequence

IndexArray: TypeAlias = NDArray[np.int64]


class Hit(TypedDict):
    """One result of a search."""

    corpus_id: int
    score: float


class Best:
    """The best columns of each row among the blocks seen so far: best first, then the lower column."""

    def __init__(self, rows: int, count: int) -> None:
        self.count = count
        self.seen = 0
        self.scores: FloatArray = np.empty((rows, 0), np.float32)
        self.columns: IndexArray = np.empty((rows, 0), np.int64)

    def add(self, scores: FloatArray, first_column: int) -> None:
        """Add the scores ``[rows, width]`` of the columns from ``first_column`` on."""
        self.seen += scores.shape[1]
        cells = np.flatnonzero(self._promising(scores))
        if not cells.size:
            return
        rows, columns = np.divmod(cells, scores.shape[1])
        new = _left_aligned(rows, scores.ravel()[cells], columns + first_column, len(scores))
        merged_scores = np.hstack([self.scores, new[0]])
        # A stable sort keeps equal scores in the order of columns: later blocks are further right.
        order = np.argsort(-merged_scores, axis=1, kind="stable")[:, : min(self.count, self.seen)]
        self.scores = np.take_along_axis(merged_scores, order, axis=1)
        self.columns = np.take_along_axis(np.hstack([self.columns, new[1]]), order, axis=1)

    def _promising(self, scores: FloatArray) -> NDArray[np.bool_]:
        """Mark the candidates for the best hits: after a few blocks, nearly none."""
        width = scores.shape[1]
        if self.scores.shape[1] == self.count:
            return scores > self.scores[:, -1:]
        if width <= self.count:
            return np.ones(scores.shape, np.bool_)
        return scores >= np.partition(scores, width - self.count, axis=1)[:, [width - self.count]]

    def hits(self) -> list[list[Hit]]:
        """Return the hits of each row."""
        return [
            [{"corpus_id": column, "score": score} for column, score in zip(columns, scores, strict=True)]
            for columns, scores in zip(self.columns.tolist(), self.scores.tolist(), strict=True)
        ]


def _left_aligned(
    rows: IndexArray, scores: FloatArray, columns: IndexArray, count: int
) -> tuple[FloatArray, IndexArray]:
    """Return values in order of their rows as a left-aligned matrix, padded with -inf."""
    lengths = np.bincount(rows, minlength=count)
    positions = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    spread_scores = np.full((count, lengths.max()), -np.inf, np.float32)
    spread_columns = np.full(spread_scores.shape, -1, np.int64)
    spread_scores[rows, positions] = scores
    spread_columns[rows, positions] = columns
    return spread_scores, spread_columns


class Pairs:
    """The best pairs among the neighbours seen so far, each pair once."""

    def __init__(self, vectors: int, limit: int) -> None:
        self.vectors = vectors
        self.limit = limit
        self.lowest = -np.inf  # the lowest score of a further pair
        self.keys: IndexArray = np.empty(0, np.int64)  # i * vectors + j, best first
        self.scores: FloatArray = np.empty(0, np.float32)
        self.waiting: list[tuple[IndexArray, FloatArray]] = []

    def add(self, best: Best, first_row: int) -> None:
        """Add the neighbours of the rows from ``first_row`` on."""
        rows = np.arange(first_row, first_row + len(best.columns))[:, None]
        others = best.columns != rows
        # Among many equal scores a vector may be missing from its own neighbours; then the last is dropped.
        others[others.all(axis=1), -1] = False
        others &= best.scores >= self.lowest
        keys = np.minimum(rows, best.columns) * self.vectors + np.maximum(rows, best.columns)
        self.waiting.append((keys[others], best.scores[others]))
        if sum(len(keys) for keys, _ in self.waiting) > self.limit:
            self._merge()

    def _merge(self) -> None:
        keys = np.concatenate([self.keys, *(keys for keys, _ in self.waiting)])
        scores = np.concatenate([self.scores, *(scores for _, scores in self.waiting)])
        self.waiting.clear()
        keys, first_seen = np.unique(keys, return_index=True)  # a pair is found from both of its ends
        scores = scores[first_seen]
        order = np.argsort(-scores, kind="stable")[: self.limit]
        self.keys, self.scores = keys[order], scores[order]
        if len(order) == self.limit:
            self.lowest = float(self.scores[-1])

    def result(self) -> list[list[float | int]]:
        """Return ``[score, i, j]``, best first."""
        self._merge()
        left, right = np.divmod(self.keys, max(1, self.vectors))
        return [
            [score, i, j]
            for score, i, j in zip(self.scores.tolist(), left.tolist(), right.tolist(), strict=True)
        ]


_QUERY_BLOCK, _CORPUS_BLOCK = 512, 8192  # 16 MiB of scores, large enough to keep all cores multiplying


class SentenceEncoder(Protocol):
    """The interface of a model for `paraphrase_mining`."""

    def encode(
        self,
        sentences: list[str],
        /,
        *,
        prompt_name: str | None,
        prompt: str | None,
        batch_size: int,
        show_progress_bar: bool,
        truncate_dim: int | None,
    ) -> Any:
        """Encode texts to vectors ``[n, d]``."""


# Search


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: ScoreFunction = cos_sim,
) -> list[list[Hit]]:
    """Find the nearest vectors of the corpus for every query.

    ``query_embeddings`` is ``[n, d]`` or one vector ``[d]``, ``corpus_embeddings`` is ``[m, d]``. At most
    ``query_chunk_size`` x ``corpus_chunk_size`` pairs are scored at a time, by a ``score_function`` that
    turns ``[n, d], [m, d]`` into ``[n, m]``, higher for nearer. Each query gets a list of at most ``top_k``
    hits, the best first, of equal scores the lower ``corpus_id``.

    Raises ``InputError`` when shapes do not fit, a size is below 1, a vector is not of finite numbers or a
    score is NaN; ``InputTypeError`` when the vectors are not numbers or a size is not a whole number.
    """
    caller = "semantic_search"
    queries = _finite_matrix(query_embeddings, "query_embeddings", caller)
    corpus = _finite_matrix(corpus_embeddings, "corpus_embeddings", caller)
    check_same_width(queries, corpus, caller)
    top_k = checked_count("top_k", top_k)
    rows, columns = _block_sizes(query_chunk_size, corpus_chunk_size)
    blocks = _nearest(queries, corpus, top_k, rows, columns, score_function)
    return [hits for best in blocks for hits in best.hits()]


def _nearest(
    queries: FloatArray,
    corpus: FloatArray,
    count: int,
    rows: int,
    columns: int,
    score_function: ScoreFunction,
) -> list[Best]:
    """Find the ``count`` best of the corpus for blocks of ``rows`` queries each."""
    normalize = score_function is cos_sim  # once per block, not once per pair of blocks
    if normalize:
        queries, score_function = normalize_embeddings(queries), dot_score
    blocks = [queries[start : start + rows] for start in range(0, len(queries), rows)]
    bests = [Best(len(block), count) for block in blocks]
    for start in range(0, len(corpus), columns):
        documents = corpus[start : start + columns]
        if normalize:
            documents = normalize_embeddings(documents)
        for block, best in zip(blocks, bests, strict=True):
            best.add(_scores(score_function, block, documents), start)
    return bests


def _scores(score_function: ScoreFunction, queries: FloatArray, corpus: FloatArray) -> FloatArray:
    if not callable(score_function):
        raise InputTypeError(f"score_function must be a function, got {score_function!r}")
    scores = as_matrix(score_function(queries, corpus), "score_function")
    if scores.shape != (len(queries), len(corpus)):
        wanted = (len(queries), len(corpus))
        raise InputError(f"score_function must return scores of shape {wanted}, got {scores.shape}")
    if np.isnan(scores.min()):
        raise InputError("score_function returned NaN; scores must be numbers that can be ordered")
    return scores


# Pairs


def paraphrase_mining(
    model: SentenceEncoder,
    sentences: Sequence[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """Find the most similar pairs among sentences.

    The model encodes ``batch_size`` sentences at a time, with a ``prompt`` (or its prompt
    named ``prompt_name``) before each, to ``truncate_dim`` components if set. The other arguments, the
    returned ``[score, i, j]`` and the errors are those of `paraphrase_mining_embeddings`; a single string
    instead of a list is an ``InputTypeError``. The progress bar is on standard error.
    """
    if isinstance(sentences, str | bytes | Mapping) or not isinstance(sentences, Iterable):
        raise InputTypeError(
            f"paraphrase_mining needs a list of sentences, got one {type(sentences).__name__}"
        )
    check_flags(show_progress_bar=show_progress_bar)
    embeddings = model.encode(
        list(sentences),
        prompt_name=prompt_name,
        prompt=prompt,
        batch_size=batch_size,
        show_progress_bar=show_progress_bar,
        truncate_dim=truncate_dim,
    )
    return paraphrase_mining_embeddings(
        embeddings,
        query_chunk_size,
        corpus_chunk_size,
        max_pairs,
        top_k,
        score_function,
        show_progress_bar=show_progress_bar,
    )


def paraphrase_mining_embeddings(
    embeddings: ArrayLike,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
    *,
    show_progress_bar: bool = False,
) -> list[list[float | int]]:
    """Find the most similar pairs among vectors ``[n, d]``, from the ``top_k`` neighbours of each vector.

    At most ``query_chunk_size`` x ``corpus_chunk_size`` pairs are scored at a time, by a ``score_function``
    that turns ``[n, d], [m, d]`` into ``[n, m]``, higher for more similar, and must be symmetric. Returns at
    most ``max_pairs`` lists ``[score, i, j]`` with i < j, the most similar first, equal scores by the lower
    i, then j. ``show_progress_bar`` shows a progress bar on standard error.

    Raises ``InputError`` when a size is below 1, a vector is not of finite numbers or a score is NaN;
    ``InputTypeError`` when the vectors are not numbers or a size is not a whole number.
    """
    caller = "paraphrase_mining"
    check_flags(show_progress_bar=show_progress_bar)
    vectors = _finite_matrix(embeddings, "embeddings", caller)
    top_k = checked_count("top_k", top_k)
    rows, columns = _block_sizes(query_chunk_size, corpus_chunk_size)
    rows = min(rows, max(1, _QUERY_BLOCK * _CORPUS_BLOCK // top_k))  # a block's neighbours take memory, too
    pairs = Pairs(len(vectors), checked_count("max_pairs", max_pairs))
    if score_function is cos_sim:
        vectors, score_function = normalize_embeddings(vectors), dot_score
    with tracked(show_progress_bar, len(vectors), "Comparing sentences") as advance:
        for start in range(0, len(vectors), rows):
            block = vectors[start : start + rows]
            # One more neighbour than requested: a vector is its own nearest neighbour.
            (best,) = _nearest(block, vectors, top_k + 1, rows, columns, score_function)
            pairs.add(best, start)
            advance(len(block))
    return pairs.result()


# Communities


def community_detection(
    embeddings: ArrayLike,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Find communities of vectors ``[n, d]``: groups around a common centre.

    A vector is a centre if at least ``min_community_size`` vectors, itself included, have a cosine of
    ``threshold`` or more with it. Larger communities come first; a vector belongs to the first that contains
    it. Each community is a list of indices: the centre, then the others, nearest first. At most
    ``batch_size`` vectors are compared at a time; ``show_progress_bar`` shows a progress bar on standard
    error.

    Raises ``InputError`` when a size is below 1 or a vector is not of finite numbers, ``InputTypeError`` when
    the vectors are not numbers or a size is not a whole number.
    """
    caller = "community_detection"
    vectors = normalize_embeddings(_finite_matrix(embeddings, "embeddings", caller))
    smallest = checked_count("min_community_size", min_community_size)
    rows = min(checked_count("batch_size", batch_size), _QUERY_BLOCK)
    check_flags(show_progress_bar=show_progress_bar)
    _check_threshold(threshold, caller)
    least = np.float32(threshold)
    sizes = np.empty(len(vectors), np.int64)
    with tracked(show_progress_bar, len(vectors), "Finding communities") as advance:
        for start in range(0, len(vectors), rows):
            block = vectors[start : start + rows]
            sizes[start : start + rows] = _neighbourhood_sizes(block, vectors, least)
            advance(len(block))
    largest_first = _candidates(sizes, smallest)
    return sorted(_communities(vectors, largest_first, least, smallest), key=len, reverse=True)


def _neighbourhood_sizes(some: FloatArray, vectors: FloatArray, least: np.float32) -> IndexArray:
    sizes = np.zeros(len(some), np.int64)
    for start in range(0, len(vectors), _CORPUS_BLOCK):
        close = dot_score(some, vectors[start : start + _CORPUS_BLOCK]) >= least
        sizes += np.count_nonzero(close, axis=1)
    return sizes


def _candidates(sizes: IndexArray, smallest: int) -> IndexArray:
    order = np.argsort(-sizes, kind="stable")
    return order[sizes[order] >= smallest]


def _communities(
    vectors: FloatArray, centres: IndexArray, least: np.float32, smallest: int
) -> Iterable[list[int]]:
    """Yield each centre that is still free the free vectors around it.

    The scores are computed a second time here: where many vectors are alike, keeping all neighbourhoods from
    the first time would take memory in the square of their number.
    """
    taken = np.zeros(len(vectors), np.bool_)
    step = max(1, _QUERY_BLOCK * _CORPUS_BLOCK // max(1, len(vectors)))
    for start in range(0, len(centres), step):
        free = centres[start : start + step]
        free = free[~taken[free]]
        for centre, scores in zip(free.tolist(), dot_score(vectors[free], vectors), strict=True):
            members = np.flatnonzero((scores >= least) & ~taken)
            if taken[centre] or len(members) < smallest:
                continue
            members = members[np.argsort(-scores[members], kind="stable")]
            community = [centre, *members[members != centre].tolist()]
            taken[community] = True
            yield community


# Helpers of all three


def _finite_matrix(value: ArrayLike, name: str, caller: str) -> FloatArray:
    """Read a matrix; an InputError names the first row that holds NaN or infinity."""
    vectors = as_matrix(value, caller)
    with np.errstate(all="ignore"):
        suspicious = np.flatnonzero(~np.isfinite(vectors.sum(axis=1)))  # finite rows may overflow, too
    for row in suspicious.tolist():
        wrong = vectors[row][~np.isfinite(vectors[row])]
        if wrong.size:
            raise InputError(f"{caller} needs finite numbers, but row {row} of {name} holds {wrong[0]}")
    return vectors


def _check_threshold(value: Any, caller: str) -> None:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise InputTypeError(f"{caller} needs a number for threshold, got {value!r}")
    if not -1 <= value <= 1:  # type: ignore[operator] # also where it is NaN
        raise InputError(f"{caller} needs a threshold between -1 and 1, which cosines are, got {value}")


def _block_sizes(query_chunk_size: int, corpus_chunk_size: int) -> tuple[int, int]:
    rows = checked_count("query_chunk_size", query_chunk_size)
    columns = checked_count("corpus_chunk_size", corpus_chunk_size)
    return min(rows, _QUERY_BLOCK), min(columns, _CORPUS_BLOCK)
