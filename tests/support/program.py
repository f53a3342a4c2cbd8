"""The command line under test: in this process for most tests, as the real program where needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from typer.testing import CliRunner

from support.processes import python_environment

__all__ = [
    "SENTENCES",
    "Invoke",
    "Program",
    "invoke_here",
    "json_lines",
    "printed_json",
    "printed_text",
    "program_environment",
    "run_program",
]

# The texts of the files of the fixtures `sentences` and `table`; one is empty.
SENTENCES = ["축구가 재미있어요.", "I like football.", "", "공차기가 재미있어요!", "Where is my cat?"]

# Both take the program's arguments; the first returns typer's result, the second the finished process.
Invoke = Callable[..., Any]
Program = Callable[..., "subprocess.CompletedProcess[bytes]"]


@cache
def _command() -> Any:
    """Return the command line, made once: typer makes it again for each call, which takes 0.1 s."""
    from munjang.cli.app import app

    return typer.main.get_command(app)


def invoke_here(*arguments: object, stdin: str | bytes | None = None, columns: int | None = None) -> Any:
    """Run a command in this process; return its exit code, stdout and stderr.

    ``columns`` is the width of the terminal; by default the environment's, or 100.
    """
    from munjang.cli.app import app

    width = os.environ.get("COLUMNS", "100") if columns is None else str(columns)
    with mock.patch("typer.testing._get_command", return_value=_command()):
        runner = CliRunner(env={"COLUMNS": width})
        return runner.invoke(app, [str(argument) for argument in arguments], input=stdin)


def json_lines(*arguments: object, stdin: str | bytes | None = None) -> list[Any]:
    """Run a command in this process with ``--json``; return the value of each line that it printed."""
    result = invoke_here(*arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def printed_json(result: Any) -> Any:
    """Return the JSON that a command printed, on one line and with nothing beside it."""
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def printed_text(result: Any) -> str:
    """Return what a command printed for a person, without colours because it is no terminal."""
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    return str(result.stdout)


def program_environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for the program: an empty home, no network, a terminal of 100 columns."""
    return python_environment(home, {"COLUMNS": "100", "MUNJANG_OFFLINE": "1", **(more or {})})


def run_program(
    home: Path, *arguments: object, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the real program in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "munjang", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=60,
        env=program_environment(home, environment),
        check=False,
    )
