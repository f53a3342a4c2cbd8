"""Which tokens stay when a text or a pair is too long.

The library can cut too, but only by changing the state of the shared tokeniser, and for a pair of long texts
it lays out every combination of the pieces that were cut off. So we let it encode everything and choose here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from munjang.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UNLIMITED", "Truncation", "check_length", "checked_side", "choose_truncation", "kept_positions"]

UNLIMITED = int(1e20)
"""A `model_max_length` above this means that the tokeniser's files name none."""

_STRATEGIES = ("longest_first", "only_first", "only_second")


class Truncation(NamedTuple):
    """How to cut: the strategy, the number of tokens left (special ones included), and the side cut from."""

    strategy: str
    max_length: int
    side: str


def choose_truncation(
    truncation: bool | str | None, max_length: int | None, model_max_length: int, side: str
) -> Truncation | None:
    """Return what to do for these arguments, which mean what they mean in `transformers`; None for no cut.

    ``truncation`` None means True if there is a ``max_length``, else False.

    Raises:
        InputError: an unknown strategy, or a `max_length` below 1.
        InputTypeError: a `max_length` that is not an integer.

    """
    if max_length is not None:
        check_length("max_length", max_length)
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


def check_length(name: str, value: object) -> None:
    """Raise InputTypeError or InputError unless the value is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputTypeError(f"{name} is {value!r} of type {type(value).__name__}; give an integer.")
    if value < 1:
        raise InputError(f"{name} is {value}; it must be at least 1.")


def checked_side(name: str, side: str) -> str:
    """Return the side if it is one; else raise InputError."""
    if side not in ("left", "right"):
        raise InputError(f"Unknown {name} {side!r}; use 'left' or 'right'.")
    return side


def kept_positions(sequence_ids: Sequence[int | None], truncation: Truncation) -> list[int]:
    """Return the positions of the tokens that stay, in order: all special ones, and what fits of the texts.

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
    """How many tokens of each text stay in ``room`` tokens."""
    excess = first + second - room
    if excess <= 0:
        return first, second
    if room == 0:  # then the library cuts both, whatever the strategy says
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
