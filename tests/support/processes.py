"""Python in a new process, with nothing imported and an empty home folder."""

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
    """Return an environment with a separate home, without variables that forbid connections or mark a CI."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(_SOURCE), **(extra or {})}


def run_python(
    code: str,
    *arguments: object,
    home: Path,
    prefix: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
) -> str:
    """Run code with ``sys.argv[1:]`` set and return its output; fail if the process fails."""
    command = [*prefix, sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=python_environment(home, extra), cwd=home
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
