"""What all commands have in common."""

from __future__ import annotations

import inspect
from collections.abc import Callable

__all__ = ["described"]


def described(command: Callable[..., None]) -> str:
    """Give a command's docstring as its help, each paragraph as one line, for the terminal to wrap."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
