"""Measures of entities: of whole entities, and of the tags of their characters, as in KLUE-NER.

KLUE-NER (arXiv:2105.09680, section 3.4) has two: the F1 of entities, which count only if their borders and
their type are exactly right, and the macro F1 of character tags, which also counts parts of entities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.data.tags import Entity
from munjang.evaluation.measures.counts import Counted, Sums, check_paired
from munjang.evaluation.measures.resampling import Weights, point

Items: TypeAlias = Set[tuple[Any, ...]]


class _ItemPairs(Counted):
    """The true and the predicted items of each text; the last part of an item is its name."""

    def __init__(self, gold: Sequence[Items], predicted: Sequence[Items]) -> None:
        check_paired("texts", gold, "predictions", predicted)
        self.names = sorted({item[-1] for items in (*gold, *predicted) for item in items})
        self._gold = self._table(gold)
        self._predicted = self._table(predicted)
        self._hits = self._table([true & guessed for true, guessed in zip(gold, predicted, strict=True)])

    def sums(self, weights: Weights) -> Sums:
        """Return the counts of each name."""
        return Sums(weights @ self._hits, weights @ self._predicted, weights @ self._gold)

    def _table(self, texts: Sequence[Items]) -> NDArray[np.float64]:
        """Return the counts of the names in each text: ``[n, K]``."""
        table = np.zeros((len(texts), len(self.names)))
        columns = {name: column for column, name in enumerate(self.names)}
        for row, items in enumerate(texts):
            for name, times in Counter(item[-1] for item in items).items():
                table[row, columns[name]] = times
        return table


class EntityPairs(_ItemPairs):
    """The true and the predicted entities of each text; the names are their types.

    Raises `InputError` for sequences of unequal length, or empty ones.
    """

    def __init__(self, gold: Sequence[Iterable[Entity]], predicted: Sequence[Iterable[Entity]]) -> None:
        super().__init__(
            *([{(*each,) for each in entities} for entities in side] for side in (gold, predicted))
        )


class CharacterTags(_ItemPairs):
    """The true and predicted tags of each text's characters; the names are the tags, ``B-PS`` or ``I-PS``.

    Characters outside entities are left out, as in KLUE's description. Its published program counts the tag
    ``O`` as one more class, which is almost always right, and its numbers are higher; so do not compare the
    two. Raises as `EntityPairs`.
    """

    def __init__(self, gold: Sequence[Iterable[Entity]], predicted: Sequence[Iterable[Entity]]) -> None:
        super().__init__(*([_tagged(entities) for entities in side] for side in (gold, predicted)))


def entity_f1(gold: Sequence[Iterable[Entity]], predicted: Sequence[Iterable[Entity]]) -> float:
    """Return the F1 of all entities ``(start, end, type)`` together, as CoNLL-2003 and seqeval count them.

    Raises as `EntityPairs`.
    """
    return point(EntityPairs(gold, predicted).micro_f1, len(gold))


def entity_macro_f1(gold: Sequence[Iterable[Entity]], predicted: Sequence[Iterable[Entity]]) -> float:
    """Return the mean over types of the F1 of entities, which KLUE-NER reports. Raises as `EntityPairs`."""
    return point(EntityPairs(gold, predicted).macro_f1, len(gold))


def character_f1(gold: Sequence[Iterable[Entity]], predicted: Sequence[Iterable[Entity]]) -> float:
    """Return the mean over tags of the F1 of the characters' tags; see `CharacterTags`."""
    return point(CharacterTags(gold, predicted).macro_f1, len(gold))


def _tagged(entities: Iterable[Entity]) -> set[tuple[int, str]]:
    """Return the characters of entities with their tags; in an overlap the first entity counts."""
    tags: dict[int, str] = {}
    for start, end, kind in sorted(entities):
        for offset in range(start, end):
            tags.setdefault(offset, f"{'I' if offset > start else 'B'}-{kind}")
    return set(tags.items())
