"""Extractive question answering: the part of a text that answers a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.models.program import LOGITS
from munjang.models.registry import QUESTION_ANSWERING
from munjang.tasks.loading import Task
from munjang.tasks.scores import check_text
from munjang.tasks.spans import Span, Window, best_spans, merged, null_score, windows_of
from munjang.tokenization.josa import length_without_josa
from munjang.validation import checked_count, shown_value

LONGEST_WINDOW = 384  # defaults in tokens: of a window, and of the question in it
LONGEST_QUESTION = 64


class Answer(TypedDict):
    """A part of the context, ``context[start:end]``, with its probability as ``score``.

    ``null_score`` is the probability that the context has no answer; it is the same for all answers to a
    question.
    """

    score: float
    start: int
    end: int
    answer: str
    null_score: float


@dataclass(frozen=True, slots=True)
class _Search:
    """The options of a search for answers."""

    top_k: int
    doc_stride: int | None
    max_seq_len: int
    max_answer_len: int
    max_question_len: int
    handle_impossible_answer: bool
    trim_particles: bool


class QuestionAnswering(Task):
    """Finds the answer to a question in a context.

    Example::

        answer = munjang.pipeline("question-answering", "folder/of/a/model")
        answer(question="한국의 수도는 어디인가?", context="한국의 수도는 서울이다.")
        # {"score": 0.97, "start": 8, "end": 10, "answer": "서울", "null_score": 0.01}

    Raises what `Model.from_pretrained` raises; `CheckpointError` if the checkpoint has no trained
    question-answering head.
    """

    head = QUESTION_ANSWERING

    def __call__(
        self,
        question: str | Sequence[str],
        context: str | Sequence[str],
        *,
        top_k: int = 1,
        doc_stride: int | None = None,
        max_seq_len: int | None = None,
        max_answer_len: int = 30,
        max_question_len: int = LONGEST_QUESTION,
        handle_impossible_answer: bool = False,
        trim_particles: bool = False,
    ) -> Answer | list[Answer] | list[Answer | list[Answer]]:
        """Return the best answer, or a list of the ``top_k`` best; lists of questions return a list of these.

        A long context is read in overlapping windows. The score of an answer is the probability of its start
        times that of its end, each among all tokens of its window's context and "no answer"; an answer in
        several windows has its best score. ``null_score`` is the minimum of the windows' scores for "no
        answer".

        Args:
            question: a text, or a list of texts.
            context: a text, or a list; one text for several questions, or several texts for one question.
            top_k: the number of answers; all are different spans of the context.
            doc_stride: tokens that neighbouring windows share; by default 128, or half of the window's
                context tokens if that is less.
            max_seq_len: tokens of a window, question and special tokens included; by default 384, or the
                model's maximum if that is less.
            max_answer_len: the maximum tokens of an answer (15 in `transformers`).
            max_question_len: the maximum tokens of a question.
            handle_impossible_answer: let "no answer" (``""`` at 0 to 0, with ``null_score``) compete.
            trim_particles: trim Korean particles from the ends of answers, where a word ends; see
                `munjang.tokenization.josa` for its errors.

        Raises `InputError` for an empty question or context, a question that is too long, values out of range
        and lists that do not match; `InputTypeError` for values other than texts.
        """
        search = _Search(
            top_k=checked_count("top_k", top_k),
            doc_stride=None if doc_stride is None else checked_count("doc_stride", doc_stride, 0),
            max_seq_len=self._window_length(max_seq_len),
            max_answer_len=checked_count("max_answer_len", max_answer_len),
            max_question_len=checked_count("max_question_len", max_question_len),
            handle_impossible_answer=handle_impossible_answer,
            trim_particles=trim_particles,
        )
        pairs = _pairs(question, context)
        results = [answers[0] if top_k == 1 else answers for answers in self._answers(pairs, search)]
        return results[0] if isinstance(question, str) and isinstance(context, str) else results

    def _window_length(self, asked: int | None) -> int:
        most = self.max_length
        if asked is None:
            return min(LONGEST_WINDOW, most)
        if checked_count("max_seq_len", asked) > most:
            raise InputError(f"max_seq_len={asked}, but the model takes {most} tokens at most.")
        return asked

    def _answers(self, pairs: list[tuple[str, str]], search: _Search) -> Iterator[list[Answer]]:
        windows = self._windows(pairs, search)
        logits = iter(self._logits([window for group in windows for window in group]))
        for (_, context), group in zip(pairs, windows, strict=True):
            yield _best(context, [(window, next(logits)) for window in group], search)

    def _windows(self, pairs: list[tuple[str, str]], search: _Search) -> list[list[Window]]:
        windows: list[list[Window]] = []
        for encoding in self.tokenizer.encode_batch(pairs, truncation=False):
            length = encoding.sequence_ids.count(0)
            if length > search.max_question_len:
                raise InputError(
                    f"Question {len(windows)} has {length} tokens, and max_question_len is "
                    f"{search.max_question_len}; shorten it or raise the limit."
                )
            windows.append(
                windows_of(
                    encoding,
                    null_id=self.tokenizer.cls_token_id,
                    max_length=search.max_seq_len,
                    stride=search.doc_stride,
                )
            )
        return windows

    def _logits(self, windows: list[Window]) -> list[NDArray[np.float32]]:
        """Return the logits of starts and ends, ``[L, 2]`` for each window."""
        program = self.model.program(frozenset({LOGITS}))
        logits: dict[int, NDArray[np.float32]] = {}
        for done in self.model.runner.run(program, [window.encoding for window in windows]):
            logits.update(zip(done.indices, done.split(LOGITS), strict=True))
        return [logits[index] for index in range(len(windows))]


def _best(context: str, windows: list[tuple[Window, NDArray[np.float32]]], search: _Search) -> list[Answer]:
    spans: list[Span] = []
    for window, logits in windows:
        ordered = best_spans(window, logits, max_tokens=search.max_answer_len)
        spans += _first_distinct((_tidied(span, context, search.trim_particles) for span in ordered), search)
    none = min(null_score(window, logits) for window, logits in windows)
    answers = merged(spans)
    if search.handle_impossible_answer or not answers:
        answers = sorted([*answers, Span(0, 0, none)], key=lambda span: -span.score)
    return [
        Answer(
            score=span.score,
            start=span.start,
            end=span.end,
            answer=context[span.start : span.end],
            null_score=none,
        )
        for span in answers[: search.top_k]
    ]


def _first_distinct(spans: Iterator[Span], search: _Search) -> list[Span]:
    """Return the first ``top_k`` different spans, which come best first."""
    distinct: dict[tuple[int, int], Span] = {}
    for span in spans:
        if span.start < span.end:
            distinct.setdefault((span.start, span.end), span)
        if len(distinct) == search.top_k:
            break
    return list(distinct.values())


def _tidied(span: Span, context: str, trim_particles: bool) -> Span:
    """Trim white space, and the particle if requested and if the word ends where the span ends."""
    text = context[span.start : span.end]
    start = span.start + len(text) - len(text.lstrip())
    end = span.start + len(text.rstrip())
    if trim_particles and start < end and not _continues(context, end):
        end = start + length_without_josa(context[start:end])
    return replace(span, start=start, end=max(start, end))


def _continues(context: str, end: int) -> bool:
    """Return whether a word continues after a span: then its particle is not in the span."""
    return context[end : end + 1].isalpha()


def _pairs(question: str | Sequence[str], context: str | Sequence[str]) -> list[tuple[str, str]]:
    questions, contexts = _listed(question, "question"), _listed(context, "context")
    if isinstance(question, str):
        questions *= len(contexts)
    elif isinstance(context, str):
        contexts *= len(questions)
    if len(questions) != len(contexts):
        raise InputError(
            f"{len(questions)} questions and {len(contexts)} contexts do not pair up; pass as many of each."
        )
    return list(zip(questions, contexts, strict=True))


def _listed(texts: str | Sequence[str], what: str) -> list[str]:
    if isinstance(texts, str):
        return [check_text(texts, f"The {what}")]
    if not isinstance(texts, (list, tuple)):
        raise InputTypeError(f"{what} must be a text or a list of texts, got {shown_value(texts)}.")
    return [check_text(text, f"{what.capitalize()} {index}") for index, text in enumerate(texts)]
