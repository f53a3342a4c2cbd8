"""The digits of scores in JSON: float32 has no more than six."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DIGITS = 6


def rounded(score: float) -> float:
    """Return a score with six decimals."""
    return round(float(score), _DIGITS)


def significant(probability: float) -> float:
    """Return a probability with six significant digits; the joint probability of many tokens is small."""
    return float(f"{probability:.{_DIGITS}g}")


def rounded_items(result: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return these items of a result, in this order, or all items; its scores with six decimals."""
    return {
        name: rounded(value) if isinstance(value := result[name], float) else value
        for name in names or result
    }
