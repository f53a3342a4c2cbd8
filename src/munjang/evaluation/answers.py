"""How good a model is at answers that stand in a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from munjang.data.examples import QuestionExample
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, quantity, require_examples
from munjang.evaluation.measures.answers import Normalization, answer_f1, check_normalization, exact_match
from munjang.evaluation.measures.resampling import Statistic, estimates, mean_of
from munjang.progress import Advance
from munjang.tasks.question_answering import Answer, QuestionAnswering

__all__ = ["check_places", "evaluate_answers"]


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

    If some questions have no answer, the model may say so. ``trim_particles`` lets the answerer take Korean
    particles off. ``intervals=False`` leaves the bootstrap out, ``advance`` is called with the number of
    questions done. Raises `InputError` for data without questions, an unknown normalization, answers that do
    not stand at their places, and scores that are no numbers; and what the answerer raises.
    """
    require_examples(questions)
    check_normalization(normalization)
    for one in questions:
        check_places(one)
    vain = sum(not one.answers for one in questions)

    def ask(some: Sequence[QuestionExample]) -> list[Answer]:
        return answerer(  # type: ignore[return-value] # one answer each, for top_k=1
            [one.question for one in some],
            [one.context for one in some],
            handle_impossible_answer=bool(vain),
            trim_particles=trim_particles,
        )

    found = in_steps(ask, questions, advance, bounded=True)
    check_finite([answer["score"] for answer in found])
    metrics = estimates(_statistics(found, questions, normalization), len(questions), intervals=intervals)
    without = f", {quantity(vain, 'question has', 'questions have')} no answer" if vain else ""
    return Evaluation("answers", "", len(questions), metrics, f"normalised as {normalization}{without}")


def _statistics(
    found: Sequence[Answer], questions: Sequence[QuestionExample], normalization: Normalization
) -> dict[str, Statistic]:
    pairs = [
        (answer["answer"], [right.text for right in one.answers])
        for answer, one in zip(found, questions, strict=True)
    ]
    exact = [exact_match(*pair, normalization=normalization) for pair in pairs]
    shared = [answer_f1(*pair, normalization=normalization) for pair in pairs]
    return {"exact_match": mean_of(np.array(exact)), "f1": mean_of(np.array(shared))}


def check_places(question: QuestionExample) -> None:
    """Raise `InputError` for an answer that does not stand at its place."""
    for answer in question.answers:
        there = question.context[answer.start : answer.start + len(answer.text)]
        if there != answer.text:
            raise InputError(
                f"Question {question.id!r}: the answer {answer.text!r:.60} does not stand at {answer.start}, "
                f"where there is {there!r:.60}."
            )
