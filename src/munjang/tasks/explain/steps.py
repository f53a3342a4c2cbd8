"""What `munjang.explain` found: every step from text to answer, as arrays that can be asked and drawn.

T tokens, H numbers in a token's vector. Layers, heads and tokens count from 0, as the names of the taps do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Choice",
    "Decision",
    "Embeddings",
    "Explained",
    "Layer",
    "Link",
    "Rows",
    "SentenceVector",
    "Step",
    "cosines",
    "norms",
]

Array = NDArray[np.float32]


def norms(vectors: Array) -> Array:
    """The lengths of vectors ``[T, H]``: ``[T]``."""
    return np.asarray(np.linalg.norm(vectors, axis=-1), dtype=np.float32)


def cosines(vectors: Array) -> Array:
    """The cosine of the angle between every two of ``[T, H]``: ``[T, T]``."""
    units = vectors / np.maximum(norms(vectors), np.float32(1e-12))[:, None]
    return np.asarray(np.clip(units @ units.T, -1, 1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a model is fed, one entry per token.

    ``token_type_ids`` is ``None`` for a model without segments, ``position_ids`` where no model was asked.
    ``characters`` are what each token covers of the caller's text; special tokens cover nothing.
    """

    tokens: list[str]
    input_ids: list[int]
    attention_mask: list[int]
    special_tokens_mask: list[int]
    offsets: list[tuple[int, int]]
    sequence_ids: list[int | None]
    characters: list[str]
    token_type_ids: list[int] | None = None
    position_ids: list[int] | None = None

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """The vectors that are looked up and added.

    Attributes:
        parts: ``word``, ``position`` and, if the model has segments, ``token_type``; each ``[T, E]``.
        result: what enters the first layer, ``[T, H]``: the sum, normalised or projected as the model does.
    """

    parts: Mapping[str, Array]
    result: Array

    @property
    def added(self) -> Array:
        """The sum of the parts, ``[T, E]``."""
        return np.asarray(np.sum(list(self.parts.values()), axis=0), dtype=np.float32)


class Link(NamedTuple):
    """One token looking at another, with the share of its attention."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer: each token's vector after it, and who looked at whom in it.

    Attributes:
        number: from 0.
        before: what came into the layer, ``[T, H]``.
        vectors: what left it, ``[T, H]``.
        attention: ``[heads, T, T]``; each row sums to 1.
    """

    number: int
    before: Array
    vectors: Array
    attention: Array

    @property
    def cos_to_before(self) -> Array:
        """The cosine of each token's vector with the one before the layer, ``[T]``: 1 is unchanged."""
        products = (self.before * self.vectors).sum(axis=-1)
        lengths = np.maximum(norms(self.before) * norms(self.vectors), np.float32(1e-12))
        return np.asarray(np.clip(products / lengths, -1, 1), dtype=np.float32)

    def weights(self, head: int | None = None) -> Array:
        """One head's attention, or the mean of all: ``[T, T]``."""
        return np.asarray(self.attention.mean(axis=0) if head is None else self.attention[head])

    def strongest(self, head: int | None = None) -> list[Link]:
        """For each token, the one that it looks at most."""
        weights = self.weights(head)
        return [Link(i, int(row.argmax()), float(row.max())) for i, row in enumerate(weights)]

    @property
    def focus(self) -> Array:
        """How sharply each head looks, ``[heads]``: 1 at one token only, 0 at all alike.

        One minus the mean entropy of the rows over that of an even look at as many tokens.
        """
        tokens = self.attention.shape[-1]
        logs = np.log(np.maximum(self.attention, np.float32(1e-12)))
        entropies = -(self.attention * logs).sum(axis=-1).mean(axis=-1)
        return np.asarray(1 - entropies / max(np.log(tokens), 1e-12), dtype=np.float32)


class Step(NamedTuple):
    """A named vector on the way to the answer."""

    name: str
    vector: Array


@dataclass(frozen=True, slots=True, eq=False)
class SentenceVector:
    """How token vectors became one.

    ``pooling`` names the ways; ``steps`` are the pooled vector and what each later module made of it.
    """

    pooling: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def vector(self) -> Array:
        """The sentence's vector, as `SentenceTransformer.encode` gives it."""
        return self.steps[-1].vector


class Choice(NamedTuple):
    """One possible answer: its number, its name, and what the head says of it."""

    id: int
    label: str
    logit: float
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a head decided, for the text or for one token.

    Attributes:
        place: the token that it is about, or ``None`` for the whole text.
        logits: one per possible answer.
        scores: the logits through ``function``.
        function: ``"softmax"``, ``"sigmoid"`` or ``"none"``.
        choices: the best answers, best first.
        withheld: the score that went to answers that are never offered, such as ``[UNK]``.
    """

    place: int | None
    logits: Array
    scores: Array
    function: str
    choices: tuple[Choice, ...]
    withheld: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Explained:
    """Every step from a text to an answer: the values alone.

    Attributes:
        text, pair: what was asked about, with the model's prompt if it has one.
        model, model_type, task: with what, and for what.
        rows: tokens, ids and the other rows.
        embeddings: the vectors that are added at the start.
        layers: every layer.
        last_hidden_state: ``[T, H]``.
        sentence: the sentence's vector, of a model that makes them.
        steps: vectors between the last layer and the logits.
        decisions: what the task's head decided: one for the text, or one for each mask.
    """

    text: str
    pair: str | None
    model: str
    model_type: str
    task: str
    rows: Rows
    embeddings: Embeddings | None = None
    layers: tuple[Layer, ...] = ()
    last_hidden_state: Array | None = None
    sentence: SentenceVector | None = None
    steps: tuple[Step, ...] = ()
    decisions: tuple[Decision, ...] = ()
