"""Importing OpenVINO without its telemetry.

``import openvino`` alone writes a client id under the home folder, starts a process and reports to a web
service. Where its telemetry package is not installed it leaves all of that out, so that is what it is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["hidden"]


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Make ``import package`` fail inside the block; afterwards everything is as it was."""
    before = {package: sys.modules[package]} if package in sys.modules else {}
    sys.modules[package] = None  # type: ignore[assignment] # Python's mark for "not to be found"
    try:
        yield
    finally:
        del sys.modules[package]
        sys.modules.update(before)
