"""The pieces of a vocabulary as text, and which pieces are candidates for a mask."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from munjang.tokenization import Tokenizer
from munjang.tokenization.pieces import BYTE_OF_LETTER

_PLACEHOLDER = re.compile(r"\[unused\d+\]")
_METASPACE = "▁"
_BYTE_SPACE = "Ġ"


class Piece(NamedTuple):
    """The text of a piece; ``spaced`` if the vocabulary has a space before it."""

    text: str
    spaced: bool = False


class Pieces:
    """The pieces of a tokenizer's vocabulary as text.

    ``offered`` is ``[vocab_size]``: false for special tokens, the unknown piece, placeholders such as
    ``[unused7]``, rows of the model beyond the tokenizer's vocabulary, and pieces that are no complete
    character.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = tokenizer.get_vocab()
        self._added = tokenizer.get_added_vocab()
        backend: Any = tokenizer.backend_tokenizer
        self._continuing: str | None = getattr(backend.model, "continuing_subword_prefix", None) or None
        self._of_bytes = type(backend.decoder).__name__ == "ByteLevel"
        if self._of_bytes or type(backend.model).__name__ != "WordPiece":
            self._continuing = None
        self._pieces = [Piece("")] * vocab_size
        for token, index in self._vocabulary.items():
            if index < vocab_size:
                self._pieces[index] = self._read(token)
        self.offered: NDArray[np.bool_] = np.array([bool(piece.text) for piece in self._pieces], dtype=bool)
        self.offered[[index for index in self._special() if index < vocab_size]] = False

    def __getitem__(self, index: int) -> Piece:
        """Return the piece with this id."""
        return self._pieces[index]

    def of_word(self, word: str, before: str) -> list[int] | None:
        """Return the ids of a word after the text ``before``; ``None`` if the vocabulary can't write it.

        A word directly after a letter continues that letter's word. A word with the vocabulary's own mark
        (``##다``) is that piece.
        """
        mark = self._continuing or (_BYTE_SPACE if self._of_bytes else _METASPACE)
        if word.startswith(mark) and word in self._vocabulary:
            return self._usable([self._vocabulary[word]])
        word = word.strip()
        if self._of_bytes and before[-1:].isspace():
            return self._usable(self._tokenizer.pieces_of(f" {word}"))
        glued = not self._of_bytes and before[-1:].isalnum()
        ids = self._end_of_word(word) if glued else None
        return self._usable(self._tokenizer.pieces_of(word) if ids is None else ids)

    def _end_of_word(self, word: str) -> list[int] | None:
        """Return the ids of a word as the end of a longer word: always the longest piece, as WordPiece does.

        A Unigram vocabulary weighs its pieces instead, so there it must be a single piece.
        """
        rest = word if self._continuing is None else self._tokenizer.normalized(word)
        ids: list[int] = []
        while rest:
            shortest = len(rest) if self._continuing is None else 1
            lengths = range(len(rest), shortest - 1, -1)
            fitting = (n for n in lengths if f"{self._continuing or ''}{rest[:n]}" in self._vocabulary)
            length = next(fitting, 0)
            if not length:
                return None
            ids.append(self._vocabulary[f"{self._continuing or ''}{rest[:length]}"])
            rest = rest[length:]
        return ids

    def _usable(self, ids: list[int]) -> list[int] | None:
        special = self._special()
        good = ids and all(index < len(self._pieces) and index not in special for index in ids)
        return ids if good else None

    def _special(self) -> set[int]:
        backend = self._tokenizer.backend_tokenizer
        added = backend.get_added_tokens_decoder()
        return {*self._tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}

    def _read(self, token: str) -> Piece:
        if token in self._added:
            return Piece(token.strip())
        if self._of_bytes:
            text = _from_bytes(token)
            return Piece(text.strip(), text.startswith(" "))
        if self._continuing is None:
            return Piece(token.replace(_METASPACE, " ").strip(), token.startswith(_METASPACE))
        if _PLACEHOLDER.fullmatch(token):
            return Piece("")
        return Piece(token.removeprefix(self._continuing) if token != self._continuing else token)


def _from_bytes(token: str) -> str:
    """Decode a piece of bytes; empty if they are an incomplete character, such as a third of a syllable."""
    try:
        return bytes(BYTE_OF_LETTER[letter] for letter in token).decode()
    except (KeyError, UnicodeDecodeError):
        return ""
