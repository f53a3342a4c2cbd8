"""From texts with entities to windows of tokens with tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from munjang.tasks.tagging import TaggedText, align, entities_of_tokens
from munjang.tasks.windows import Window, context_of, windows
from munjang.tokenization import Tokenizer
from munjang.tokenization.encoding import Encoding, TokenIds
from munjang.training.task_objective import ids_of

__all__ = ["NO_TAG", "TaggedWindows"]

NO_TAG = -100


class TaggedWindows:
    """Cuts texts into windows and gives their tokens tags, and counts what becomes of the entities.

    Args:
        tokenizer: of the model.
        tags: the model's labels in their order.
        longest: tokens of a window.
    """

    def __init__(self, tokenizer: Tokenizer, tags: Sequence[str], longest: int) -> None:
        self._tokenizer = tokenizer
        self._numbers = {tag: number for number, tag in enumerate(tags)}
        self._longest = longest
        self._entities = self._untold = self._cut = self._empty = 0

    def of(self, texts: Sequence[TaggedText]) -> Iterator[tuple[TokenIds, list[int]]]:
        """Give the ids and the numbers of the tags of each window; `NO_TAG` where a token is not learned."""
        encodings = self._tokenizer.encode_batch([one["text"] for one in texts], truncation=False)
        for one, encoding in zip(texts, encodings, strict=True):
            tags = align(one["entities"], encoding)
            told = set(entities_of_tokens(tags, encoding, one["text"]))
            self._entities += len(one["entities"])
            self._untold += sum(entity not in told for entity in one["entities"])
            numbers = [NO_TAG if tag is None else self._numbers[tag] for tag in tags]
            yield from self._windows(encoding, numbers)

    def counts(self) -> dict[str, int]:
        """What was found so far, in words for the report."""
        return {
            "longest window in tokens": self._longest,
            "texts cut into windows": self._cut,
            "texts without a token": self._empty,
            "entities": self._entities,
            "entities that tokens can't tell": self._untold,
        }

    def _windows(self, encoding: Encoding, numbers: list[int]) -> Iterator[tuple[TokenIds, list[int]]]:
        if all(number == NO_TAG for number in numbers):
            self._empty += 1
            return
        parts = windows(encoding, self._longest)
        self._cut += len(parts) > 1
        best = _best_windows(encoding, parts)
        for which, part in enumerate(parts):
            yield (
                ids_of(part.encoding),
                [numbers[at] if best[at] == which else NO_TAG for at in part.positions],
            )


def _best_windows(encoding: Encoding, parts: Sequence[Window]) -> NDArray[np.intp]:
    """For each token the number of the first window where it has most context, ``[L]``."""
    own = np.array([at for at, sequence in enumerate(encoding.sequence_ids) if sequence == 0])
    best = np.zeros(len(encoding), dtype=np.intp)
    most = np.full(len(encoding), -1, dtype=np.intp)
    for which, part in enumerate(parts):
        places = own[part.start : part.end]
        context = np.fromiter(context_of(part, len(own)), dtype=np.intp, count=len(places))
        better = context > most[places]
        best[places[better]] = which
        most[places[better]] = context[better]
    return best
