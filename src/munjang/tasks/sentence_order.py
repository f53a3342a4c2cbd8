"""The order of n things in which each goes best with the one before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT", "best_order"]

EXACT = 8  # up to so many, every order is considered


def best_order(gain: NDArray[np.float64]) -> tuple[list[int], float]:
    """Find the order with the greatest sum of ``gain[i, j]`` over neighbours i, j; ``gain`` is ``[n, n]``.

    Exact up to `EXACT` (the dynamic programme of Held and Karp, 1962); beyond, the best of the greedy orders
    from every start.
    """
    n = len(gain)
    if n < 2:
        return list(range(n)), 0.0
    if n <= EXACT:
        return _exact(gain.tolist())
    return max((_greedy(gain, start) for start in range(n)), key=lambda found: found[1])


def _exact(gain: list[list[float]]) -> tuple[list[int], float]:
    n = len(gain)
    # (which are used, as bits; which is the last) -> the best sum, and which stands before the last
    best: dict[tuple[int, int], tuple[float, int]] = {(1 << i, i): (0.0, -1) for i in range(n)}
    for used in range(1, 1 << n):  # a set comes after each of its subsets
        for last in range(n):
            if (used, last) not in best:
                continue
            so_far = best[used, last][0]
            for then in range(n):
                if used >> then & 1:
                    continue
                key, total = (used | 1 << then, then), so_far + gain[last][then]
                if key not in best or total > best[key][0]:
                    best[key] = total, last
    everything = (1 << n) - 1
    last = max(range(n), key=lambda i: best[everything, i][0])
    return _walked_back(best, everything, last), best[everything, last][0]


def _walked_back(best: dict[tuple[int, int], tuple[float, int]], used: int, last: int) -> list[int]:
    order: list[int] = []
    while last >= 0:
        order.append(last)
        used, last = used & ~(1 << last), best[used, last][1]
    return order[::-1]


def _greedy(gain: NDArray[np.float64], start: int) -> tuple[list[int], float]:
    order, total = [start], 0.0
    left = np.ones(len(gain), dtype=bool)
    left[start] = False
    while left.any():
        then = int(np.where(left, gain[order[-1]], -np.inf).argmax())
        total += float(gain[order[-1], then])
        order.append(then)
        left[then] = False
    return order, total
