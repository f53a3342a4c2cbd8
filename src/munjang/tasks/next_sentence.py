"""Next-sentence prediction: does one sentence follow another, and which order of several reads best."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Literal, TypeAlias, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.models.program import LOGITS
from munjang.models.registry import NEXT_SENTENCE
from munjang.runtime.notices import OnTruncation, TruncationReport
from munjang.tasks.loading import Loaded, ModelOptions, load

__all__ = ["EXACT", "NextSentence", "NextSentencePrediction", "Ordering", "best_order"]

EXACT = 8  # sentences; up to this number every order is scored


def best_order(gain: NDArray[np.float64]) -> tuple[list[int], float]:
    """Find the order with the greatest sum of ``gain[i, j]`` over neighbours i, j; ``gain`` is ``[n, n]``.

    Exact up to `EXACT` (the dynamic programme of Held and Karp, 1962); beyond, the best of the greedy orders
    from every start.
    """
    n = len(gain)
    if n < 2:
        return list(range(n)), 0.0
    if n <= EXACT:
        return _exact(gain.tolist())
    return max((_greedy(gain, start) for start in range(n)), key=lambda found: found[1])


def _exact(gain: list[list[float]]) -> tuple[list[int], float]:
    n = len(gain)
    # (which are used, as bits; which is the last) -> the best sum, and which stands before the last
    best: dict[tuple[int, int], tuple[float, int]] = {(1 << i, i): (0.0, -1) for i in range(n)}
    for used in range(1, 1 << n):  # a set comes after each of its subsets
        for last in range(n):
            if (used, last) not in best:
                continue
            so_far = best[used, last][0]
            for then in range(n):
                if used >> then & 1:
                    continue
                key, total = (used | 1 << then, then), so_far + gain[last][then]
                if key not in best or total > best[key][0]:
                    best[key] = total, last
    everything = (1 << n) - 1
    last = max(range(n), key=lambda i: best[everything, i][0])
    return _walked_back(best, everything, last), best[everything, last][0]


def _walked_back(best: dict[tuple[int, int], tuple[float, int]], used: int, last: int) -> list[int]:
    order: list[int] = []
    while last >= 0:
        order.append(last)
        used, last = used & ~(1 << last), best[used, last][1]
    return order[::-1]


def _greedy(gain: NDArray[np.float64], start: int) -> tuple[list[int], float]:
    order, total = [start], 0.0
    left = np.ones(len(gain), dtype=bool)
    left[start] = False
    while left.any():
        then = int(np.where(left, gain[order[-1]], -np.inf).argmax())
        total += float(gain[order[-1], then])
        order.append(then)
        left[then] = False
    return order, total


Pair: TypeAlias = tuple[str, str]


class NextSentence(TypedDict):
    """Whether the second sentence follows the first: ``label`` 0 if it does, 1 if not; two probabilities."""

    label: int
    follows: float
    unrelated: float


class Ordering(TypedDict):
    """Sentences in their likeliest order: ``order`` has their places in the caller's list.

    ``log_probability`` is the sum, over neighbours, of the logarithm of the probability that the second
    follows the first.
    """

    order: list[int]
    sentences: list[str]
    log_probability: float


class NextSentencePrediction(OnTruncation):
    """Predicts whether a sentence follows another, with BERT's next-sentence head (arXiv:1810.04805).

    Example::

        follows = munjang.pipeline("next-sentence-prediction", "klue/bert-base")
        follows("극장에 갔다.", "로맨스 영화를 보았다.")  # {"label": 0, "follows": ..., "unrelated": ...}

    A pair that is too long is cut, the longer sentence first; ``on_truncation`` is ``"warn"`` once per call
    with the count (`TruncationWarning`), ``"error"`` (`TruncationError`), or ``"ignore"``.
    Raises what `Model.from_pretrained` raises.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Loaded,
        *,
        options: ModelOptions | None = None,
        on_truncation: Literal["warn", "error", "ignore"] = "warn",
    ) -> None:
        self.on_truncation = on_truncation
        loaded = load(model, NEXT_SENTENCE, options)
        self.model, self.tokenizer, self.max_length = loaded.model, loaded.tokenizer, loaded.max_length

    @overload
    def __call__(self, first: str, second: str) -> NextSentence: ...
    @overload
    def __call__(self, first: Sequence[Pair]) -> list[NextSentence]: ...
    def __call__(
        self, first: str | Sequence[Pair], second: str | None = None
    ) -> NextSentence | list[NextSentence]:
        """Judge two sentences, or each pair of a list.

        Raises `InputError` for an empty sentence, `InputTypeError` for anything but pairs of texts.
        """
        if isinstance(first, str) and isinstance(second, str):
            return self._judged(_checked_pairs([(first, second)]))[0]
        if isinstance(first, str) or second is not None:
            raise InputTypeError("Give two texts, or a list of pairs of texts.")
        return self._judged(_checked_pairs(first))

    def order(self, sentences: Sequence[str]) -> Ordering:
        """Order a shuffled paragraph.

        The order found has the greatest sum, over neighbours, of the logarithm of the probability that the
        second follows the first. Up to 8 sentences it is the best of all orders; beyond, the best that going
        on to the likeliest sentence not yet used gives from any start. Every ordered pair goes through the
        model: n (n - 1) of them. Raises as a call does.
        """
        if isinstance(sentences, str):
            raise InputTypeError("order needs a list of sentences, got one str.")
        listed = list(sentences)
        _check_sentences(listed, [f"Sentence {place}" for place in range(len(listed))])
        places = [(i, j) for i in range(len(listed)) for j in range(len(listed)) if i != j]
        follows = np.zeros((len(listed), len(listed)))
        logits = self._logits([(listed[i], listed[j]) for i, j in places])
        for (i, j), log_probability in zip(places, _log_softmax(logits)[:, 0], strict=True):
            follows[i, j] = log_probability
        found, total = best_order(follows)
        return {"order": found, "sentences": [listed[i] for i in found], "log_probability": total}

    def _judged(self, pairs: Sequence[Pair]) -> list[NextSentence]:
        return [_judgement(row) for row in _log_softmax(self._logits(pairs)).tolist()]

    def _logits(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        ids = self.tokenizer.encode_ids(pairs, truncation="longest_first", max_length=self.max_length)
        truncation = TruncationReport(self.max_length, self.on_truncation, "pair")
        truncation.add(pair.truncated for pair in ids)
        truncation.warn()
        return self.model.runner.rows(self.model.program(frozenset({LOGITS})), ids, (LOGITS, 2))


def _judgement(log_probabilities: Sequence[float]) -> NextSentence:
    follows, unrelated = map(math.exp, log_probabilities)
    return {"label": int(unrelated > follows), "follows": follows, "unrelated": unrelated}


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the logarithm of the softmax over the last axis."""
    exact = logits.astype(np.float64)
    found: NDArray[np.float64] = exact - np.logaddexp.reduce(exact, axis=-1, keepdims=True)
    return found


def _checked_pairs(value: Sequence[Pair]) -> list[Pair]:
    pairs: list[Pair] = []
    for place, pair in enumerate(value):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputTypeError(f"Pair {place} must be two texts, got {pair!r:.80}.")
        whose = "" if len(value) == 1 else f"of pair {place} "
        _check_sentences(pair, ("The first sentence", "The second sentence"), whose)
        pairs.append((pair[0], pair[1]))
    return pairs


def _check_sentences(sentences: Sequence[str], names: Sequence[str], whose: str = "") -> None:
    for name, sentence in zip(names, sentences, strict=True):
        if not isinstance(sentence, str):
            raise InputTypeError(f"{name} {whose}is a {type(sentence).__name__}, not a str.")
        if not sentence.strip():
            raise InputError(f"{name} {whose}is empty; it needs at least one word.")
