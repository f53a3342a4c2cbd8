"""Tags of entities: how their names are built, and how characters, words and tokens are brought together.

Entities are ``(start, end, type)`` with character offsets into the text. Tags are BIO: ``B-PS`` begins an
entity, ``I-PS`` goes on with it, ``O`` is outside. Some Korean data writes ``PS-B`` or ``PS_B`` instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias, TypedDict

from munjang.errors import InputError
from munjang.tokenization.encoding import Encoding

__all__ = [
    "OUTSIDE",
    "Entity",
    "TaggedText",
    "align",
    "character_tags",
    "entities_of_tags",
    "entities_of_tokens",
    "has_suffixes",
    "split_tag",
    "trimmed",
]

Entity: TypeAlias = tuple[int, int, str]
OUTSIDE = "O"
_PREFIXED = re.compile(r"([BI])-(.+)", re.DOTALL)
_SUFFIXED = re.compile(r"(.+)[-_]([BI])", re.DOTALL)


class TaggedText(TypedDict):
    """A text with its entities in order."""

    text: str
    entities: list[Entity]


def has_suffixes(labels: Collection[str]) -> bool:
    """Return whether a set of labels is written ``PS-B, PS-I`` throughout, not ``B-PS, I-PS``."""
    tags = [label for label in labels if label != OUTSIDE]
    return bool(tags) and all(_SUFFIXED.fullmatch(tag) and not _PREFIXED.fullmatch(tag) for tag in tags)


def split_tag(tag: str, *, suffixed: bool = False) -> tuple[str, str]:
    """``B-PS`` -> ``("B", "PS")``; a tag without either letter goes on with its like: ``("I", tag)``."""
    if suffixed and (found := _SUFFIXED.fullmatch(tag)):
        return found[2], found[1]
    if not suffixed and (found := _PREFIXED.fullmatch(tag)):
        return found[1], found[2]
    return "I", tag


def entities_of_tags(tagged: Iterable[tuple[int, int, str]], *, suffixed: bool = False) -> list[Entity]:
    """Join pieces ``(start, end, tag)`` to entities; an ``I-`` that goes on with nothing begins one."""
    found: list[Entity] = []
    current: Entity | None = None
    for start, end, tag in tagged:
        letter, kind = split_tag(tag, suffixed=suffixed)
        if current is not None and letter == "I" and current[2] == kind:
            current = (current[0], max(current[1], end), kind)
            continue
        if current is not None:
            found.append(current)
        current = None if kind == OUTSIDE else (start, end, kind)
    return found if current is None else [*found, current]


def align(entities: Sequence[Entity], encoding: Encoding) -> list[str | None]:
    """Return the tag of each token of an encoding; None for special tokens.

    A token that holds a part of an entity belongs to it; one that holds parts of two belongs to that of
    which it holds more, or the first. Raises `InputError` for entities that are empty or overlap.
    """
    ordered = _checked(entities)
    tags: list[str | None] = []
    begun = None
    at = 0
    for span, sequence in zip(encoding.offsets, encoding.sequence_ids, strict=True):
        if sequence is None:
            tags.append(None)
            continue
        while at < len(ordered) and ordered[at][1] <= span[0]:
            at += 1
        entity = _owner(span, ordered[at:])
        tags.append(OUTSIDE if entity is None else f"{'I' if entity == begun else 'B'}-{entity[2]}")
        begun = entity or begun
    return tags


def entities_of_tokens(tags: Sequence[str | None], encoding: Encoding, text: str) -> list[Entity]:
    """Return the entities of tagged tokens, without the spaces that some tokens hold at their edges.

    For entities that begin and end where tokens do, this is the inverse of `align`.
    """
    pieces = ((*span, tag or OUTSIDE) for span, tag in zip(encoding.offsets, tags, strict=True))
    found = ((*trimmed(text, start, end), kind) for start, end, kind in entities_of_tags(pieces))
    return [entity for entity in found if entity[0] < entity[1]]


def character_tags(example: TaggedText) -> list[str]:
    """Return the tag of each character of a text, as in the data and in the scoring of KLUE-NER."""
    tags = [OUTSIDE] * len(example["text"])
    for start, end, kind in _checked(example["entities"]):
        if end > len(tags) or start < 0:
            raise InputError(
                f"The entity {(start, end, kind)} lies outside the text of {len(tags)} characters."
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
            shared = 0.5  # a token of no characters, in the midst of an entity, does not break it
        if shared > most:
            best, most = entity, shared
    return best


def _checked(entities: Sequence[Entity]) -> list[Entity]:
    ordered = sorted(entities, key=lambda entity: entity[:2])
    for entity in ordered:
        if entity[0] >= entity[1]:
            raise InputError(f"The entity {entity} is empty; its end must be after its start.")
    for one, next_one in pairwise(ordered):
        if next_one[0] < one[1]:
            raise InputError(f"The entities {one} and {next_one} overlap; a token can have one tag only.")
    return ordered
