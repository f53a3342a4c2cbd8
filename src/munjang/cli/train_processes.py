"""Which of the processes that ``torchrun`` started speaks: the leading one."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from munjang.errors import MunjangError, TrainingError

__all__ = ["leads", "one_voice", "say", "without_connections"]

_FAILED = 1
_OFFLINE = "MUNJANG_OFFLINE"


def leads() -> bool:
    """Say whether this process is alone, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """Write a line to standard error, once for all processes."""
    if leads():
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def one_voice() -> Iterator[None]:
    """Keep the other processes silent about what the leading one meets as well."""
    if leads():
        yield
        return
    logger = logging.getLogger("munjang")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TrainingError:  # may be this process's alone: its memory
        raise
    except MunjangError:
        raise typer.Exit(_FAILED) from None
    finally:
        logger.setLevel(level)


@contextmanager
def without_connections(forbidden: bool) -> Iterator[None]:
    """Set the variable that all parts of the library obey."""
    before = os.environ.get(_OFFLINE)
    if forbidden:
        os.environ[_OFFLINE] = "1"
    try:
        yield
    finally:
        if forbidden:
            del os.environ[_OFFLINE]
        if forbidden and before is not None:
            os.environ[_OFFLINE] = before
