"""Functions that several recipes use."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence

import munjang
from munjang.evaluation import QuestionExample, answer_f1
from munjang.training.loop.network import has_bfloat16

__all__ = ["first_sentences", "has_bfloat16", "times_as_fast"]

_END = re.compile(r"(?<=[.!?])\s+")
_ROUNDS = 7


def first_sentences(questions: Sequence[QuestionExample]) -> float:
    """Return the F1 of answering with the first sentence of each context."""
    scores = [
        answer_f1(
            _END.split(question.context.strip(), maxsplit=1)[0], [answer.text for answer in question.answers]
        )
        for question in questions
    ]
    return statistics.fmean(scores)


def times_as_fast(
    student: munjang.SentenceTransformer, teacher: munjang.SentenceTransformer, texts: Sequence[str]
) -> tuple[float, float, float]:
    """Return how many times as fast the student encodes: median, minimum and maximum of several rounds."""
    ratios = []
    for model in (student, teacher):
        model.encode(texts)  # compiled and warm
    for _ in range(_ROUNDS):
        seconds = []
        for model in (student, teacher):
            began = time.perf_counter()
            model.encode(texts)
            seconds.append(time.perf_counter() - began)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios), min(ratios), max(ratios)
