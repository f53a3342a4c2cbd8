"""How far to pad a batch, and with what; the rules are those of `transformers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from munjang.errors import InputError
from munjang.tokenization.truncation import UNLIMITED, Truncation, check_length, checked_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from munjang.tokenization.encoding import Encoding

__all__ = ["Padding", "choose_padding", "pad"]


class Padding(NamedTuple):
    """The padding token and where it goes; ``length`` None means the longest text of the batch."""

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
    """Return what to do for these arguments of a call; None for no padding.

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
    check_length("pad_to_multiple_of", multiple_of)
    if truncation is not None and truncation.max_length % multiple_of:
        raise InputError(
            f"max_length={truncation.max_length} is no multiple of pad_to_multiple_of={multiple_of}, "
            "so truncated texts could not be padded; change one of them."
        )


def pad(encodings: Sequence[Encoding], padding: Padding) -> list[Encoding]:
    """All encodings brought to one length; one that is longer stays as it is."""
    length = max(map(len, encodings), default=0) if padding.length is None else padding.length
    if padding.multiple_of is not None:
        length = -(-length // padding.multiple_of) * padding.multiple_of
    side, token, token_id = padding.side, padding.token, padding.token_id
    return [encoding.padded(length, side=side, token=token, token_id=token_id) for encoding in encodings]
