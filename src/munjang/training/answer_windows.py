"""From questions with answers to windows of tokens, and where in them the answer begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from munjang.errors import InputError, InputTypeError
from munjang.evaluation.examples import AnswerSpan, QuestionExample
from munjang.tasks.spans import Window, windows_of
from munjang.tasks.tagging import trimmed
from munjang.tokenization import Tokenizer
from munjang.tokenization.encoding import Encoding, TokenIds
from munjang.training.task_objective import ids_of, naming

__all__ = ["AnswerWindow", "AnswerWindows", "check_part", "with_part_of_negatives"]

_DRAW = 13  # what the generator is for: which windows without an answer are kept


@dataclass(frozen=True, slots=True)
class AnswerWindow:
    """A window: its tokens, and the places of the answer's first and last one.

    Both are the place of the token for "no answer" where the window does not hold the whole answer.
    """

    texts: tuple[TokenIds]
    start: int
    end: int
    has_answer: bool


class AnswerWindows:
    """Cuts contexts into windows as `QuestionAnswering` does, and counts what becomes of the answers.

    Of several answers the first is taken. An answer begins with the first token that holds a character of
    it, and ends with the last; one that ends inside a token (a particle clings to it, say) can't be told
    exactly. Windows of a question whose answer has no token at all are left out.

    Args:
        tokenizer: of the model.
        longest: tokens of a window.
        stride: tokens that neighbours share; ``None`` as `windows_of` has it.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int, stride: int | None) -> None:
        self._tokenizer = tokenizer
        self._longest, self._stride = longest, stride
        self._none = self._untold = self._tokenless = self._too_long = 0

    def of(self, questions: Sequence[QuestionExample], first: int = 0) -> Iterator[AnswerWindow]:
        """Give the windows of some questions, the first of which is example number ``first``.

        Raises `InputError`, with the number of the example, for a question that leaves the context no room.
        """
        encodings = self._tokenizer.encode_batch(
            [(one.question, one.context) for one in questions], truncation=False
        )
        for place, (one, encoding) in enumerate(zip(questions, encodings, strict=True), start=first):
            with naming("Example", place):
                windows = windows_of(
                    encoding,
                    null_id=self._tokenizer.cls_token_id,
                    max_length=self._longest,
                    stride=self._stride,
                )
            yield from self._targets(one, encoding, windows)

    def counts(self) -> dict[str, int]:
        """What was found so far, in words for the report."""
        return {
            "questions without an answer": self._none,
            "answers that tokens can't tell exactly": self._untold,
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
        held = [offsets[at] for at in _holding(answer, offsets)]
        if not held:
            self._tokenless += 1
            return
        self._untold += not _is_told(answer, held, question.context)
        found = [_target(window, answer, len(held)) for window in windows]
        self._too_long += not any(window.has_answer for window in found)
        yield from found


def _holding(answer: AnswerSpan, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Find the tokens that hold characters of an answer."""
    end = answer.start + len(answer.text)
    return [at for at, span in enumerate(offsets) if span[0] < end and span[1] > answer.start]


def _is_told(answer: AnswerSpan, held: Sequence[tuple[int, int]], context: str) -> bool:
    """Whether the tokens hold the answer and nothing more than space."""
    end = answer.start + len(answer.text)
    return trimmed(context, held[0][0], held[-1][1]) == trimmed(context, answer.start, end)


def _target(window: Window, answer: AnswerSpan, whole: int) -> AnswerWindow:
    places = _holding(answer, window.offsets)
    if len(places) < whole:
        return _without(window)
    texts = (ids_of(window.encoding),)
    return AnswerWindow(texts, window.first + places[0], window.first + places[-1], has_answer=True)


def _without(window: Window) -> AnswerWindow:
    return AnswerWindow((ids_of(window.encoding),), window.null, window.null, has_answer=False)


def with_part_of_negatives(every: list[AnswerWindow], part: float, seed: int) -> list[AnswerWindow]:
    """Keep all windows with an answer and so large a part of the others, in their order."""
    negative = [place for place, window in enumerate(every) if not window.has_answer]
    rng = np.random.default_rng([seed, _DRAW])
    chosen = rng.permutation(len(negative))[: round(part * len(negative))]
    kept = {negative[i] for i in chosen}
    return [window for place, window in enumerate(every) if window.has_answer or place in kept]


def check_part(part: object) -> None:
    """Raise `InputTypeError` or `InputError` unless it is a number from 0 to 1."""
    if not isinstance(part, int | float) or isinstance(part, bool):
        raise InputTypeError(f"negative_windows must be a number, got {part!r}.")
    if not 0 <= part <= 1:  # nor nan
        raise InputError(f"negative_windows must be between 0 and 1, got {part}.")
