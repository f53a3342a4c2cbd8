"""The inputs of a tokeniser's call: texts are checked and converted to NFC, truncated, padded, batched."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from munjang.errors import InputError, InputTypeError
from munjang.tokenization.encoding import BatchEncoding, Encoding
from munjang.tokenization.korean import OffsetMap, compose, is_nfc, nfc
from munjang.validation import checked_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from munjang.tokenization.encoding import Encoding

TextOrPair = str | tuple[str, str]
"""One text, or a pair of texts that a model reads together (a list of two strings counts as a pair too)."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def as_batch(texts: Iterable[TextOrPair]) -> Sequence[TextOrPair]:
    """Return the texts as a sequence; a single string is refused, as it would be a sequence of letters."""
    if isinstance(texts, (list, tuple)):
        return texts
    if isinstance(texts, (str, bytes, Mapping)) or not isinstance(texts, Iterable):
        raise InputTypeError(
            "A batch is a list of texts or of pairs of texts, not a value of type "
            f"{type(texts).__name__}; put a single text into a list."
        )
    return list(texts)


def as_text(text: object) -> str:
    """Return the value if it is a single text; else raise InputTypeError."""
    if not isinstance(text, str):
        raise InputTypeError(f"A single text is a str, not a value of type {type(text).__name__}.")
    return text


def text_parts(text: object, index: int) -> tuple[str, ...]:
    """Return the one or two strings of a text or pair; ``index`` is its index in the batch, for the message.

    Raises:
        InputTypeError: it is, or contains, a value other than a string.
        InputError: it is a tuple or list but not of two texts.

    """
    if isinstance(text, str):
        return (text,)
    if not isinstance(text, (tuple, list)):
        raise InputTypeError(f"Text {index} has type {type(text).__name__}; give a str or a pair of str.")
    if len(text) != 2:
        raise InputError(f"Text {index} is a {type(text).__name__} of {len(text)}; a pair has two texts.")
    for part in text:
        if not isinstance(part, str):
            raise InputTypeError(f"A text of pair {index} has type {type(part).__name__}; give two str.")
    return tuple(text)


def composed(texts: Sequence[TextOrPair]) -> Sequence[TextOrPair]:
    """Return every text in NFC; return the same object if it contains only strings in NFC.

    Raises:
        InputTypeError, InputError: as `text_parts`.

    """
    if _all_composed(texts):
        return texts
    return [_rejoined(tuple(map(nfc, text_parts(text, index)))) for index, text in enumerate(texts)]


def composed_with_maps(
    texts: Sequence[TextOrPair],
) -> tuple[Sequence[TextOrPair], dict[int, tuple[OffsetMap | None, ...]]]:
    """Return the result of `composed` and the offset maps of the changed texts by index in the batch."""
    if _all_composed(texts):
        return texts, {}
    inputs: list[TextOrPair] = []
    maps: dict[int, tuple[OffsetMap | None, ...]] = {}
    for index, text in enumerate(texts):
        parts, back = zip(*map(compose, text_parts(text, index)), strict=True)
        inputs.append(_rejoined(parts))
        if any(offsets is not None for offsets in back):
            maps[index] = back
    return inputs, maps


def raise_for_surrogate(texts: Sequence[TextOrPair]) -> NoReturn:
    """Raise InputError for the first lone surrogate, which is not a valid character."""
    for index, text in enumerate(texts):
        for number, part in enumerate(text_parts(text, index)):
            if match := _SURROGATE.search(part):
                where = f"Text {index}" if isinstance(text, str) else f"Text {number} of pair {index}"
                raise InputError(
                    f"{where} has a lone surrogate, U+{ord(match[0]):04X}, at position {match.start()}, "
                    "which is no character; read the text with its right encoding or with errors='replace'."
                )
    raise InputError("The tokeniser refused these texts.")


def _all_composed(texts: Sequence[TextOrPair]) -> bool:
    try:
        return all(map(is_nfc, texts))
    except TypeError:  # a pair or an error; the caller then checks each text
        return False


def _rejoined(parts: tuple[str, ...]) -> TextOrPair:
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


UNLIMITED = int(1e20)
"""A `model_max_length` above this means that the tokeniser's files name none."""

_STRATEGIES = ("longest_first", "only_first", "only_second")


class Truncation(NamedTuple):
    """The truncation strategy, the maximum number of tokens (special tokens included), and the cut side."""

    strategy: str
    max_length: int
    side: str


def choose_truncation(
    truncation: bool | str | None, max_length: int | None, model_max_length: int, side: str
) -> Truncation | None:
    """Return the truncation for these arguments, defined as in `transformers`; None for no truncation.

    ``truncation`` None means True if there is a ``max_length``, else False.

    Raises:
        InputError: an unknown strategy, or a `max_length` below 1.
        InputTypeError: a `max_length` that is not an integer.

    """
    if max_length is not None:
        checked_count("max_length", max_length)
    if truncation is None:
        truncation = max_length is not None
    if truncation is False or truncation == "do_not_truncate":
        return None
    strategy = "longest_first" if truncation is True else truncation
    if strategy not in _STRATEGIES:
        known = ", ".join(("True", "False", *_STRATEGIES))
        raise InputError(f"Unknown truncation {truncation!r}; use one of {known}.")
    limit = model_max_length if max_length is None else max_length
    return None if limit > UNLIMITED else Truncation(strategy, limit, side)


def checked_side(name: str, side: str) -> str:
    """Return the side if it is valid; else raise InputError."""
    if side not in ("left", "right"):
        raise InputError(f"Unknown {name} {side!r}; use 'left' or 'right'.")
    return side


def kept_positions(sequence_ids: Sequence[int | None], truncation: Truncation) -> list[int]:
    """Return the positions of the kept tokens in order: all special tokens, and the texts' tokens that fit.

    ``sequence_ids`` has 0 or 1 for a token of the first or second text, None for a special token.
    """
    parts: dict[int | None, list[int]] = {None: [], 0: [], 1: []}
    for position, sequence in enumerate(sequence_ids):
        parts[sequence].append(position)
    room = truncation.max_length - len(parts[None])
    lengths = _lengths(len(parts[0]), len(parts[1]), room, truncation)
    kept = [*parts[None], *_cut(parts[0], lengths[0], truncation), *_cut(parts[1], lengths[1], truncation)]
    kept.sort()
    return kept


def _cut(positions: list[int], length: int, truncation: Truncation) -> list[int]:
    return positions[:length] if truncation.side == "right" else positions[len(positions) - length :]


def _lengths(first: int, second: int, room: int, truncation: Truncation) -> tuple[int, int]:
    """Return the number of tokens of each text that fit into ``room`` tokens."""
    excess = first + second - room
    if excess <= 0:
        return first, second
    if room == 0:  # then the library cuts both, with any strategy
        return 0, 0
    if truncation.strategy == "longest_first":
        return _longest_first(first, second, room)
    target = first if truncation.strategy == "only_first" else second
    if target <= excess:
        raise InputError(
            f"truncation={truncation.strategy!r} would have to cut {excess} of {target} tokens to reach "
            f"max_length={truncation.max_length}; use 'longest_first' or a larger max_length."
        )
    return (first - excess, second) if truncation.strategy == "only_first" else (first, second - excess)


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Cut the longer text down to the shorter, then both alike; an odd token goes to the longer one."""
    shorter, longer = sorted((first, second))
    if 2 * shorter <= room:
        longer = room - shorter
    else:
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if first > second else (shorter, longer)


_MOST_ADDED = 1 << 20  # padding tokens of one text; no model reads as many


class Padding(NamedTuple):
    """The padding token and its side; ``length`` None means the longest text of the batch."""

    length: int | None
    multiple_of: int | None
    side: str
    token: str
    token_id: int


def choose_padding(
    padding: bool | str,
    *,
    length: int | None,
    multiple_of: int | None,
    side: str,
    token: str | None,
    token_id: int | None,
    truncation: Truncation | None,
) -> Padding | None:
    """Return the padding for these arguments of a call; None for no padding.

    ``length`` is the `max_length` of the call, or the model's.

    Raises:
        InputError: an unknown strategy or side, no padding token, or a truncation that is no multiple.
        InputTypeError: `pad_to_multiple_of` is not an integer.

    """
    if padding is False or padding == "do_not_pad":
        return None
    if padding is not True and padding not in ("longest", "max_length"):
        raise InputError(f"Unknown padding {padding!r}; use one of True, False, 'longest', 'max_length'.")
    checked_side("padding_side", side)
    if padding == "max_length" and (length is None or length > UNLIMITED):
        return None
    if token is None or token_id is None:
        raise InputError(
            "This tokeniser has no padding token; set one, such as tokenizer.pad_token = tokenizer.eos_token."
        )
    _check_multiple(multiple_of, truncation)
    return Padding(length if padding == "max_length" else None, multiple_of, side, token, token_id)


def _check_multiple(multiple_of: int | None, truncation: Truncation | None) -> None:
    if multiple_of is None:
        return
    checked_count("pad_to_multiple_of", multiple_of)
    if truncation is not None and truncation.max_length % multiple_of:
        raise InputError(
            f"max_length={truncation.max_length} is no multiple of pad_to_multiple_of={multiple_of}, "
            "so truncated texts could not be padded; change one of them."
        )


def pad(encodings: Sequence[Encoding], padding: Padding) -> list[Encoding]:
    """Return all encodings padded to one length; longer encodings are unchanged.

    Raises:
        InputError: a text would get more than a million padding tokens.

    """
    longest = max(map(len, encodings), default=0)
    length = longest if padding.length is None else padding.length
    if padding.multiple_of is not None:
        length = -(-length // padding.multiple_of) * padding.multiple_of
    if length - longest > _MOST_ADDED:
        option = "max_length" if padding.multiple_of is None else "pad_to_multiple_of"
        raise InputError(
            f"{option} is beyond {_MOST_ADDED:,} tokens of padding, which no model has room for."
        )
    side, token, token_id = padding.side, padding.token, padding.token_id
    return [encoding.padded(length, side=side, token=token, token_id=token_id) for encoding in encodings]


def pair_up(text: str | Sequence[TextOrPair], text_pair: str | Sequence[str] | None) -> Sequence[TextOrPair]:
    """Return one batch of the first and the second texts of a call.

    Raises:
        InputTypeError: they are neither texts nor lists, or one of each.
        InputError: two lists of unequal length.

    """
    if isinstance(text, str) and (text_pair is None or isinstance(text_pair, str)):
        return [text if text_pair is None else (text, text_pair)]
    if isinstance(text, (list, tuple)) and text_pair is None:
        return text
    if isinstance(text, (list, tuple)) and isinstance(text_pair, (list, tuple)):
        if len(text) == len(text_pair):
            return list(zip(text, text_pair, strict=True))
        raise InputError(
            f"{len(text)} texts cannot be paired with {len(text_pair)}; give lists of equal length."
        )
    kinds = " and ".join(type(value).__name__ for value in (text, text_pair) if value is not None)
    raise InputTypeError(
        f"Can't tokenise what has type {kinds or 'NoneType'}; give a str, a list of str, or two of either."
    )


def as_rows(encodings: list[Encoding], names: Sequence[str]) -> BatchEncoding:
    """Return a batch with the inputs of these names as lists of lists."""
    return BatchEncoding(
        {name: [getattr(item, _FIELDS[name]) for item in encodings] for name in names}, encodings
    )


_FIELDS = {
    "input_ids": "input_ids",
    "token_type_ids": "token_type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}


def as_arrays(batch: BatchEncoding) -> BatchEncoding:
    """Return the batch with int64 arrays ``[B, L]`` for lists (``offset_mapping``: ``[B, L, 2]``).

    Raises:
        InputError: the texts have different numbers of tokens.

    """
    import numpy as np

    lengths = sorted({len(encoding) for encoding in batch.encodings})
    if len(lengths) > 1:
        raise InputError(
            f"Texts of {lengths[0]} to {lengths[-1]} tokens do not fit one array; use padding=True."
        )
    shape = (len(batch.encodings), lengths[0] if lengths else 0)
    arrays: dict[str, Any] = {}
    for name, rows in batch.items():
        last = (2,) if name == "offset_mapping" else ()
        arrays[name] = np.array(rows, dtype=np.int64).reshape(*shape, *last)
    return BatchEncoding(arrays, batch.encodings)


def first_row(batch: BatchEncoding) -> BatchEncoding:
    """Return the inputs of a single text, as plain lists."""
    return BatchEncoding({name: rows[0] for name, rows in batch.items()}, batch.encodings)


def checked_id(value: Any) -> int:
    """Return the value as a plain int; raise InputTypeError or InputError if it is not a valid id."""
    try:
        index = operator.index(value)
    except TypeError:
        raise InputTypeError(f"An id is an integer, not {value!r} of type {type(value).__name__}.") from None
    if not 0 <= index < 2**32:
        raise InputError(f"{index} is no token id; ids count from 0.")
    return index


def token_list(name: str, tokens: object) -> list[str]:
    """Return a caller's list of tokens, each checked; ``name`` is the argument's, for the message."""
    if not isinstance(tokens, (list, tuple)):
        raise InputTypeError(f"{name} is a list of tokens, not {tokens!r} of type {type(tokens).__name__}.")
    return list(map(checked_token, tokens))


def checked_token(token: object) -> str:
    """Return a caller's token in NFC; raise InputTypeError or InputError if it is no text or empty."""
    if not isinstance(token, str):
        raise InputTypeError(f"A token is a str, not {token!r} of type {type(token).__name__}.")
    if not token:
        raise InputError("A token is empty; give it at least one character.")
    if not token.isascii() and any("\ud800" <= character <= "\udfff" for character in token):
        raise_for_surrogate([token])
    return nfc(token)
