"""Evaluation of taggers of entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from munjang.data.tags import OUTSIDE, Entity, TaggedText, character_tags, has_suffixes, split_tag
from munjang.errors import InputError
from munjang.evaluation.evaluation import (
    Evaluation,
    check_finite,
    in_steps,
    listed,
    quantity,
    require_examples,
)
from munjang.evaluation.measures.entities import CharacterTags, EntityPairs
from munjang.progress import Advance

if TYPE_CHECKING:
    from munjang.choices import Grouping
    from munjang.tasks.aggregation import EntityGroup
    from munjang.tasks.token_classification import TokenClassification


def evaluate_entities(
    tagger: TokenClassification,
    texts: Sequence[TaggedText],
    *,
    strategy: Grouping = "simple",
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure a tagger: ``entity_f1`` with its precision and recall, ``character_f1``, and each type's F1.

    ``entity_f1`` counts all entities together (CoNLL-2003); ``entity_macro_f1`` is the mean over types,
    which KLUE-NER reports beside ``character_f1`` (see `munjang.evaluation.measures.entities`). The F1 of
    a type is called ``entity_f1:PS``. ``strategy`` is how the tagger joins tokens. ``intervals=False``
    omits the bootstrap; ``advance`` is called with the number of texts done. Raises `InputError` for
    data without texts or without any entity, entities outside their text, types that the model does not
    have, and scores that are NaN; and whatever the tagger raises.
    """
    require_examples(texts)
    _check(tagger, texts)

    def tag(chunk: Sequence[str]) -> list[list[EntityGroup]]:
        return tagger(chunk, aggregation_strategy=strategy, ignore_labels=())

    outputs = in_steps(tag, [each["text"] for each in texts], advance, bounded=True)
    # Check the scores outside entities too: with NaN everywhere, nothing would be an entity.
    check_finite([sum(group["score"] for group in groups) for groups in outputs])
    gold = [each["entities"] for each in texts]
    predicted = [
        [_as_entity(each) for each in groups if each["entity_group"] != OUTSIDE] for groups in outputs
    ]
    entities = EntityPairs(gold, predicted)
    statistics = {
        "entity_f1": entities.micro_f1,
        "entity_precision": entities.precision,
        "entity_recall": entities.recall,
        "entity_macro_f1": entities.macro_f1,
        "character_f1": CharacterTags(gold, predicted).macro_f1,
        **{f"entity_f1:{name}": entities.f1_of(name) for name in entities.names},
    }
    notes = quantity(sum(map(len, gold)), "entity", "entities")
    return Evaluation.of("entities", statistics, len(texts), intervals=intervals, notes=notes)


def _as_entity(group: EntityGroup) -> Entity:
    return group["start"], group["end"], group["entity_group"]


def _check(tagger: TokenClassification, texts: Sequence[TaggedText]) -> None:
    for each in texts:
        character_tags(each)  # raises for entities that overlap or lie outside the text
    given = sorted({kind for each in texts for _, _, kind in each["entities"]})
    if not given:
        raise InputError(f"None of the {len(texts)} texts has an entity; F1 needs some.")
    tags = list(tagger.model.config.labels.id2label.values())
    suffixed = has_suffixes(tags)
    known = list(dict.fromkeys(split_tag(tag, suffixed=suffixed)[1] for tag in tags if tag != OUTSIDE))
    unknown = [kind for kind in given if kind not in known]
    if unknown:
        raise InputError(
            f"The model does not have the data's {listed(unknown)}: its types are {listed(known)}, the "
            f"data's {listed(given)}. Choose other data or another model."
        )
