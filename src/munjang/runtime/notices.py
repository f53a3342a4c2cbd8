"""Warning classes, so that a caller can filter them, and warnings that point at the caller's line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

from munjang.errors import TruncationError
from munjang.validation import checked_choice

ON_TRUNCATION = ("warn", "error", "ignore")
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


class OnTruncation:
    """The attribute ``on_truncation``, which is checked when it is set."""

    _on_truncation: str

    @property
    def on_truncation(self) -> str:
        """``"warn"`` once per call with the count, ``"error"``, or ``"ignore"``."""
        return self._on_truncation

    @on_truncation.setter
    def on_truncation(self, value: str) -> None:
        checked_choice("on_truncation", value, ON_TRUNCATION)
        self._on_truncation = value


class TruncationReport:
    """The number of texts that were truncated in one call, for one warning at its end.

    Args:
        limit: the maximum length in tokens.
        on_truncation: ``"warn"``, ``"error"`` or ``"ignore"``.
        noun: ``"text"`` or ``"pair"``, for the messages.
        advice: a sentence that ends the warning.
    """

    def __init__(self, limit: int, on_truncation: str = "warn", noun: str = "text", advice: str = "") -> None:
        self.texts = 0
        """The number of texts so far."""
        self._limit, self._on_truncation = limit, on_truncation
        self._noun, self._advice = noun, advice
        self._cut: list[int] = []

    def add(self, truncated: Iterable[int]) -> None:
        """Count texts, given the number of tokens cut off from each; `TruncationError` if so configured."""
        for tokens in truncated:
            if tokens:
                self._cut.append(tokens)
                if self._on_truncation == "error":
                    raise TruncationError(
                        f"{self._noun.capitalize()} {self.texts} is {tokens} tokens longer than the "
                        f"{self._limit} that are read."
                    )
            self.texts += 1

    def warn(self) -> None:
        """Issue a `TruncationWarning` with the counts, if texts were truncated."""
        if self._cut and self._on_truncation == "warn":
            notify(
                f"{len(self._cut)} of {self.texts} {self._noun}s were longer than {self._limit} tokens; "
                f"{sum(self._cut)} tokens were cut off.{self._advice}",
                TruncationWarning,
            )


def warn_truncated(truncated: Iterable[int], limit: int, advice: str = "") -> None:
    """Issue one `TruncationWarning` if texts were truncated, given the number of tokens cut off from each."""
    report = TruncationReport(limit, advice=advice)
    report.add(truncated)
    report.warn()
