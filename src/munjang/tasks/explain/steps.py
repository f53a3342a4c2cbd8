"""The values of an explanation: every step from text to answer, as arrays.

There are T tokens with vectors of H components. Layers, heads and tokens are numbered from 0, as in taps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def norms(vectors: Array) -> Array:
    """Return the lengths of vectors ``[T, H]``: ``[T]``."""
    return np.asarray(np.linalg.norm(vectors, axis=-1), dtype=np.float32)


def cosines(vectors: Array) -> Array:
    """Return the cosine between every two vectors of ``[T, H]``: ``[T, T]``."""
    units = vectors / np.maximum(norms(vectors), np.float32(1e-12))[:, None]
    return np.asarray(np.clip(units @ units.T, -1, 1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Rows:
    """The inputs of a model, one entry per token.

    ``token_type_ids`` is ``None`` for a model without segments, ``position_ids`` if no model was run.
    ``characters`` are each token's part of the caller's text; empty for special tokens.
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
        """Return the number of tokens."""
        return len(self.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """The embeddings of the tokens, which are added.

    Attributes:
        parts: ``word``, ``position`` and, if the model has segments, ``token_type``; each ``[T, E]``.
        result: the first layer's input, ``[T, H]``: the sum, normalised or projected as in the model.
    """

    parts: Mapping[str, Array]
    result: Array

    @property
    def added(self) -> Array:
        """The sum of the parts, ``[T, E]``."""
        return np.asarray(np.sum(list(self.parts.values()), axis=0), dtype=np.float32)


class Link(NamedTuple):
    """The attention of one token to another, as a share."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer: its input and output vectors, and its attention.

    Attributes:
        number: from 0.
        before: its input, ``[T, H]``.
        vectors: its output, ``[T, H]``.
        attention: ``[heads, T, T]``; each row sums to 1.
    """

    number: int
    before: Array
    vectors: Array
    attention: Array

    @property
    def cos_to_before(self) -> Array:
        """The cosine of each token's vector with its vector before the layer, ``[T]``: 1 is unchanged."""
        products = (self.before * self.vectors).sum(axis=-1)
        lengths = np.maximum(norms(self.before) * norms(self.vectors), np.float32(1e-12))
        return np.asarray(np.clip(products / lengths, -1, 1), dtype=np.float32)

    def weights(self, head: int | None = None) -> Array:
        """Return a head's attention, or the mean of all heads: ``[T, T]``."""
        return np.asarray(self.attention.mean(axis=0) if head is None else self.attention[head])

    def strongest(self, head: int | None = None) -> list[Link]:
        """Return for each token the token with most of its attention."""
        weights = self.weights(head)
        return [Link(i, int(row.argmax()), float(row.max())) for i, row in enumerate(weights)]

    @property
    def focus(self) -> Array:
        """The focus of each head, ``[heads]``: 1 for attention to a single token, 0 for uniform attention.

        One minus the mean entropy of the rows over the entropy of uniform attention.
        """
        tokens = self.attention.shape[-1]
        logs = np.log(np.maximum(self.attention, np.float32(1e-12)))
        entropies = -(self.attention * logs).sum(axis=-1).mean(axis=-1)
        return np.asarray(1 - entropies / max(np.log(tokens), 1e-12), dtype=np.float32)


class Step(NamedTuple):
    """A named vector between the text and the answer."""

    name: str
    vector: Array


@dataclass(frozen=True, slots=True, eq=False)
class SentenceVector:
    """The pooling of token vectors to one vector.

    ``pooling`` has the modes; ``steps`` are the pooled vector and the output of each later module.
    """

    pooling: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def vector(self) -> Array:
        """The sentence's vector, as from `SentenceTransformer.encode`."""
        return self.steps[-1].vector


class Choice(NamedTuple):
    """A candidate answer: its id, its name, and its logit and score."""

    id: int
    label: str
    logit: float
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The decision of a head, for the text or for one token.

    Attributes:
        place: the index of the token, or ``None`` for the whole text.
        logits: one per candidate.
        scores: the logits through ``function``.
        function: ``"softmax"``, ``"sigmoid"`` or ``"none"``.
        choices: the best candidates, best first.
        withheld: the score of candidates that are never offered, such as ``[UNK]``.
    """

    place: int | None
    logits: Array
    scores: Array
    function: str
    choices: tuple[Choice, ...]
    withheld: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Explained:
    """Every step from a text to an answer, without the drawings.

    Attributes:
        text, pair: the explained text, with the model's prompt if it has one, and its second text.
        model, model_type, task: the model's name and type, and the task.
        rows: tokens, ids and the other inputs.
        embeddings: the embeddings and their sum.
        layers: every layer.
        last_hidden_state: ``[T, H]``.
        sentence: the sentence's vector, for a model of sentence vectors.
        steps: vectors between the last layer and the logits.
        decisions: of the task's head: one for the text, or one for each mask.
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
