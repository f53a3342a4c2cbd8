"""Results of a tokeniser: ``Encoding`` for one text, ``TokenIds`` for the engine, ``BatchEncoding``."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Encoding as LibraryEncoding

    from munjang.tokenization.korean import OffsetMap


class TokenIds(NamedTuple):
    """The ids of one text or pair, with only the data that the engine needs.

    ``token_type_ids`` is None if all of them are zero. ``truncated`` is the number of removed tokens.
    """

    input_ids: list[int]
    token_type_ids: list[int] | None = None
    truncated: int = 0

    def select(self, positions: Sequence[int]) -> TokenIds:
        """Return only the ids at these positions; the others count as truncated."""
        types = self.token_type_ids
        kept_types = None if types is None else [types[position] for position in positions]
        kept = [self.input_ids[position] for position in positions]
        return TokenIds(kept, kept_types, len(self.input_ids) - len(positions))


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text or pair as tokens: lists of equal length L, one entry per token, special tokens included.

    ``offsets`` are ``(start, end)`` into the caller's string (for a pair, into the text that
    ``sequence_ids`` names: 0 or 1); special tokens have ``(0, 0)``, and None in ``word_ids`` and
    ``sequence_ids``. ``truncated`` is the number of tokens of the text, or of both, that were cut off.
    """

    tokens: list[str]
    input_ids: list[int]
    token_type_ids: list[int]
    attention_mask: list[int]
    special_tokens_mask: list[int]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]
    sequence_ids: list[int | None]
    truncated: int = 0

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.input_ids)

    def to_dict(self) -> dict[str, Any]:
        """Return the tokens, the model inputs, the offsets and the number of truncated tokens, for JSON."""
        return {
            "tokens": self.tokens,
            "input_ids": self.input_ids,
            "token_type_ids": self.token_type_ids,
            "attention_mask": self.attention_mask,
            "offsets": self.offsets,
            "truncated": self.truncated,
        }

    @classmethod
    def from_library(cls, encoding: LibraryEncoding, sequence_ids: list[int | None]) -> Encoding:
        """Return an encoding of the `tokenizers` library as an `Encoding` with these ``sequence_ids``."""
        return cls(
            encoding.tokens,
            encoding.ids,
            encoding.type_ids,
            encoding.attention_mask,
            encoding.special_tokens_mask,
            encoding.offsets,
            encoding.word_ids,
            sequence_ids,
        )

    def select(self, positions: Sequence[int]) -> Encoding:
        """Return the encoding with only the tokens at these positions; the others count as truncated."""
        columns = {name: [column[at] for at in positions] for name, column in self._columns().items()}
        return replace(self, **columns, truncated=self.truncated + len(self) - len(positions))

    def with_offsets(self, offset_maps: Sequence[OffsetMap | None]) -> Encoding:
        """Return the encoding with its offsets converted by the offset map of each token's text."""
        offsets = [
            span if sequence is None or (back := offset_maps[sequence]) is None else back.span(*span)
            for span, sequence in zip(self.offsets, self.sequence_ids, strict=True)
        ]
        return replace(self, offsets=offsets)

    def padded(self, length: int, *, side: str, token: str, token_id: int) -> Encoding:
        """Return the encoding padded to ``length`` tokens with the padding token, on this side."""
        missing = length - len(self)
        if missing <= 0:
            return self
        fillers = (token, token_id, 0, 0, 1, (0, 0), None, None)
        columns = {}
        for (name, column), filler in zip(self._columns().items(), fillers, strict=True):
            columns[name] = column + [filler] * missing if side == "right" else [filler] * missing + column
        return replace(self, **columns)

    def _columns(self) -> dict[str, Any]:
        """Return name -> list for every attribute that has one entry per token."""
        return {column.name: getattr(self, column.name) for column in fields(self)[:-1]}


class BatchEncoding(dict[str, Any]):
    """The model inputs by name: ``input_ids``, ``token_type_ids``, ``attention_mask`` and others.

    Lists, or int64 arrays of shape ``[B, L]``; also available as attributes. ``encodings`` has the complete
    `Encoding` of each text, padding included.
    """

    def __init__(self, rows: dict[str, Any], encodings: list[Encoding]) -> None:
        super().__init__(rows)
        self.encodings = encodings

    def __getattr__(self, name: str) -> Any:
        """Return a model input by its name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"BatchEncoding has no {name!r}; it has {', '.join(self)}") from None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of one text of the batch."""
        return self.encodings[batch_index].tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return the word index of each token of one text; None for a special token."""
        return self.encodings[batch_index].word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return 0 or 1 (first or second text) for each token of one text; None for a special token."""
        return self.encodings[batch_index].sequence_ids
