"""Incremental decoding of tokens to text, in whole characters.

A token of a byte-level vocabulary is a few bytes, not characters: the three bytes of a Hangul syllable may be
in three tokens. Bytes of an incomplete character are buffered.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Protocol

from munjang.tokenization import Tokenizer
from munjang.tokenization.pieces import BYTE_OF_LETTER

_REPLACEMENT = "\ufffd"  # the replacement character for invalid bytes


class TextStream(Protocol):
    """A decoder that receives tokens one by one and returns the text that can't change any more."""

    def add(self, token: int) -> str:
        """Return the characters that this token completes; often none, or several."""
        ...

    def finish(self) -> str:
        """Return the rest: nothing, or replacement characters for incomplete bytes."""
        ...


def text_stream(tokenizer: Tokenizer, prompt: Sequence[int]) -> TextStream:
    """Create the decoder of the tokens after a prompt; special tokens are not in the text."""
    if type(tokenizer.backend_tokenizer.decoder).__name__ == "ByteLevel":
        return _ByteStream(tokenizer)
    return _DecodedStream(tokenizer, prompt)


def _special_ids(tokenizer: Tokenizer) -> set[int]:
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    return {index for index, token in added.items() if token.special}


class _ByteStream:
    """For byte-level vocabularies: bytes are gathered until they make characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._special = _special_ids(tokenizer)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        return self._decoder.decode(self._bytes(token))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)

    def _bytes(self, token: int) -> bytes:
        text = self._tokenizer.convert_ids_to_tokens(token)
        if text is None or token in self._special:  # a model may score more tokens than there are
            return b""
        table = BYTE_OF_LETTER
        try:
            return bytes(table[character] for character in text)
        except KeyError:  # a token that was added is written as it is
            return text.encode()


class _DecodedStream:
    """For other vocabularies: each token decodes the whole text again, and the new part is returned."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt)
        self._known = len(self._text())
        self._given = ""

    def _text(self) -> str:
        return self._tokenizer.decode(self._ids, skip_special_tokens=True)

    def add(self, token: int) -> str:
        self._ids.append(token)
        return self._new(self._text()[self._known :].rstrip(_REPLACEMENT))

    def finish(self) -> str:
        return self._new(self._text()[self._known :])

    def _new(self, text: str) -> str:
        if not text.startswith(self._given):  # the decoder changed earlier text; wait until it is stable
            return ""
        new = text[len(self._given) :]
        self._given = text
        return new


class StopStrings:
    """A filter that ends a text, received in pieces, before its first stop string.

    The stop string that is complete first counts, also across pieces. Text that may be the beginning of a
    stop string is buffered.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""

    def add(self, piece: str) -> tuple[str, bool]:
        """Return the text that is certain now, and whether a stop string has ended it."""
        text = self._held + piece
        matches = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if matches:
            self._held = ""
            return text[: min(matches)[1]], True
        certain = len(text) - self._beginning(text)
        self._held = text[certain:]
        return text[:certain], False

    def rest(self) -> str:
        """Return the buffered text, at the end of the text."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """Count the characters at the end of the text that some stop string begins with."""
        longest = max(map(len, self._stops), default=1) - 1
        lengths = range(min(longest, len(text)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(text[-n:]) for stop in self._stops)), 0)
