"""Cuts the vocabulary of a multilingual model down to what some languages use.

Half of such a model and more is the table of word embeddings, and a text in one language touches a small part
of it. What is left gives the same vectors: the same pieces have the same rows
(https://arxiv.org/abs/2010.05609 measures this for multilingual BERT).
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.models.params import Params
from munjang.models.vocabulary import vocabulary_tensors
from munjang.runtime.model import Model
from munjang.tokenization import nfc
from munjang.training.opened import open_model
from munjang.training.output import check_empty
from munjang.training.scripts import KOREAN_AND_ENGLISH, in_scripts, scripts_of
from munjang.training.trimmed_tokenizer import (
    always_kept,
    derivations,
    describe,
    piece_text,
    without_others,
)

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

__all__ = ["Trimmed", "trim_vocabulary"]

_BATCH = 1024  # texts


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What trimming did.

    Attributes:
        kept: ``[V]``; the former id of each token of the new vocabulary, ascending.
        before: how many tokens the tokeniser had.
        after: how many it has.
        parameters_before: how many numbers the model had.
        parameters_after: how many it has.
        same_for: the texts that are certain to be cut into the same pieces, in words.
    """

    kept: NDArray[np.int64]
    before: int
    after: int
    parameters_before: int
    parameters_after: int
    same_for: str


def trim_vocabulary(
    model: str | os.PathLike[str],
    texts: Iterable[str] | None,
    output: str | os.PathLike[str],
    *,
    scripts: Sequence[str] | None = None,
    min_count: int = 1,
) -> Trimmed:
    """Write a copy of a model with the pieces that the wanted languages use.

    With ``scripts``, every piece written in them is kept: a text in these scripts then has the same pieces
    and vectors as before, whatever it says. That is the safe choice, and without ``texts`` it is made with
    Hangul, Latin and Common (digits, punctuation, symbols). With ``texts``, the pieces that occur in them are
    kept, and the single characters of all scripts that occur. That gives a smaller vocabulary. *These* texts
    have the same pieces as before (if ``min_count`` is 1); another text has them if all its pieces occurred,
    and where one did not, shorter ones stand in. With both, everything of either is kept.

    Special and added tokens always stay. So does what else identity needs: the parts that pair encodings
    merge pieces from, all single bytes, and the piece of lowest score that a Unigram model reckons unknown
    characters from.

    Args:
        model: a folder, catalogue name or hub repository.
        texts: in the wanted languages; gone through once.
        output: the folder to write, new or empty; a sentence encoder stays one, heads over the vocabulary
            are cut too.
        scripts: names of Unicode scripts.
        min_count: how often a piece must occur in the texts.

    Raises `InputError` for an output folder that holds something, unknown scripts and texts without any,
    `UnsupportedModelError` for a tokeniser of another kind than Unigram, WordPiece and BPE, and what opening
    and saving a model raise.
    """
    folder = Path(output)
    check_empty(folder)
    opened = open_model(model)
    if texts is None and scripts is None:
        scripts = KOREAN_AND_ENGLISH
    chosen = _Choice(opened.tokenizer)
    # RoBERTa counts positions from the padding id, which therefore must stay what it is.
    chosen.add_ids(range(opened.model.config.position_offset))
    if scripts is not None:
        chosen.add_scripts(scripts)
    if texts is not None:
        chosen.add_texts(texts, min_count)
    kept = chosen.closed()
    former_model, former_tokenizer = opened.model, opened.tokenizer
    backend = without_others(former_tokenizer, chosen.content, kept.tolist())
    opened.tokenizer = former_tokenizer.with_backend(backend)
    opened.model = _cut(former_model, kept)
    opened.save(folder)
    return Trimmed(
        kept,
        len(former_tokenizer),
        len(kept),
        _parameters(former_model),
        _parameters(opened.model),
        _same_for(scripts, texts is not None and min_count == 1),
    )


class _Choice:
    """The ids to keep."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.content = describe(tokenizer)
        self._text = piece_text(self.content)
        self._kept = always_kept(tokenizer, self.content)

    def add_ids(self, ids: Iterable[int]) -> None:
        self._kept |= set(ids) & set(self.tokenizer.get_vocab().values())

    def add_scripts(self, scripts: Sequence[str]) -> None:
        fits = in_scripts(scripts)
        self._kept |= {i for piece, i in self.tokenizer.get_vocab().items() if fits(self._text(piece))}

    def add_texts(self, texts: Iterable[str], min_count: int) -> None:
        counts, characters = self._count(texts)
        self._kept |= set(np.flatnonzero(counts >= max(min_count, 1)).tolist())
        fits = in_scripts(scripts_of(characters))
        for piece, index in self.tokenizer.get_vocab().items():
            text = self._text(piece)
            if len(text) <= 1 and (fits(text) or text in characters):
                self._kept.add(index)

    def _count(self, texts: Iterable[str]) -> tuple[NDArray[np.int64], set[str]]:
        """Count each id in the texts; give also the characters of the pieces."""
        counts = np.zeros(max(self.tokenizer.get_vocab().values()) + 1, dtype=np.int64)
        characters: set[str] = set()
        for batch in _batches(texts):
            characters.update(*map(self.tokenizer.normalized, batch))
            encodings = self.tokenizer.encode_batch(batch, add_special_tokens=False, truncation=False)
            ids = [encoding.input_ids for encoding in encodings if encoding.input_ids]
            if ids:
                counts += np.bincount(np.concatenate(ids), minlength=len(counts))
        if not counts.any():
            raise InputError("There is no text to choose pieces by: the texts are empty.")
        return counts, characters

    def closed(self) -> NDArray[np.int64]:
        """Give the ids, ascending, with all that they are merged from."""
        vocabulary = self.tokenizer.get_vocab()
        parts: dict[int, set[int]] = {}
        for left, right, result in derivations(self.content):
            if left in vocabulary and right in vocabulary and result in vocabulary:
                parts.setdefault(vocabulary[result], set()).update((vocabulary[left], vocabulary[right]))
        todo = list(self._kept)
        while todo:
            new = parts.get(todo.pop(), set()) - self._kept
            self._kept |= new
            todo += new
        return np.array(sorted(self._kept), dtype=np.int64)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    if isinstance(texts, str):
        raise InputTypeError("texts is a list or another iterable of texts, not one text.")
    source = iter(texts)
    while batch := list(islice(source, _BATCH)):
        for text in batch:
            if not isinstance(text, str):
                raise InputTypeError(f"A text is a str, not {text!r} of type {type(text).__name__}.")
        yield list(map(nfc, batch))


def _cut(model: Model, kept: NDArray[np.int64]) -> Model:
    prefix = model.architecture.base(Params(model.weights)).prefix
    tables = {name: model.weights[name][kept] for name in vocabulary_tensors(model.weights, prefix)}
    weights: Any = ChainMap(tables, model.weights)  # type: ignore[arg-type] # read, never written
    return Model(_config(model.raw_config, kept), weights, backend="numpy")


def _config(config: dict[str, Any], kept: NDArray[np.int64]) -> dict[str, Any]:
    """Give a config with the new size and ids; the id of a token that is gone is left out."""
    numbers = {former: number for number, former in enumerate(kept.tolist())}
    new = dict(config)
    for key, value in config.items():
        if key.endswith("_token_id") and isinstance(value, int):
            if value in numbers:
                new[key] = numbers[value]
            else:
                del new[key]
    return {**new, "vocab_size": len(kept)}


def _parameters(model: Model) -> int:
    return sum(int(np.prod(model.weights[name].shape)) for name in model.weights)


def _same_for(scripts: Sequence[str] | None, texts: bool) -> str:
    parts = []
    if scripts is not None:
        parts.append(f"all texts in {', '.join(scripts)}")
    if texts:
        parts.append("the given texts")
    return " and ".join(parts) or "no texts for certain: min_count left rare pieces out"
