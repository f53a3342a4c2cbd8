"""The command line: each command parses, calls one function of the library and prints.

One file per command or pair of commands, one package per group; ``app.py`` adds them to the program, and
``common/`` has what they share. No engine is imported before a command runs, so that ``munjang --help`` is
fast.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the installed program ``munjang``."""
    try:
        from munjang.cli.app import app
        from munjang.cli.common.output import force_utf8

        force_utf8()
        app(prog_name="munjang")
    except KeyboardInterrupt:  # before a command started
        sys.exit(130)
