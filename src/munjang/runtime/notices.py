"""Warnings that a caller may want to silence by class, shown at the caller's own line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["AssumptionWarning", "TruncationWarning", "notify"]

_PACKAGE = __name__.partition(".")[0]


class AssumptionWarning(UserWarning):
    """A checkpoint does not say how it is to be used, and something was assumed."""


class TruncationWarning(UserWarning):
    """Texts were longer than the model takes, and what was beyond was not read."""


def notify(message: str, category: type[Warning]) -> None:
    """Warn at the line outside this package from which the work was asked for."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
