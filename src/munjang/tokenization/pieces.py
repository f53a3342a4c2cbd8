"""What the pieces of a vocabulary represent: bytes, and the beginnings of words for whole-word masking.

Words are separated by white space (and, for WordPiece, punctuation): in Korean a word is an eojeol, which
is a word with its particles.
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


def _byte_of_letter() -> dict[str, int]:
    """Return letter -> byte: a printable byte is its own letter, the others are U+0100 and up, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF_LETTER = _byte_of_letter()

_METASPACE = "▁"
_BYTE_SPACES = ("Ġ", "Ċ", "ĉ", "č")  # a space, a line feed, a tab, a carriage return as GPT-2 writes them


def word_starts(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Return for each id of a vocabulary, ``[V]``, whether its piece begins a word.

    For WordPiece these are pieces without ``##``; for sentencepiece vocabularies pieces with the prefix
    ``▁``, for byte-level vocabularies pieces with a space as prefix. Special and added tokens begin a word
    too. The first piece of a text may lack its mark; the caller must treat it as a word start.
    ``word_starts(t)[ids]`` is one boolean per token. Raises `InputError` for a vocabulary without such marks.
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
    """Return the description of a tokeniser's steps before its model."""
    content = json.loads(backend.to_str())
    return [content["normalizer"], content["pre_tokenizer"]]
