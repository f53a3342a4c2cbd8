"""Writing `IndexSettings` down, and telling whether an index fits those it is opened with."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from munjang.errors import IndexMismatchError, StoreError
from munjang.search.store import DAMAGE, IndexSettings

__all__ = ["check_same_settings", "difference", "read_settings", "write_settings"]

_TUPLES = ("fields", "embedded", "probe")
_NAMES = ("model", "revision")  # of a model, which its probe tells better
_LARGEST = 2**31
_TOLERANCE = 1e-3  # engines of other machines differ in the last digits, other models in the first


def write_settings(settings: IndexSettings) -> str:
    """Give the settings as JSON."""
    return json.dumps(asdict(settings), ensure_ascii=False)


def read_settings(text: str) -> IndexSettings:
    """Return what `write_settings` wrote; raise `StoreError` for anything else."""
    try:
        read: dict[str, Any] = json.loads(text)
        for name in _TUPLES:
            read[name] = tuple(read[name])
        settings = IndexSettings(**read)
        _check_settings(settings)
    except DAMAGE as error:
        raise StoreError(
            f"The settings of the index are damaged ({type(error).__name__}: {error!s:.200}); "
            "`munjang index export` saves its documents."
        ) from error
    return settings


def _check_settings(settings: IndexSettings) -> None:
    """Raise `ValueError` for settings of wrong types."""
    texts = (settings.model, settings.pooling, settings.similarity, settings.analyzer)
    names = (*settings.fields, *settings.embedded, *settings.prompts, *settings.prompts.values())
    numbers = (settings.dimension, settings.max_seq_length, settings.chunk_tokens, settings.chunk_overlap)
    right = (
        all(isinstance(one, str) for one in (*texts, *names, settings.revision or ""))
        and all(type(one) is int and 0 <= one < _LARGEST for one in numbers)
        and settings.dimension > 0
        and type(settings.normalize) is bool
        and settings.similarity in ("cosine", "dot")
        and {"query", "document"} <= {*settings.prompts}
        and all(isinstance(one, int | float) for one in settings.probe)
    )
    if not right:
        raise ValueError("a value of another type")


def difference(old: IndexSettings, new: IndexSettings) -> str | None:
    """Name the first setting that differs, with both values; ``None`` if they go together.

    One model may be opened by several names. So names are compared only when there is no probe to compare.
    """
    for name in (one.name for one in fields(IndexSettings)):
        before, now = getattr(old, name), getattr(new, name)
        if name == "probe":
            if not _same_probe(before, now):
                return f"the model '{old.model}', now '{new.model}', which gives other vectors"
        elif before != now and not (name in _NAMES and old.probe and new.probe):
            return f"{name} {_shown(before)}, now {_shown(now)}"
    return None


def check_same_settings(stored: IndexSettings, wanted: IndexSettings, place: str) -> None:
    """Raise `IndexMismatchError` that names the first difference and the place of the index."""
    found = difference(stored, wanted)
    if found is not None:
        raise IndexMismatchError(
            f"The index '{place}' was made with {found}. Open it as it was made, "
            "or move it to other settings with `munjang index migrate`."
        )


def _same_probe(old: tuple[float, ...], new: tuple[float, ...]) -> bool:
    if len(old) != len(new):
        return False
    one, other = np.asarray(old), np.asarray(new)
    scale = max(float(np.abs(one).max(initial=0.0)), 1e-6)
    return float(np.abs(one - other).max(initial=0.0)) <= _TOLERANCE * scale


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"'{value}'" if isinstance(value, str) else str(value)
