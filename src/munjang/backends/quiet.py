"""Import of OpenVINO without its telemetry.

``import openvino`` alone writes a client id under the home folder, starts a process and reports to a web
service. It skips all of this if its telemetry package is not installed, so the package is hidden from it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["hidden"]


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Make ``import package`` fail inside the block; restore the previous state afterwards."""
    before = {package: sys.modules[package]} if package in sys.modules else {}
    sys.modules[package] = None  # type: ignore[assignment] # None makes the import fail
    try:
        yield
    finally:
        del sys.modules[package]
        sys.modules.update(before)
