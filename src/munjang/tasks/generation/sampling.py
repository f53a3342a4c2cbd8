"""Choice of the next token: the published sampling filters, in the order of `transformers`.

Scores are ``[n, V]``, one row per text; a filtered token's score is minus infinity. The order is repetition
penalty, repeated n-grams, temperature, top-k, top-p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.sentence.activations import softmax
from munjang.validation import checked_count, checked_number

Scores = NDArray[np.float32]


def penalize_repetition(scores: Scores, texts: Sequence[Sequence[int]], penalty: float) -> Scores:
    """Lower the scores of tokens that the text already contains, prompt included (arXiv:1909.05858).

    A positive score is divided by the penalty, a negative one multiplied, as in `transformers`.
    """
    changed = scores.copy()
    for row, text in zip(changed, texts, strict=True):
        ids = np.unique(np.asarray(text, dtype=np.int64))
        row[ids] = np.where(row[ids] < 0, row[ids] * np.float32(penalty), row[ids] / np.float32(penalty))
    return changed


def forbid_repeated_ngrams(scores: Scores, texts: Sequence[Sequence[int]], size: int) -> Scores:
    """Exclude tokens that would repeat an n-gram of ``size`` tokens of the text."""
    changed = scores.copy()
    for row, text in zip(changed, texts, strict=True):
        ids = list(text)
        end = ids[len(ids) - size + 1 :]
        starts = range(len(ids) - size + 1)
        row[[ids[i + size - 1] for i in starts if ids[i : i + size - 1] == end]] = -np.inf
    return changed


def keep_top_k(scores: Scores, k: int) -> Scores:
    """Keep the k best scores of each row (arXiv:1805.04833), and scores equal to the k-th."""
    index = max(scores.shape[-1] - k, 0)
    least = np.partition(scores, index, axis=-1)[..., index, None]
    return np.where(scores < least, -np.inf, scores).astype(np.float32)


def keep_top_p(scores: Scores, p: float) -> Scores:
    """Keep the nucleus: the fewest tokens whose probabilities add up to p or more (arXiv:1904.09751)."""
    order = np.argsort(scores, axis=-1, kind="stable")
    ascending = softmax(np.take_along_axis(scores, order, axis=-1))
    # The excluded tokens have at most 1 - p together. Compared in single precision, as in `transformers`.
    below = np.cumsum(ascending, axis=-1, dtype=np.float64).astype(np.float32)
    out = below <= np.float32(1 - p)
    out[..., -1] = False
    removed = np.empty_like(out)
    np.put_along_axis(removed, order, out, axis=-1)
    return np.where(removed, -np.inf, scores).astype(np.float32)


def draw(scores: NDArray[np.float32], generator: np.random.Generator) -> int:
    """Sample a token from one row of scores ``[V]``, with the probabilities of their softmax."""
    kept = np.flatnonzero(scores > -np.inf)
    mass = np.cumsum(softmax(scores[kept]), dtype=np.float64)
    index = int(np.searchsorted(mass, generator.random() * mass[-1], side="right"))
    return int(kept[min(index, len(kept) - 1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen: the best token, or a token sampled from the tokens that the filters keep.

    ``do_sample=None`` samples if an option is set that only affects sampling: a temperature other than 1,
    ``top_k``, ``top_p`` or a seed. The repetition penalty and ``no_repeat_ngram_size`` always apply.

    Raises `InputError` for a value out of its range, `InputTypeError` for a wrong type.
    """

    do_sample: bool | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)
        if self.top_k is not None:
            checked_count("top_k", self.top_k)
        if self.top_p is not None and not 0 < checked_number("top_p", self.top_p) <= 1:
            raise InputError(f"top_p must be above 0 and at most 1, got {self.top_p}.")
        if not 0 < checked_number("repetition_penalty", self.repetition_penalty) < math.inf:
            raise InputError(
                f"repetition_penalty must be above 0 (1 has no effect), got {self.repetition_penalty}."
            )
        if self.no_repeat_ngram_size is not None:
            checked_count("no_repeat_ngram_size", self.no_repeat_ngram_size)
        if self.seed is not None:
            checked_count("seed", self.seed, 0)
        if self.do_sample is False and (chosen := self._for_drawing()):
            raise InputError(
                f"{' and '.join(chosen)} would have no effect with do_sample=False; leave one out."
            )

    def checked_copies(self, copies: object) -> int:
        """Return a number of texts per prompt; `InputError` if they would be equal for lack of sampling."""
        count = checked_count("num_return_sequences", copies)
        if count > 1 and not self.draws:
            raise InputError(
                f"num_return_sequences={count} without sampling would return {count} times the same text; "
                "set do_sample=True."
            )
        return count

    def _for_drawing(self) -> list[str]:
        """Return the chosen settings that only affect sampling."""
        usual = {"temperature": 1.0, "top_k": None, "top_p": None, "seed": None}
        return [f"{name}={value}" for name in usual if (value := getattr(self, name)) != usual[name]]

    @property
    def draws(self) -> bool:
        """Whether tokens are sampled."""
        return bool(self._for_drawing()) if self.do_sample is None else self.do_sample

    def generators(self, count: int) -> list[np.random.Generator]:
        """Return a random generator per text, so that a text does not depend on the others of its call."""
        return [np.random.default_rng(seed) for seed in np.random.SeedSequence(self.seed).spawn(count)]

    def scores(self, logits: Scores, texts: Sequence[Sequence[int]]) -> Scores:
        """Return the filtered scores ``[n, V]`` for sampling, given the ids of each text so far."""
        scores = logits
        if self.repetition_penalty != 1.0:
            scores = penalize_repetition(scores, texts, self.repetition_penalty)
        if self.no_repeat_ngram_size is not None:
            scores = forbid_repeated_ngrams(scores, texts, self.no_repeat_ngram_size)
        if not self.draws:
            return scores
        if self.temperature != 1.0:
            scores = scores / np.float32(self.temperature)
        if self.top_k is not None:
            scores = keep_top_k(scores, self.top_k)
        return scores if self.top_p is None else keep_top_p(scores, self.top_p)

    def choose(
        self, logits: Scores, texts: Sequence[Sequence[int]], generators: Sequence[np.random.Generator]
    ) -> list[int]:
        """Choose the next token of each text."""
        scores = self.scores(logits, texts)
        if not self.draws:
            return [int(best) for best in scores.argmax(axis=-1)]
        return [draw(row, generator) for row, generator in zip(scores, generators, strict=True)]


def _check_temperature(temperature: float) -> None:
    if checked_number("temperature", temperature) == 0:
        raise InputError("temperature 0 would divide by zero; for the best token each time, do_sample=False.")
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature must be above 0, got {temperature}.")
