"""Tags of entities: their names, and the alignment of characters, words and tokens.

Entities are ``(start, end, type)`` with character offsets into the text. Tags are BIO: ``B-PS`` begins an
entity, ``I-PS`` continues it, ``O`` is outside. Some Korean data writes ``PS-B`` or ``PS_B`` instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from munjang.errors import InputError

if TYPE_CHECKING:
    from munjang.tokenization.encoding import Encoding

Entity: TypeAlias = tuple[int, int, str]
OUTSIDE = "O"
_PREFIXED = re.compile(r"([BI])-(.+)", re.DOTALL)
_SUFFIXED = re.compile(r"(.+)[-_]([BI])", re.DOTALL)


class TaggedText(TypedDict):
    """A text with its entities in order."""

    text: str
    entities: list[Entity]


def has_suffixes(labels: Collection[str]) -> bool:
    """Return whether all labels of a set are written ``PS-B, PS-I``, not ``B-PS, I-PS``."""
    tags = [label for label in labels if label != OUTSIDE]
    return bool(tags) and all(_SUFFIXED.fullmatch(tag) and not _PREFIXED.fullmatch(tag) for tag in tags)


def split_tag(tag: str, *, suffixed: bool = False) -> tuple[str, str]:
    """Return ``("B", "PS")`` for ``B-PS``, and ``("I", tag)`` for a tag without either letter.

    So a tag without a letter continues an entity of the same tag.
    """
    if suffixed and (match := _SUFFIXED.fullmatch(tag)):
        return match[2], match[1]
    if not suffixed and (match := _PREFIXED.fullmatch(tag)):
        return match[1], match[2]
    return "I", tag


def entities_of_tags(tagged: Iterable[tuple[int, int, str]], *, suffixed: bool = False) -> list[Entity]:
    """Join pieces ``(start, end, tag)`` to entities; an ``I-`` that continues nothing begins an entity."""
    entities: list[Entity] = []
    current: Entity | None = None
    for start, end, tag in tagged:
        letter, kind = split_tag(tag, suffixed=suffixed)
        if current is not None and letter == "I" and current[2] == kind:
            current = (current[0], max(current[1], end), kind)
            continue
        if current is not None:
            entities.append(current)
        current = None if kind == OUTSIDE else (start, end, kind)
    return entities if current is None else [*entities, current]


def align(entities: Sequence[Entity], encoding: Encoding) -> list[str | None]:
    """Return the tag of each token of an encoding; None for special tokens.

    A token that overlaps an entity belongs to it; a token that overlaps two entities belongs to the entity
    with the larger overlap, or to the first. Raises `InputError` for entities that are empty or overlap.
    """
    ordered = _checked(entities)
    tags: list[str | None] = []
    begun = None
    index = 0
    for span, sequence in zip(encoding.offsets, encoding.sequence_ids, strict=True):
        if sequence is None:
            tags.append(None)
            continue
        while index < len(ordered) and ordered[index][1] <= span[0]:
            index += 1
        entity = _owner(span, ordered[index:])
        tags.append(OUTSIDE if entity is None else f"{'I' if entity == begun else 'B'}-{entity[2]}")
        begun = entity or begun
    return tags


def entities_of_tokens(tags: Sequence[str | None], encoding: Encoding, text: str) -> list[Entity]:
    """Return the entities of tagged tokens, without white space at the edges of tokens.

    For entities that begin and end at the edges of tokens, this is the inverse of `align`.
    """
    pieces = ((*span, tag or OUTSIDE) for span, tag in zip(encoding.offsets, tags, strict=True))
    entities = ((*trimmed(text, start, end), kind) for start, end, kind in entities_of_tags(pieces))
    return [entity for entity in entities if entity[0] < entity[1]]


def character_tags(example: TaggedText) -> list[str]:
    """Return the tag of each character of a text, as in the data and in the scoring of KLUE-NER."""
    tags = [OUTSIDE] * len(example["text"])
    for start, end, kind in _checked(example["entities"]):
        if end > len(tags) or start < 0:
            raise InputError(
                f"The entity {(start, end, kind)} is outside the text of {len(tags)} characters."
            )
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without the white space at both ends."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _owner(span: tuple[int, int], entities: Sequence[Entity]) -> Entity | None:
    """Return the entity with the largest overlap with a token; entities are in order."""
    best, most = None, 0.0
    for entity in entities:
        if entity[0] >= max(span[1], span[0] + 1):
            break
        shared: float = min(span[1], entity[1]) - max(span[0], entity[0])
        if span[0] == span[1] and entity[0] < span[0] < entity[1]:
            shared = 0.5  # a token without characters does not split the entity around it
        if shared > most:
            best, most = entity, shared
    return best


def _checked(entities: Sequence[Entity]) -> list[Entity]:
    ordered = sorted(entities, key=lambda entity: entity[:2])
    for entity in ordered:
        if entity[0] >= entity[1]:
            raise InputError(f"The entity {entity} is empty; its end must be after its start.")
    for first, second in pairwise(ordered):
        if second[0] < first[1]:
            raise InputError(f"The entities {first} and {second} overlap; a token can have one tag only.")
    return ordered
