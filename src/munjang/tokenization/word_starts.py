"""Which pieces of a vocabulary begin a word: what whole-word masking needs to know.

A word is what white space (and, for WordPiece, punctuation) sets apart: in Korean an eojeol, which is a word
with its particles.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

__all__ = ["word_starts"]

_METASPACE = "▁"
_BYTE_SPACES = ("Ġ", "Ċ", "ĉ", "č")  # a space, a line feed, a tab, a carriage return as GPT-2 writes them


def word_starts(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Return for each id of a vocabulary, ``[V]``, whether its piece begins a word.

    For WordPiece that is one without ``##``; for sentencepiece vocabularies one with ``▁`` in front, for
    byte-level ones one with a space in front. Special and added tokens begin one too. The first piece of a
    text may lack its mark; whoever uses this lets each text begin with a word. ``word_starts(t)[ids]`` is the
    bit per token. Raises `InputError` for a vocabulary that marks neither.
    """
    begins = _rule(tokenizer)
    vocabulary = tokenizer.get_vocab()
    starts = np.ones(max(vocabulary.values()) + 1, dtype=np.bool_)
    for piece, index in vocabulary.items():
        starts[index] = begins(piece)
    starts[list(tokenizer.get_added_vocab().values())] = True
    return starts


def _rule(tokenizer: Tokenizer) -> Callable[[str], bool]:
    backend = tokenizer.backend_tokenizer
    kind = type(backend.model).__name__
    if kind == "WordPiece":
        prefix: str = backend.model.continuing_subword_prefix
        return lambda piece: not piece.startswith(prefix)
    if kind in ("Unigram", "BPE"):
        parts = json.dumps(_description(backend))
        if '"ByteLevel"' in parts:
            return lambda piece: piece.startswith(_BYTE_SPACES)
        if '"Metaspace"' in parts or _METASPACE in parts:
            return lambda piece: piece.startswith(_METASPACE)
    raise InputError(
        f"Can't tell where words begin in the vocabulary of {tokenizer.name_or_path!r} ({kind}): its pieces "
        "have no mark for it. Mask single tokens instead."
    )


def _description(backend: Any) -> list[Any]:
    """How a tokeniser treats text before its model sees it."""
    content = json.loads(backend.to_str())
    return [content["normalizer"], content["pre_tokenizer"]]
