"""From scores per token to entities, by the strategies of the `transformers` pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from munjang.choices import Strategy
from munjang.data.tags import has_suffixes, split_tag, trimmed

Scores: TypeAlias = NDArray[np.float32]
STRATEGIES = get_args(Strategy)


class TokenEntity(TypedDict):
    """A token with its tag; ``index`` is its index in the encoding, special tokens included."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class EntityGroup(TypedDict):
    """An entity: ``word`` is ``text[start:end]``."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token, its characters, its word's index, and its scores ``[num_labels]``."""

    token: str
    start: int
    end: int
    index: int
    word_id: int | None
    scores: Scores


@dataclass(frozen=True, slots=True)
class _Tagged:
    tag: str
    score: float
    start: int
    end: int


def name_tokens(tokens: Sequence[ScoredToken], id2label: Mapping[int, str]) -> list[TokenEntity]:
    """Return the best label of each token, without grouping (strategy ``"none"``)."""
    return [
        TokenEntity(
            entity=id2label[int(token.scores.argmax())],
            score=float(token.scores.max()),
            index=token.index,
            word=token.token,
            start=token.start,
            end=token.end,
        )
        for token in tokens
    ]


def group(
    tokens: Sequence[ScoredToken], id2label: Mapping[int, str], strategy: Strategy, text: str
) -> list[EntityGroup]:
    """Merge neighbours of the same type to entities; a tag ``B-`` starts a new entity. ``O`` is a type too.

    With ``"simple"`` the neighbours are tokens, else whole words with one tag each: the tag of the first
    token (``"first"``), of the token with the best score (``"max"``), or the best tag by the mean scores of
    the tokens (``"average"``). An entity's score is the mean of its tokens' or words' scores.
    """
    if strategy == "simple":
        tagged = [_tag([token], _first, id2label) for token in tokens]
    else:
        tagged = [_tag(word, _WORD_SCORES[strategy], id2label) for word in _words(tokens)]
    suffixed = has_suffixes(id2label.values())
    groups: list[tuple[str, list[_Tagged]]] = []
    for piece in tagged:
        letter, kind = split_tag(piece.tag, suffixed=suffixed)
        if groups and letter == "I" and groups[-1][0] == kind:
            groups[-1][1].append(piece)
        else:
            groups.append((kind, [piece]))
    entities = (_entity(kind, pieces, text) for kind, pieces in groups)
    return [entity for entity in entities if entity["word"]]


def _words(tokens: Sequence[ScoredToken]) -> list[list[ScoredToken]]:
    return [list(word) for _, word in groupby(tokens, key=lambda token: token.word_id)]


def _first(scores: Sequence[Scores]) -> Scores:
    return scores[0]


def _best(scores: Sequence[Scores]) -> Scores:
    return max(scores, key=lambda row: float(row.max()))


def _mean(scores: Sequence[Scores]) -> Scores:
    return np.asarray(np.mean(scores, axis=0), dtype=np.float32)


_WORD_SCORES: Mapping[str, Callable[[Sequence[Scores]], Scores]] = {
    "first": _first,
    "max": _best,
    "average": _mean,
}


def _tag(
    word: Sequence[ScoredToken], score: Callable[[Sequence[Scores]], Scores], id2label: Mapping[int, str]
) -> _Tagged:
    scores = score([token.scores for token in word])
    best = int(scores.argmax())
    return _Tagged(id2label[best], float(scores[best]), word[0].start, word[-1].end)


def _entity(kind: str, pieces: Sequence[_Tagged], text: str) -> EntityGroup:
    start, end = trimmed(text, pieces[0].start, pieces[-1].end)
    score = float(np.mean([piece.score for piece in pieces]))
    return EntityGroup(entity_group=kind, score=score, word=text[start:end], start=start, end=end)
