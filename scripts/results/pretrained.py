"""A small BERT from nothing, on film reviews."""

from __future__ import annotations

from scripts.results.outcome import Outcome, Place

__all__ = ["pretrained"]

SENTENCE = "이 영화 정말 [MASK]"


def pretrained(place: Place) -> Outcome:
    """Learn to fill masks."""
    raise NotImplementedError
