"""Learning where in a context the answer to a question stands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from munjang.errors import InputError
from munjang.evaluation.answering import check_places, evaluate_answers
from munjang.evaluation.answers import Normalization, check_normalization
from munjang.evaluation.examples import QuestionExample
from munjang.models.registry import QUESTION_ANSWERING
from munjang.tasks.loading import Loaded
from munjang.tasks.question_answering import LONGEST_QUESTION, LONGEST_WINDOW, QuestionAnswering
from munjang.tasks.scores import check_text
from munjang.training.answer_windows import AnswerWindow, AnswerWindows, check_part, with_part_of_negatives
from munjang.training.loop import TrainingResult, train
from munjang.training.objective import Loss, require_examples
from munjang.training.options import TrainingOptions
from munjang.training.starting import open_for_training
from munjang.training.task_objective import (
    TaskObjective,
    description_of,
    in_chunks,
    longest_of,
    naming,
)
from munjang.training.watching import Watcher

__all__ = ["QuestionAnsweringObjective", "train_question_answering"]


class QuestionAnsweringObjective(TaskObjective[AnswerWindow]):
    """The mean of two cross-entropies: of where an answer begins, and of where it ends (arXiv:1810.04805).

    Each is over all tokens of a window, as in `transformers`; a window that does not hold the answer learns
    its first special token, which stands for "no answer". Windows are cut as the pipeline cuts them.

    Args:
        model: the one to begin with.
        examples: questions with contexts and answers; of several answers the first is learned.
        held_out: questions to measure on.
        options: of the run.
        max_length: tokens of a window, by default 384 or what the model takes.
        doc_stride: tokens that neighbouring windows share, by default 128 or half of a window's context.
        negative_windows: the part of the windows without an answer that is kept, drawn once.
        normalization: how answers are compared when measured, ``"korquad"`` or ``"squad"``.

    Raises `InputError`, with the number of the example, for an empty question, context or answer, an answer
    that does not stand at its place, and a question that is too long; and for data without any answer.
    """

    name = "question-answering"

    def __init__(
        self,
        model: str | os.PathLike[str],
        examples: Sequence[QuestionExample],
        held_out: Sequence[QuestionExample],
        options: TrainingOptions,
        *,
        max_length: int | None = None,
        doc_stride: int | None = None,
        negative_windows: float = 1.0,
        normalization: Normalization = "korquad",
    ) -> None:
        _check_all(examples, held_out)
        check_part(negative_windows)
        check_normalization(normalization)
        loaded = open_for_training(model, QUESTION_ANSWERING, seed=options.seed)
        _check_questions(held_out, loaded)
        longest = longest_of(loaded, max_length)
        if max_length is None:
            longest = min(longest, LONGEST_WINDOW)
        cutter = AnswerWindows(loaded.tokenizer, longest, doc_stride)
        every = [
            window
            for chunk in in_chunks(enumerate(examples))
            for window in cutter.of([one for _, one in chunk], chunk[0][0])
        ]
        kept = with_part_of_negatives(every, negative_windows, options.seed)
        description = {
            **description_of(model, loaded, examples, held_out),
            "longest window in tokens": longest,
            "windows": len(kept),
            "windows with an answer": sum(window.has_answer for window in kept),
            "windows without an answer, left out": len(every) - len(kept),
            **cutter.counts(),
        }
        super().__init__(loaded, kept, options, description)
        self._held_out = held_out
        self._normalization: Normalization = normalization
        self.metric = "f1" if held_out else None
        self._answerer = QuestionAnswering(loaded)

    def loss(self, examples: Sequence[AnswerWindow], rng: object) -> Loss:  # noqa: ARG002
        """The mean of the two cross-entropies, summed over the windows."""
        logits = self.logits(examples)
        lengths = [len(one.texts[0].input_ids) for one in examples]
        targets = torch.tensor([(one.start, one.end) for one in examples], device=logits.device)
        return Loss(_span_loss(logits, lengths, targets), len(examples))

    def evaluate(self) -> Mapping[str, float]:
        """F1 and exact match."""
        found = evaluate_answers(
            self._answerer, self._held_out, normalization=self._normalization, intervals=False
        )
        return found.values

    def usage(self, folder: Path) -> str:
        """Show how to answer a question."""
        return (
            "import munjang\n\n"
            f'answer = munjang.pipeline("question-answering", "{folder}")\n'
            'answer(question="...", context="...")'
        )


def train_question_answering(
    examples: Sequence[QuestionExample],
    *,
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    held_out: Sequence[QuestionExample] = (),
    options: TrainingOptions | None = None,
    max_length: int | None = None,
    doc_stride: int | None = None,
    negative_windows: float = 1.0,
    normalization: Normalization = "korquad",
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a model to find the answers to questions in contexts.

    The arguments are those of `QuestionAnsweringObjective`; ``output`` is the folder of the run. Raises what
    the objective and `train` raise.
    """
    chosen = options or TrainingOptions()
    objective = QuestionAnsweringObjective(
        model,
        examples,
        held_out,
        chosen,
        max_length=max_length,
        doc_stride=doc_stride,
        negative_windows=negative_windows,
        normalization=normalization,
    )
    return train(objective, Path(output), chosen, watchers=watchers)


def _span_loss(logits: Tensor, lengths: list[int], targets: Tensor) -> Tensor:
    """Sum over windows of the mean of both cross-entropies; logits ``[T, 2]``, targets ``[B, 2]``."""
    laid_out = pad_sequence(
        list(torch.split(logits, lengths)), batch_first=True, padding_value=-torch.inf
    )  # [B, L, 2]
    return functional.cross_entropy(laid_out, targets, reduction="sum") / 2


def _check_all(examples: Sequence[QuestionExample], held_out: Sequence[QuestionExample]) -> None:
    require_examples(examples)
    for what, questions in (("Example", examples), ("Held-out example", held_out)):
        for place, one in enumerate(questions):
            with naming(what, place):
                _check(one)
    if not any(one.answers for one in examples):
        raise InputError(f"None of the {len(examples)} examples has an answer; there must be some.")


def _check(one: QuestionExample) -> None:
    check_text(one.question, "The question")
    check_text(one.context, "The context")
    for answer in one.answers:
        check_text(answer.text, "An answer")
        if answer.start < 0:
            raise InputError(f"The answer {answer.text!r:.60} begins at {answer.start}.")
    check_places(one)


def _check_questions(held_out: Sequence[QuestionExample], loaded: Loaded) -> None:
    """Raise `InputError` for a question that the pipeline would refuse, before anything is learned."""
    for chunk in in_chunks(enumerate(held_out)):
        encodings = loaded.tokenizer.encode_batch([one.question for _, one in chunk], truncation=False)
        for (place, _), encoding in zip(chunk, encodings, strict=True):
            if (length := encoding.sequence_ids.count(0)) > LONGEST_QUESTION:
                raise InputError(
                    f"Held-out example {place}: the question has {length} tokens; the pipeline reads "
                    f"{LONGEST_QUESTION} at most. Shorten it or leave it out."
                )
