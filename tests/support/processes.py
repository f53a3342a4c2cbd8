"""Running Python in a process of its own, where nothing has been imported and the home folder is empty."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import munjang

__all__ = ["python_environment", "run_python"]

_SOURCE = Path(munjang.__file__).parents[1]


def python_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment with a home of its own; nothing in it forbids a connection or says that this is a CI."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(_SOURCE), **(extra or {})}


def run_python(
    code: str,
    *arguments: object,
    home: Path,
    prefix: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
) -> str:
    """Run code with ``sys.argv[1:]`` set and give what it printed; fails if the process fails."""
    command = [*prefix, sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=python_environment(home, extra), cwd=home
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
