"""Errors of the library `tokenizers`, its panics included, as Munjang's own.

A panic of the library (a broken table, a regular expression that backtracks too often) arrives as
``pyo3_runtime.PanicException``, a `BaseException` that no ``except Exception`` catches and no module exports.
Every call that works on texts or files goes through `library_errors`. The library itself writes a line about
each panic to standard error.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from munjang.errors import MunjangError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_panic", "library_errors", "reason"]


@contextlib.contextmanager
def library_errors(message: str, error: type[MunjangError]) -> Iterator[None]:
    """Raise ``error`` with this message and the reason for whatever the library raises inside the block."""
    try:
        yield
    except MunjangError:
        raise
    except BaseException as failure:
        if not (isinstance(failure, Exception) or is_panic(failure)):
            raise
        raise error(f"{message}: {reason(failure)}.") from failure


def is_panic(failure: BaseException) -> bool:
    """Return whether this is a panic of the library."""
    return type(failure).__name__ == "PanicException"


def reason(failure: BaseException) -> str:
    """Return what the failure says, on one line without a full stop at its end."""
    text = " ".join(str(failure).split()).rstrip(".") or type(failure).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_LONGEST = 300  # the library quotes whole pieces and patterns
