"""Every `munjang` command in the README files and in the guides has existing options and all required ones.

The examples of docs/cli.md are those of the help pages, which tests/cli/test_help.py runs.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from munjang.cli.app import app

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(PROJECT.glob("README*.md")),
    *sorted({*(PROJECT / "docs").glob("*.md")} - {PROJECT / "docs" / "cli.md"}),
]
BLOCK = re.compile(r"```(?:console|sh)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\s*(?:\$ )?(munjang .*)$", re.MULTILINE)


def commands(page: Path) -> list[str]:
    blocks = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8"))).replace("\\\n", " ")
    return COMMAND.findall(blocks)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_can_be_parsed(page: Path) -> None:
    program: Any = typer.main.get_command(app)
    for line in commands(page):
        words = shlex.split(line.partition(" < ")[0], comments=True)[1:]
        command = program
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        context = command.context_class(command, info_name=line)
        values, rest, _ = command.make_parser(context).parse_args(args=words)  # raises for an unknown option
        assert rest == [], line
        for param in command.params:
            assert not param.required or values[param.name] is not None, f"{line}: {param.name}"
