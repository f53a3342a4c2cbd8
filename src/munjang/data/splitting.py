"""Splitting examples into training and held-out examples, and sampling."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from munjang.errors import InputError

__all__ = ["sample", "split"]

Example = TypeVar("Example")


def split(
    examples: Iterable[Example],
    *,
    held_out: float,
    seed: int = 0,
    key: Callable[[Example], Hashable] | None = None,
) -> tuple[list[Example], list[Example]]:
    """Split examples at random into training and held-out examples, each in input order.

    ``held_out`` is a share (a float between 0 and 1) or a number of examples (an int); at least one is held
    out. With ``key``, examples of one key stay together (questions about one paragraph, say), and so many
    keys are held out that they have at least that many examples. Equal arguments give equal parts.

    Raises `InputError` for a share or a number that leaves nothing on one of the sides.
    """
    rows = list(examples)
    wanted = _wanted(held_out, len(rows))
    groups = _groups(rows, key)
    held: set[int] = set()
    for chosen in np.random.default_rng(seed).permutation(len(groups)):
        if len(held) >= wanted:
            break
        held.update(groups[int(chosen)])
    if len(held) == len(rows):
        raise InputError(
            f"Holding out {held_out} of {len(rows)} examples with {len(groups)} different keys leaves none "
            "to learn from; hold out fewer, or part them by another key."
        )
    return [row for at, row in enumerate(rows) if at not in held], [rows[at] for at in sorted(held)]


def _wanted(held_out: object, number: int) -> int:
    if isinstance(held_out, bool) or not isinstance(held_out, int | float):
        raise InputError(f"held_out is {held_out!r}; give a share such as 0.1, or a number of examples.")
    if number < 2:
        raise InputError(f"There is nothing to part: {number} example{'s' if number != 1 else ''}.")
    if isinstance(held_out, float):
        if not 0 < held_out < 1:
            raise InputError(f"held_out is {held_out}; a share lies between 0 and 1.")
        return min(max(1, round(held_out * number)), number - 1)
    if not 0 < held_out < number:
        raise InputError(f"held_out is {held_out}; of {number} examples, 1 to {number - 1} can be held out.")
    return held_out


def _groups(rows: Sequence[Example], key: Callable[[Example], Hashable] | None) -> list[list[int]]:
    if key is None:
        return [[at] for at in range(len(rows))]
    found: dict[Hashable, list[int]] = {}
    for at, row in enumerate(rows):
        found.setdefault(key(row), []).append(at)
    return list(found.values())


T = TypeVar("T")
_SEED = 1


def sample(items: Sequence[T], size: int | None) -> list[T]:
    """Return a deterministic sample of ``size`` items in order; all items for None or if there are fewer."""
    if size is None or size >= len(items):
        return list(items)
    chosen = np.random.default_rng(_SEED).permutation(len(items))[:size]
    return [items[place] for place in sorted(int(place) for place in chosen)]
