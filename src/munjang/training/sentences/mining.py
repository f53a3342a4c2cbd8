"""Mining of hard negatives: wrong texts that a model scores as high as the answer (arXiv:2407.15831)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from munjang.data.examples import Contrast
from munjang.errors import InputError, InputTypeError
from munjang.progress import track
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.mining import semantic_search
from munjang.sentence.similarity import SimilarityFunction
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization import nfc
from munjang.training.options import MiningTask
from munjang.validation import check_instance


@dataclass(frozen=True, slots=True)
class MiningTexts:
    """The distinct anchors and texts; ``positives`` and ``own`` are indices into the corpus."""

    queries: list[str]
    corpus: list[str]
    positives: list[list[int]]  # of each query
    own: list[int | None]  # index of the query's own text
    most: int  # the largest number of pairs with the same anchor

    @classmethod
    def of(cls, pairs: Sequence[Contrast | tuple[str, str]], corpus: Sequence[str] | None) -> MiningTexts:
        """Group pairs with equal anchors, and deduplicate the texts by their NFC form."""
        if not pairs:
            raise InputError("There are no pairs to find negatives for.")
        if isinstance(corpus, str):
            raise InputTypeError("corpus must be a list of texts, got one text.")
        both = [_read_pair(pair, index) for index, pair in enumerate(pairs)]
        indices: dict[str, int] = {}
        texts: list[str] = []
        for text in [*(corpus or ()), *(positive for _, positive in both)]:
            if indices.setdefault(nfc(text), len(texts)) == len(texts):
                texts.append(text)
        grouped: dict[str, list[int]] = {}
        for anchor, positive in both:
            own = grouped.setdefault(anchor, [])
            if (index := indices[nfc(positive)]) not in own:
                own.append(index)
        return cls(
            list(grouped),
            texts,
            list(grouped.values()),
            [indices.get(nfc(anchor)) for anchor in grouped],
            max(Counter(anchor for anchor, _ in both).values()),
        )

    def contrasts(self, query: int, negatives: NDArray[np.intp], *, together: bool) -> Iterator[Contrast]:
        """Yield the contrasts of a query with its negatives, for each of its positives."""
        anchor = self.queries[query]
        texts = tuple(self.corpus[index] for index in negatives.tolist())
        for positive in self.positives[query]:
            for row in [texts] if together else [(text,) for text in texts]:
                yield Contrast(anchor, self.corpus[positive], row)


def _read_pair(pair: Contrast | tuple[str, str], index: int) -> tuple[str, str]:
    anchor_positive = (pair.anchor, pair.positive) if isinstance(pair, Contrast) else tuple(pair)
    if len(anchor_positive) != 2 or not all(isinstance(text, str) for text in anchor_positive):
        raise InputTypeError(f"Pair {index} must be an anchor and a positive, got {pair!r}.")
    return anchor_positive[0], anchor_positive[1]


@dataclass(frozen=True, slots=True)
class MiningRules:
    """The rules by which candidates are accepted as negatives.

    Attributes:
        task: the options that state the limits.
        last: the number of nearest texts that are candidates.
        depth: the number of texts to retrieve, including positives.
    """

    task: MiningTask
    last: int
    depth: int

    @classmethod
    def of(cls, task: MiningTask, most: int, *, reranked: bool) -> MiningRules:
        """Return the rules of checked options; an anchor has at most ``most`` positives.

        Raises `InputError` for a range with too few candidates.
        """
        last = task.range_max
        if last is None:
            # Without a cross-encoder the hits are sorted by score, so min_score alone refuses only the tail.
            refuses = judges(task if reranked else replace(task, min_score=None))
            last = task.range_min + task.num_negatives * (10 if refuses else 1) + most
        if last - task.range_min < task.num_negatives:
            raise InputError(
                f"range_min={task.range_min} and range_max={last} leave {max(0, last - task.range_min)} "
                f"candidates, too few for num_negatives={task.num_negatives}."
            )
        return cls(task, last, last + most)

    def kept(self, scores: NDArray[np.float32], positive: np.float32) -> NDArray[np.bool_]:
        """Return a mask of the candidates with accepted scores; ``positive`` is the lowest positive score."""
        kept = np.ones(scores.shape, dtype=np.bool_)
        if self.task.absolute_margin is not None:
            kept &= scores + np.float32(self.task.absolute_margin) <= positive
        if self.task.relative_margin is not None:
            kept &= scores <= positive - abs(positive) * np.float32(self.task.relative_margin)
        if self.task.max_score is not None:
            kept &= scores <= np.float32(self.task.max_score)
        if self.task.min_score is not None:
            kept &= scores >= np.float32(self.task.min_score)
        return kept


def judges(task: MiningTask) -> bool:
    """Return whether a rule depends on scores."""
    limits = (task.max_score, task.min_score, task.absolute_margin, task.relative_margin)
    return any(limit is not None for limit in limits)


_QUERIES_AT_ONCE = 256


def mine_hard_negatives(
    model: SentenceTransformer,
    pairs: Sequence[Contrast | tuple[str, str]],
    corpus: Sequence[str] | None = None,
    *,
    cross_encoder: CrossEncoder | None = None,
    task: MiningTask = MiningTask(),
    show_progress_bar: bool | None = None,
) -> list[Contrast]:
    """Return contrasts with hard negatives: for each anchor, the most similar texts that are not positives.

    Pairs with equal anchors are grouped: a positive of any pair of the group is not used as a negative for
    the group, and neither is the anchor's own text. Negatives that the pairs already have are ignored.

    Args:
        model: retrieves the candidates, by the similarity function that its files name.
        pairs: an anchor and a positive each.
        corpus: texts in which negatives are searched, in addition to the positives.
        cross_encoder: rescores the candidates, if there is a score limit or a margin.
        task: the options of mining.
        show_progress_bar: show the progress on standard error.

    Raises `InputError` if there are no pairs, if ranges leave too few candidates, or if the cross-encoder has
    several labels; `InputTypeError` for a value that is not a pair.
    """
    check_instance("task", task, MiningTask)
    if cross_encoder is not None and cross_encoder.num_labels != 1:
        raise InputError(f"A cross-encoder with one label is needed, this has {cross_encoder.num_labels}.")
    shown = bool(show_progress_bar)
    texts = MiningTexts.of(pairs, corpus)
    rules = MiningRules.of(task, texts.most, reranked=cross_encoder is not None)
    queries = model.encode_query(
        texts.queries,
        task.query_prompt_name,
        task.query_prompt,
        show_progress_bar=shown,
        normalize_embeddings=True,
    )
    documents = model.encode_document(
        texts.corpus,
        task.corpus_prompt_name,
        task.corpus_prompt,
        show_progress_bar=shown,
        normalize_embeddings=True,
    )
    scored = _Scores(texts, model.similarity_fn_name, cross_encoder if judges(task) else None)
    rng = np.random.default_rng(task.seed) if task.sampling_strategy == "random" else None
    together = task.output_format == "n-tuple"
    contrasts: list[Contrast] = []
    with track(shown, len(texts.queries), "Mining negatives") as advance:
        for start in range(0, len(texts.queries), _QUERIES_AT_ONCE):
            block = range(start, min(start + _QUERIES_AT_ONCE, len(texts.queries)))
            for query, candidates in zip(block, scored(queries, documents, block, rules), strict=True):
                chosen = _sampled(candidates, task.num_negatives, rng)
                if len(chosen) == task.num_negatives or not together:
                    contrasts += texts.contrasts(query, chosen, together=together)
            advance(len(block))
    return contrasts


class _Scores:
    """Retrieves and scores the candidates of queries."""

    def __init__(self, texts: MiningTexts, similarity: str, cross_encoder: CrossEncoder | None) -> None:
        self._texts = texts
        # All vectors have length 1, so the cosine equals the dot product; normalising again is not needed.
        name = SimilarityFunction.DOT_PRODUCT if similarity == "cosine" else similarity
        self._all = SimilarityFunction.to_similarity_fn(name)
        self._pairwise = SimilarityFunction.to_similarity_pairwise_fn(name)
        self._judge = cross_encoder

    def __call__(
        self,
        queries: NDArray[np.float32],
        documents: NDArray[np.float32],
        some: range,
        rules: MiningRules,
    ) -> Iterator[NDArray[np.intp]]:
        """Yield for each query the corpus indices of its accepted candidates, nearest first."""
        rankings = semantic_search(
            queries[some.start : some.stop], documents, top_k=rules.depth + 1, score_function=self._all
        )
        for query, hits in zip(some, rankings, strict=True):
            itself = self._texts.own[query]
            row = [hit for hit in hits if hit["corpus_id"] != itself][: rules.depth]
            indices = np.array([hit["corpus_id"] for hit in row], dtype=np.intp)
            positives = self._texts.positives[query]
            if self._judge is None:
                scores = np.array([hit["score"] for hit in row], dtype=np.float32)
                pairs = np.repeat(queries[[query]], len(positives), axis=0), documents[positives]
                own = np.asarray(self._pairwise(*pairs), dtype=np.float32)
            else:
                scores, own = self._judged(query, indices), self._judged(query, positives)
            kept = ~np.isin(indices, positives) & rules.kept(scores, own.min())
            order = np.argsort(-scores[kept], kind="stable")
            yield indices[kept][order][rules.task.range_min : rules.last]

    def _judged(self, query: int, indices: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
        assert self._judge is not None
        texts = [(self._texts.queries[query], self._texts.corpus[index]) for index in indices]
        return np.asarray(self._judge.predict(texts), dtype=np.float32)


def _sampled(candidates: NDArray[np.intp], count: int, rng: np.random.Generator | None) -> NDArray[np.intp]:
    if rng is None or len(candidates) <= count:
        return candidates[:count]
    return candidates[np.sort(rng.choice(len(candidates), count, replace=False))]
