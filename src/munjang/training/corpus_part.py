"""A part of the documents of text files: those held out to measure on, or those to learn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from munjang.errors import InputError

__all__ = ["Part"]

_DRAWS = 4096  # at once


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the documents, drawn at random, or all the others; the same for the same seed.

    The files are read as a stream, so the number held out is about the share of all, not exactly.

    Attributes:
        share: the probability with which a document is held out.
        held_out: take those that are held out; otherwise the others.
        seed: of the draws.

    Raises `InputError` for a share that is not between 0 and 1.
    """

    share: float
    held_out: bool
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, float) or not 0 < self.share < 1:
            raise InputError(f"The share to hold out lies between 0 and 1, got {self.share!r}.")

    def of_files(self, files: Iterable[Iterator[str]], *, sentences: bool) -> Iterator[Iterator[str]]:
        """Make the lines of the documents blank that do not belong to the part.

        Each line is a document; with ``sentences`` blank lines and the ends of files separate them.
        """
        draws = self._draws()
        return (self._of_file(lines, draws, sentences) for lines in files)

    def _draws(self) -> Iterator[bool]:
        rng = np.random.default_rng([self.seed, 19])
        while True:
            yield from ((rng.random(_DRAWS) < self.share) == self.held_out).tolist()

    def _of_file(self, lines: Iterator[str], draws: Iterator[bool], sentences: bool) -> Iterator[str]:
        chosen = inside = False
        for line in lines:
            if line and not (inside and sentences):  # a document begins
                chosen = next(draws)
            inside = bool(line)
            yield line if chosen else ""

    def is_empty(self) -> InputError:
        """Say that the part has no text."""
        purpose = "measure on" if self.held_out else "learn from"
        return InputError(
            f"Holding out {self.share:g} of the texts leaves none to {purpose}; choose another share, or "
            "give more text."
        )
