"""F1 of entities and of their characters, against plain sets, seqeval's reading of tags, and scikit-learn."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from munjang.data.tags import Entity, TaggedText, character_tags
from munjang.errors import InputError
from munjang.evaluation.measures.entities import (
    CharacterTags,
    EntityPairs,
    character_f1,
    entity_f1,
    entity_macro_f1,
)
from munjang.evaluation.measures.resampling import point

LENGTH = 12


@st.composite
def entities(draw: st.DrawFn) -> list[Entity]:
    """Entities of a text of `LENGTH` characters that do not overlap."""
    borders = sorted(draw(st.sets(st.integers(0, LENGTH), max_size=8)))
    spans = list(zip(borders[::2], borders[1::2], strict=False))
    return [(start, end, draw(st.sampled_from(["PS", "LC", "OG"]))) for start, end in spans]


TEXTS = st.lists(st.tuples(entities(), entities()), min_size=1, max_size=6)


def tags_of(found: list[Entity]) -> list[str]:
    return character_tags(TaggedText(text="가" * LENGTH, entities=found))


def read_as_seqeval(tags: list[str]) -> set[tuple[str, int, int]]:
    """Chunks as seqeval's default mode defines them: by where a type begins, continues and ends."""
    chunks = set()
    begun = 0
    for place, (previous, tag) in enumerate(zip(["O", *tags], [*tags, "O"], strict=True)):
        goes_on = tag.startswith("I-") and previous != "O" and previous[2:] == tag[2:]
        if previous != "O" and not goes_on:
            chunks.add((previous[2:], begun, place - 1))
        if tag != "O" and not goes_on:
            begun = place
    return chunks


def f1(hits: int, predicted: int, gold: int) -> float:
    return 2 * hits / (predicted + gold) if predicted + gold else 0.0


@settings(deadline=None)
@given(TEXTS)
def test_entities_as_plain_sets_and_seqeval(texts: list[tuple[list[Entity], list[Entity]]]) -> None:
    gold, predicted = [one for one, _ in texts], [other for _, other in texts]
    plain = [
        {(row, *entity) for row, found in enumerate(side) for entity in found} for side in (gold, predicted)
    ]
    tagged = [
        {(row, *chunk) for row, found in enumerate(side) for chunk in read_as_seqeval(tags_of(found))}
        for side in (gold, predicted)
    ]
    for there, guessed in (plain, tagged):
        expected = f1(len(there & guessed), len(guessed), len(there))
        assert entity_f1(gold, predicted) == pytest.approx(expected)
    there, guessed = plain
    pairs = EntityPairs(gold, predicted)
    scores = {}
    for kind, _ in groupby(sorted({entity[-1] for entity in there | guessed})):
        of_kind = [{one for one in side if one[-1] == kind} for side in plain]
        scores[kind] = f1(len(of_kind[0] & of_kind[1]), len(of_kind[1]), len(of_kind[0]))
        assert point(pairs.f1_of(kind), len(gold)) == pytest.approx(scores[kind])
    assert list(pairs.names) == list(scores)
    if scores:
        assert entity_macro_f1(gold, predicted) == pytest.approx(np.mean(list(scores.values())))
    assert point(pairs.precision, len(gold)) == (len(there & guessed) / len(guessed) if guessed else 0)
    assert point(pairs.recall, len(gold)) == (len(there & guessed) / len(there) if there else 0)


@settings(deadline=None)
@given(TEXTS)
def test_characters_as_scikit_learn(texts: list[tuple[list[Entity], list[Entity]]]) -> None:
    gold, predicted = [one for one, _ in texts], [other for _, other in texts]
    there = [tag for found in gold for tag in tags_of(found)]
    guessed = [tag for found in predicted for tag in tags_of(found)]
    kept = sorted({*there, *guessed} - {"O"})
    assert list(CharacterTags(gold, predicted).names) == kept
    if kept:
        peer = sklearn.metrics.f1_score(there, guessed, average="macro", labels=kept, zero_division=0)
        assert character_f1(gold, predicted) == pytest.approx(peer)


def test_by_hand() -> None:
    gold = [[(0, 3, "PS"), (5, 7, "LC")], [(0, 2, "PS")]]
    predicted = [[(0, 3, "PS"), (5, 8, "LC")], [(0, 2, "LC")]]
    assert entity_f1(gold, predicted) == pytest.approx(1 / 3)
    # B-PS 2/3, I-PS: 2 found of 3 predicted 2 -> 4/5; B-LC: 1 of 1, 2 predicted -> 2/3; I-LC 1 of 1, 3 -> 1/2
    assert character_f1(gold, predicted) == pytest.approx((2 / 3 + 4 / 5 + 2 / 3 + 1 / 2) / 4)


def test_entities_that_share_a_character_are_counted_all_the_same() -> None:
    pairs = CharacterTags([[(0, 2, "PS")]], [[(0, 2, "PS"), (1, 3, "LC")]])
    assert list(pairs.names) == ["B-PS", "I-LC", "I-PS"]
    assert point(pairs.f1_of("I-PS"), 1) == 1


def test_entities_as_json_has_them() -> None:
    as_lists: Any = [[[0, 2, "PS"]]]
    assert entity_f1(as_lists, [[(0, 2, "PS")]]) == character_f1(as_lists, as_lists) == 1


def test_bad_sequences() -> None:
    for measure in (entity_f1, entity_macro_f1, character_f1):
        with pytest.raises(InputError, match="2 texts, but 1 predictions"):
            measure([[], []], [[]])
        with pytest.raises(InputError, match="no texts"):
            measure([], [])
