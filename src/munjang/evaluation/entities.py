"""How good a model is at entities."""

from __future__ import annotations

from collections.abc import Sequence

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
from munjang.evaluation.measures.resampling import Statistic, estimates
from munjang.progress import Advance
from munjang.tasks.aggregation import EntityGroup
from munjang.tasks.token_classification import Grouping, TokenClassification

__all__ = ["evaluate_entities"]


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
    leaves the bootstrap out, ``advance`` is called with the number of texts done. Raises `InputError` for
    data without texts or without any entity, entities outside their text, types that the model does not
    know, and scores that are no numbers; and what the tagger raises.
    """
    require_examples(texts)
    gold = [one["entities"] for one in texts]
    _check(tagger, texts)

    def tag(some: Sequence[str]) -> list[list[EntityGroup]]:
        return tagger(some, aggregation_strategy=strategy, ignore_labels=())

    found = in_steps(tag, [one["text"] for one in texts], advance, bounded=True)
    # What is outside is looked at too: where no score is a number, nothing seems to be an entity.
    check_finite([sum(one["score"] for one in groups) for groups in found])
    predicted = [[_as_entity(one) for one in groups if one["entity_group"] != OUTSIDE] for groups in found]
    metrics = estimates(_statistics(gold, predicted), len(texts), intervals=intervals)
    notes = quantity(sum(map(len, gold)), "entity", "entities")
    return Evaluation("entities", "", len(texts), metrics, notes)


def _statistics(gold: Sequence[list[Entity]], predicted: Sequence[list[Entity]]) -> dict[str, Statistic]:
    entities = EntityPairs(gold, predicted)
    return {
        "entity_f1": entities.micro_f1,
        "entity_precision": entities.precision,
        "entity_recall": entities.recall,
        "entity_macro_f1": entities.macro_f1,
        "character_f1": CharacterTags(gold, predicted).macro_f1,
        **{f"entity_f1:{name}": entities.f1_of(name) for name in entities.names},
    }


def _as_entity(found: EntityGroup) -> Entity:
    return found["start"], found["end"], found["entity_group"]


def _check(tagger: TokenClassification, texts: Sequence[TaggedText]) -> None:
    for one in texts:
        character_tags(one)  # refuses entities that overlap or lie outside the text
    given = sorted({kind for one in texts for _, _, kind in one["entities"]})
    if not given:
        raise InputError(f"None of the {len(texts)} texts has an entity; F1 needs some.")
    tags = list(tagger.model.config.labels.id2label.values())
    suffixed = has_suffixes(tags)
    known = list(dict.fromkeys(split_tag(tag, suffixed=suffixed)[1] for tag in tags if tag != OUTSIDE))
    unknown = [kind for kind in given if kind not in known]
    if unknown:
        raise InputError(
            f"The model does not know the data's {listed(unknown)}: its types are {listed(known)}, the "
            f"data's {listed(given)}. Choose other data or another model."
        )
