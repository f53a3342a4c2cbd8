"""Warning classes, so that a caller can filter them, and warnings that point at the caller's line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["AssumptionWarning", "TruncationWarning", "notify"]

_PACKAGE = __name__.partition(".")[0]


class AssumptionWarning(UserWarning):
    """A checkpoint does not define how to use it, and a default was assumed."""


class TruncationWarning(UserWarning):
    """Texts were longer than the model's maximum length and were truncated."""


def notify(message: str, category: type[Warning]) -> None:
    """Issue a warning that points at the calling line outside this package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
