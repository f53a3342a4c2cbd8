"""Training of extractive question answering: the start and end of the answer in a context."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from munjang.data.examples import AnswerSpan, QuestionExample
from munjang.data.tags import trimmed
from munjang.errors import InputError
from munjang.evaluation.answers import check_offsets, evaluate_answers
from munjang.models.registry import QUESTION_ANSWERING
from munjang.tasks.loading import Loaded
from munjang.tasks.question_answering import LONGEST_QUESTION, LONGEST_WINDOW, QuestionAnswering
from munjang.tasks.scores import check_text
from munjang.tasks.spans import Window, windows_of
from munjang.tokenization import Tokenizer
from munjang.tokenization.encoding import Encoding, TokenIds
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.models import describe_run, in_chunks, longest_of, open_for_training
from munjang.training.options import AnswersTask, TrainingOptions
from munjang.training.tasks.base import (
    TaskObjective,
    ids_of,
    naming,
)

_DRAW = 13  # part of the random seed for the choice of windows without an answer


@dataclass(frozen=True, slots=True)
class AnswerWindow:
    """A window: its tokens, and the positions of the answer's first and last token.

    If the window does not contain the whole answer, both are the position of the "no answer" token.
    """

    texts: tuple[TokenIds]
    start: int
    end: int
    has_answer: bool


class AnswerWindows:
    """Splits contexts into windows as `QuestionAnswering` does, and counts unrepresentable answers.

    Of several answers the first is used. An answer spans from the first to the last token that contains one
    of its characters. If it ends inside a token (for example before an attached particle), tokens can't
    represent it exactly. Windows of a question whose answer overlaps no token are left out.

    Args:
        tokenizer: the tokenizer of the model.
        longest: the maximum length of a window in tokens.
        stride: tokens that neighbouring windows share; ``None`` for the default of `windows_of`.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int, stride: int | None) -> None:
        self._tokenizer = tokenizer
        self._longest, self._stride = longest, stride
        self._none = self._inexact = self._tokenless = self._too_long = 0

    def of(self, questions: Sequence[QuestionExample], first: int = 0) -> Iterator[AnswerWindow]:
        """Yield the windows of the questions; the first question is example number ``first``.

        Raises `InputError`, with the number of the example, for a question that leaves no room for the
        context.
        """
        encodings = self._tokenizer.encode_batch(
            [(example.question, example.context) for example in questions], truncation=False
        )
        for index, (example, encoding) in enumerate(zip(questions, encodings, strict=True), start=first):
            with naming("Example", index):
                windows = windows_of(
                    encoding,
                    null_id=self._tokenizer.cls_token_id,
                    max_length=self._longest,
                    stride=self._stride,
                )
            yield from self._targets(example, encoding, windows)

    def counts(self) -> dict[str, int]:
        """Return the counts so far, with names for the report."""
        return {
            "questions without an answer": self._none,
            "answers with an edge inside a token": self._inexact,
            "questions left out, as no token holds the answer": self._tokenless,
            "questions whose answer no window holds whole": self._too_long,
        }

    def _targets(
        self, question: QuestionExample, encoding: Encoding, windows: Sequence[Window]
    ) -> Iterator[AnswerWindow]:
        if not question.answers:
            self._none += 1
            yield from (_without(window) for window in windows)
            return
        answer = question.answers[0]
        offsets = [
            span
            for span, sequence in zip(encoding.offsets, encoding.sequence_ids, strict=True)
            if sequence == 1
        ]
        held = [offsets[position] for position in _holding(answer, offsets)]
        if not held:
            self._tokenless += 1
            return
        self._inexact += not _is_exact(answer, held, question.context)
        targets = [_target(window, answer, len(held)) for window in windows]
        self._too_long += not any(window.has_answer for window in targets)
        yield from targets


def _holding(answer: AnswerSpan, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return the indices of the tokens that contain characters of an answer."""
    end = answer.start + len(answer.text)
    return [position for position, span in enumerate(offsets) if span[0] < end and span[1] > answer.start]


def _is_exact(answer: AnswerSpan, held: Sequence[tuple[int, int]], context: str) -> bool:
    """Return whether the tokens contain the answer and otherwise only whitespace."""
    end = answer.start + len(answer.text)
    return trimmed(context, held[0][0], held[-1][1]) == trimmed(context, answer.start, end)


def _target(window: Window, answer: AnswerSpan, whole: int) -> AnswerWindow:
    positions = _holding(answer, window.offsets)
    if len(positions) < whole:
        return _without(window)
    texts = (ids_of(window.encoding),)
    return AnswerWindow(texts, window.first + positions[0], window.first + positions[-1], has_answer=True)


def _without(window: Window) -> AnswerWindow:
    return AnswerWindow((ids_of(window.encoding),), window.null, window.null, has_answer=False)


def with_part_of_negatives(all_windows: list[AnswerWindow], part: float, seed: int) -> list[AnswerWindow]:
    """Return all windows with an answer and a random fraction ``part`` of the others, in their order."""
    negative = [index for index, window in enumerate(all_windows) if not window.has_answer]
    rng = np.random.default_rng([seed, _DRAW])
    chosen = rng.permutation(len(negative))[: round(part * len(negative))]
    kept = {negative[i] for i in chosen}
    return [window for index, window in enumerate(all_windows) if window.has_answer or index in kept]


class QuestionAnsweringObjective(TaskObjective[AnswerWindow]):
    """The mean of two cross-entropies: of the answer's start and of its end (arXiv:1810.04805).

    Each is over all tokens of a window, as in `transformers`. The target of a window without the answer is
    its first special token, which means "no answer". Contexts are split into windows as in the pipeline.

    Args:
        model: the initial model.
        examples: questions with contexts and answers; of several answers the first is the target.
        held_out: the evaluation examples.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError`, with the number of the example, for an empty question, context or answer, an answer
    whose text differs from the context at its offset, and a question that is too long; and for data without
    any answer.
    """

    name = "question-answering"
    snippet = (
        "import munjang\n\n"
        'answer = munjang.pipeline("question-answering", "{folder}")\n'
        'answer(question="...", context="...")'
    )

    def __init__(
        self,
        model: str | os.PathLike[str],
        examples: Sequence[QuestionExample],
        held_out: Sequence[QuestionExample],
        task: AnswersTask,
        options: TrainingOptions,
    ) -> None:
        examples, held_out = checked_examples(
            examples, held_out, QuestionExample, task=(task, AnswersTask), options=options
        )
        _check_all(examples, held_out)
        loaded = open_for_training(model, QUESTION_ANSWERING, seed=options.seed)
        _check_questions(held_out, loaded)
        longest = longest_of(loaded.max_length, task.max_length)
        if task.max_length is None:
            longest = min(longest, LONGEST_WINDOW)
        cutter = AnswerWindows(loaded.tokenizer, longest, task.doc_stride)
        all_windows = [
            window
            for chunk in in_chunks(enumerate(examples))
            for window in cutter.of([example for _, example in chunk], chunk[0][0])
        ]
        kept = with_part_of_negatives(all_windows, task.negative_windows, options.seed)
        description = {
            **describe_run(model, loaded.model, examples, held_out),
            "longest window in tokens": longest,
            "tokens shared by windows": "default" if task.doc_stride is None else task.doc_stride,
            "normalization": task.normalization,
            "windows": len(kept),
            "windows with an answer": sum(window.has_answer for window in kept),
            "windows without an answer, left out": len(all_windows) - len(kept),
            **cutter.counts(),
        }
        super().__init__(loaded, kept, options, description)
        self._held_out = held_out
        self._normalization = task.normalization
        self.metric = "f1" if held_out else None
        self._answerer = QuestionAnswering(loaded)

    def loss(self, examples: Sequence[AnswerWindow], rng: object) -> Loss:  # noqa: ARG002
        """Return the mean of the two cross-entropies, summed over the windows."""
        logits = self.logits(examples)
        lengths = [len(example.texts[0].input_ids) for example in examples]
        targets = torch.tensor([(example.start, example.end) for example in examples], device=logits.device)
        return Loss(_span_loss(logits, lengths, targets), len(examples))

    def evaluate(self) -> Mapping[str, float]:
        """Return F1 and exact match on the held-out data."""
        evaluation = evaluate_answers(
            self._answerer, self._held_out, normalization=self._normalization, intervals=False
        )
        return evaluation.values


def train_question_answering(
    examples: Sequence[QuestionExample],
    *,
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    held_out: Sequence[QuestionExample] = (),
    task: AnswersTask = AnswersTask(),
    options: TrainingOptions = TrainingOptions(),
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a model to find the answers to questions in contexts.

    ``output`` is the folder of the run; the other arguments are those of `QuestionAnsweringObjective`.
    Raises what the objective and `train` raise.
    """
    return train(
        QuestionAnsweringObjective(model, examples, held_out, task, options),
        output,
        options,
        watchers=watchers,
    )


def _span_loss(logits: Tensor, lengths: list[int], targets: Tensor) -> Tensor:
    """Return the mean of both cross-entropies, summed over windows; logits ``[T, 2]``, targets ``[B, 2]``."""
    laid_out = pad_sequence(
        list(torch.split(logits, lengths)), batch_first=True, padding_value=-torch.inf
    )  # [B, L, 2]
    return functional.cross_entropy(laid_out, targets, reduction="sum") / 2


def _check_all(examples: Sequence[QuestionExample], held_out: Sequence[QuestionExample]) -> None:
    for what, questions in (("Example", examples), ("Held-out example", held_out)):
        for index, example in enumerate(questions):
            with naming(what, index):
                _check(example)
    if not any(example.answers for example in examples):
        raise InputError(f"None of the {len(examples)} examples has an answer; there must be some.")


def _check(example: QuestionExample) -> None:
    check_text(example.question, "The question")
    check_text(example.context, "The context")
    for answer in example.answers:
        check_text(answer.text, "An answer")
        if answer.start < 0:
            raise InputError(f"The answer {answer.text!r:.60} begins at {answer.start}.")
    check_offsets(example)


def _check_questions(held_out: Sequence[QuestionExample], loaded: Loaded) -> None:
    """Raise `InputError` before training for a held-out question that is too long for the pipeline."""
    for chunk in in_chunks(enumerate(held_out)):
        encodings = loaded.tokenizer.encode_batch(
            [example.question for _, example in chunk], truncation=False
        )
        for (index, _), encoding in zip(chunk, encodings, strict=True):
            if (length := encoding.sequence_ids.count(0)) > LONGEST_QUESTION:
                raise InputError(
                    f"Held-out example {index}: the question has {length} tokens; the pipeline reads "
                    f"{LONGEST_QUESTION} at most. Shorten it or leave it out."
                )
