"""What a model learns from and is measured on: labelled examples, whatever file they came from.

Texts with entities are `munjang.data.tags.TaggedText`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "AnswerSpan",
    "Contrast",
    "LabelledText",
    "QuestionExample",
    "RankedList",
    "RelationExample",
    "ScoredPair",
    "Span",
]

Span: TypeAlias = tuple[int, int] | tuple[int, int, str]  # of characters; the third is the entity's type


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, or a pair of texts, and its label: a name, or a number for regression."""

    text: str
    text_pair: str | None
    label: str | float


@dataclass(frozen=True, slots=True)
class RelationExample:
    """A text, the places of its two entities in characters, and how they stand to each other."""

    text: str
    subject: Span
    object: Span
    label: str


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """An answer as it stands in a context: ``context[start : start + len(text)] == text``."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class QuestionExample:
    """A question, a context, and the answers that the context gives; none if it gives none."""

    id: str
    question: str
    context: str
    answers: tuple[AnswerSpan, ...]


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two sentences and how alike they are, on the scale of their file (0 to 5 in the STS benchmarks)."""

    sentence1: str
    sentence2: str
    score: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """A text, one that belongs to it, and some that do not (maybe none: other examples' then serve)."""

    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RankedList:
    """A query and documents with their relevance: 1 and 0, or grades."""

    query: str
    documents: tuple[str, ...]
    relevance: tuple[float, ...]
