"""Next-sentence prediction: whether a sentence follows another, and the best order of several."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Literal, TypeAlias, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputTypeError
from munjang.models.program import LOGITS
from munjang.models.registry import NEXT_SENTENCE
from munjang.runtime.notices import OnTruncation, TruncationReport
from munjang.sentence.activations import log_softmax
from munjang.tasks.loading import Loaded, ModelOptions, Task
from munjang.tasks.scores import check_text

EXACT = 8  # sentences; up to this number every order is scored


def best_order(gain: NDArray[np.float64]) -> tuple[list[int], float]:
    """Find the order with the greatest sum of ``gain[i, j]`` over neighbours i, j; ``gain`` is ``[n, n]``.

    Exact up to `EXACT` (the dynamic programme of Held and Karp, 1962); for more, the best of the greedy
    orders from every start.
    """
    n = len(gain)
    if n < 2:
        return list(range(n)), 0.0
    if n <= EXACT:
        return _exact(gain.tolist())
    return max((_greedy(gain, start) for start in range(n)), key=lambda candidate: candidate[1])


def _exact(gain: list[list[float]]) -> tuple[list[int], float]:
    n = len(gain)
    # (bits of the used sentences, last sentence) -> the best sum, and the sentence before the last
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
    """Sentences in their most likely order: ``order`` has their indices in the caller's list.

    ``log_probability`` is the sum, over neighbours, of the logarithm of the probability that the second
    follows the first.
    """

    order: list[int]
    sentences: list[str]
    log_probability: float


class NextSentencePrediction(Task, OnTruncation):
    """Predicts whether a sentence follows another, with BERT's next-sentence head (arXiv:1810.04805).

    Example::

        follows = munjang.pipeline("next-sentence-prediction", "klue/bert-base")
        follows("극장에 갔다.", "로맨스 영화를 보았다.")  # {"label": 0, "follows": ..., "unrelated": ...}

    A pair that is too long is truncated, the longer sentence first; ``on_truncation`` is ``"warn"`` once per
    call with the count (`TruncationWarning`), ``"error"`` (`TruncationError`), or ``"ignore"``. Raises what
    `Model.from_pretrained` raises.
    """

    head = NEXT_SENTENCE

    def __init__(
        self,
        model: str | os.PathLike[str] | Loaded,
        *,
        options: ModelOptions | None = None,
        on_truncation: Literal["warn", "error", "ignore"] = "warn",
    ) -> None:
        self.on_truncation = on_truncation
        super().__init__(model, options=options)

    @overload
    def __call__(self, first: str, second: str) -> NextSentence: ...
    @overload
    def __call__(self, first: Sequence[Pair]) -> list[NextSentence]: ...
    def __call__(
        self, first: str | Sequence[Pair], second: str | None = None
    ) -> NextSentence | list[NextSentence]:
        """Predict for two sentences, or for each pair of a list.

        Raises `InputError` for an empty sentence, `InputTypeError` for values other than pairs of texts.
        """
        if isinstance(first, str) and isinstance(second, str):
            return self._judged(_checked_pairs([(first, second)]))[0]
        if isinstance(first, str) or second is not None:
            raise InputTypeError("Pass two texts, or a list of pairs of texts.")
        return self._judged(_checked_pairs(first))

    def order(self, sentences: Sequence[str]) -> Ordering:
        """Order a shuffled paragraph.

        The result maximises the sum, over neighbours, of the logarithm of the probability that the second
        follows the first: exactly up to 8 sentences, else among the greedy orders from each start. The model
        runs on every ordered pair: n (n - 1) pairs. Raises as a call does.
        """
        if isinstance(sentences, str):
            raise InputTypeError("order needs a list of sentences, got one str.")
        listed = [check_text(sentence, f"Sentence {index}") for index, sentence in enumerate(sentences)]
        ordered = [(i, j) for i in range(len(listed)) for j in range(len(listed)) if i != j]
        follows = np.zeros((len(listed), len(listed)))
        logits = self._logits([(listed[i], listed[j]) for i, j in ordered])
        for (i, j), log_probability in zip(ordered, log_softmax(logits)[:, 0], strict=True):
            follows[i, j] = log_probability
        order, total = best_order(follows)
        return {"order": order, "sentences": [listed[i] for i in order], "log_probability": total}

    def _judged(self, pairs: Sequence[Pair]) -> list[NextSentence]:
        return [_judgement(row) for row in log_softmax(self._logits(pairs)).tolist()]

    def _logits(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        ids = self.tokenizer.encode_ids(pairs, truncation="longest_first", max_length=self.max_length)
        truncation = TruncationReport(self.max_length, self.on_truncation, "pair")
        truncation.add(pair.truncated for pair in ids)
        truncation.warn()
        return self.model.runner.rows(self.model.program(frozenset({LOGITS})), ids, (LOGITS, 2))


def _judgement(log_probabilities: Sequence[float]) -> NextSentence:
    follows, unrelated = map(math.exp, log_probabilities)
    return {"label": int(unrelated > follows), "follows": follows, "unrelated": unrelated}


def _checked_pairs(value: Sequence[Pair]) -> list[Pair]:
    pairs: list[Pair] = []
    for index, pair in enumerate(value):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputTypeError(f"Pair {index} must be two texts, got {pair!r:.80}.")
        whose = "" if len(value) == 1 else f" of pair {index}"
        first = check_text(pair[0], f"The first sentence{whose}")
        pairs.append((first, check_text(pair[1], f"The second sentence{whose}")))
    return pairs
