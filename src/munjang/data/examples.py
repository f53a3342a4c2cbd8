"""Labelled examples for training and evaluation, independent of their file format.

Texts with entities are `munjang.data.tags.TaggedText`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Span: TypeAlias = tuple[int, int] | tuple[int, int, str]  # of characters; the third is the entity's type


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text, or a pair of texts, and its label: a name, or a number for regression."""

    text: str
    text_pair: str | None
    label: str | float


@dataclass(frozen=True, slots=True)
class RelationExample:
    """A text, the character offsets of its two entities, and their relation."""

    text: str
    subject: Span
    object: Span
    label: str


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """An answer and its offset in a context: ``context[start : start + len(text)] == text``."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class QuestionExample:
    """A question, a context, and the answers in the context; empty for an unanswerable question."""

    id: str
    question: str
    context: str
    answers: tuple[AnswerSpan, ...]


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two sentences and their similarity score, on the scale of the file (0 to 5 in the STS benchmarks)."""

    sentence1: str
    sentence2: str
    score: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """An anchor, a positive, and negatives (if empty, other examples' texts serve as negatives)."""

    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RankedList:
    """A query and documents with their relevance: 1 and 0, or grades."""

    query: str
    documents: tuple[str, ...]
    relevance: tuple[float, ...]
