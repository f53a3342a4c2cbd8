"""Evaluation of question answering: answers that are parts of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from munjang.choices import Normalization
from munjang.data.examples import QuestionExample
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, quantity, require_examples
from munjang.evaluation.measures.answers import answer_f1, check_normalization, exact_match
from munjang.evaluation.measures.resampling import mean_of
from munjang.progress import Advance

if TYPE_CHECKING:
    from munjang.tasks.question_answering import Answer, QuestionAnswering


def evaluate_answers(
    answerer: QuestionAnswering,
    questions: Sequence[QuestionExample],
    *,
    normalization: Normalization = "korquad",
    trim_particles: bool = False,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure an answerer: ``exact_match`` and ``f1``, as KorQuAD's or SQuAD's own program does.

    If some questions have no answer, the model may return none. With ``trim_particles`` the answerer removes
    Korean particles. ``intervals=False`` omits the bootstrap; ``advance`` is called with the number of
    questions done. Raises `InputError` for data without questions, an unknown normalization, answers that are
    not at their offsets, and scores that are NaN; and whatever the answerer raises.
    """
    require_examples(questions)
    check_normalization(normalization)
    for question in questions:
        check_offsets(question)
    unanswerable = sum(not question.answers for question in questions)

    def ask(chunk: Sequence[QuestionExample]) -> list[Answer]:
        return answerer(  # type: ignore[return-value] # one answer for each question, because top_k=1
            [question.question for question in chunk],
            [question.context for question in chunk],
            handle_impossible_answer=bool(unanswerable),
            trim_particles=trim_particles,
        )

    answers = in_steps(ask, questions, advance, bounded=True)
    check_finite([answer["score"] for answer in answers])
    scores: dict[str, list[float]] = {"exact_match": [], "f1": []}
    for answer, question in zip(answers, questions, strict=True):
        gold = [right.text for right in question.answers]
        scores["exact_match"].append(exact_match(answer["answer"], gold, normalization=normalization))
        scores["f1"].append(answer_f1(answer["answer"], gold, normalization=normalization))
    notes = f"normalised as {normalization}"
    if unanswerable:
        notes += f", {quantity(unanswerable, 'question has', 'questions have')} no answer"
    statistics = {name: mean_of(np.array(values)) for name, values in scores.items()}
    return Evaluation.of("answers", statistics, len(questions), intervals=intervals, notes=notes)


def check_offsets(question: QuestionExample) -> None:
    """Raise `InputError` for an answer that is not at its offset in the context."""
    for answer in question.answers:
        text = question.context[answer.start : answer.start + len(answer.text)]
        if text != answer.text:
            raise InputError(
                f"Question {question.id!r}: the answer {answer.text!r:.60} is not at offset "
                f"{answer.start}: the context has {text!r:.60} there."
            )
