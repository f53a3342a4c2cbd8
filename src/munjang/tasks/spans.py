"""Spans of answers: windows over a long context, and the best spans of each window.

A span's score is the probability of its start times the probability of its end, each a softmax over the
context's tokens and the first special token, which represents "no answer" (as in BERT, arXiv:1810.04805,
section 4.3, and in the former pipeline of `transformers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.sentence.activations import softmax
from munjang.tokenization import Encoding


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the context: ``context[start:end]``."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Window:
    """The question with a part of the context.

    ``null`` is the index of the token that represents "no answer"; the context's tokens start at ``first``,
    and ``offsets`` are their characters in the context.
    """

    encoding: Encoding
    null: int
    first: int
    offsets: list[tuple[int, int]]


def windows_of(
    encoding: Encoding, *, null_id: int | None, max_length: int, stride: int | None
) -> list[Window]:
    """Split an encoding of question and context into windows of at most ``max_length`` tokens.

    Neighbours share ``stride`` tokens of context: by default 128, or half of a window's context if that is
    less. Raises `InputError` if the question fills a window, or if the stride is a window's whole context.
    """
    context = [at for at, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
    if not context:
        raise InputError("The context has no tokens; write some text.")
    room = max_length - (len(encoding) - len(context))
    if room < 1:
        raise InputError(
            f"The question and the special tokens take {len(encoding) - len(context)} of the {max_length} "
            "tokens of a window, which leaves no room for the context; shorten the question or raise "
            "max_seq_len."
        )
    shared = min(128, room // 2) if stride is None else stride
    if shared >= room:
        raise InputError(
            f"doc_stride={shared} is the overlap of windows that hold {room} tokens of context; lower it."
        )
    before, after = list(range(context[0])), list(range(context[-1] + 1, len(encoding)))
    starts = range(0, max(len(context) - shared, 1), room - shared)
    return [_window(encoding, before, context[start : start + room], after, null_id) for start in starts]


def _window(
    encoding: Encoding, before: list[int], context: list[int], after: list[int], null_id: int | None
) -> Window:
    cut = encoding.select([*before, *context, *after])
    null = cut.input_ids.index(null_id) if null_id in cut.input_ids else 0
    return Window(cut, null, len(before), [encoding.offsets[at] for at in context])


def _probabilities(window: Window, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities of starts and ends ``[1 + n, 2]``: "no answer", then the context's n tokens."""
    candidates = [window.null, *range(window.first, window.first + len(window.offsets))]
    return softmax(logits[candidates].T).T


def null_score(window: Window, logits: NDArray[np.float32]) -> float:
    """Return the probability that a window holds no answer, from the logits ``[L, 2]`` of its tokens."""
    start, end = _probabilities(window, logits)[0]
    return float(start * end)


def best_spans(window: Window, logits: NDArray[np.float32], *, max_tokens: int) -> Iterator[Span]:
    """Yield the spans of a window, best first, of at most ``max_tokens`` tokens; logits are ``[L, 2]``."""
    probabilities = _probabilities(window, logits)[1:]
    count = len(probabilities)
    widths = np.arange(min(max_tokens, count))
    ends = np.arange(count)[:, None] + widths  # [n, widest]
    inside = ends < count
    scores = probabilities[:, :1] * probabilities[np.minimum(ends, count - 1), 1]
    # Broken weights give NaN, which sorting would put after the cells outside.
    ordered_by = np.where(inside, -np.nan_to_num(scores), np.inf)
    order = np.argsort(ordered_by, axis=None, kind="stable")
    for cell in order[: int(inside.sum())]:
        first, width = divmod(int(cell), len(widths))
        yield Span(window.offsets[first][0], window.offsets[first + width][1], float(scores[first, width]))


def merged(spans: Sequence[Span]) -> list[Span]:
    """Return each span of text once, with its best score; best first, equal scores by position."""
    best: dict[tuple[int, int], Span] = {}
    for span in spans:
        known = best.get((span.start, span.end))
        if known is None or span.score > known.score:
            best[span.start, span.end] = span
    return sorted(best.values(), key=lambda span: (-span.score, span.start, span.end))
