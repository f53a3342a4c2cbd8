"""Write docs/cli.md from the program's help texts; ``--check`` only checks that it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from munjang.cli.app import app

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"
PREFACE = Path(__file__).parent / "docs_cli_preface.md"


def page() -> str:
    """Return the whole page."""
    program: Any = typer.main.get_command(app)
    sections = [PREFACE.read_text(encoding="utf-8").strip()]
    sections += [_section(path, command) for path, command in _commands(program, "munjang")]
    return "\n\n".join(sections) + "\n"


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")


def _section(path: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([path, *(_as_used(argument) for argument in arguments), "[OPTIONS]" if options else ""])
    parts = [f"## `{path}`", _prose(command.help), f"    {usage.strip()}", _examples(command.epilog)]
    if arguments:
        parts.append(
            _table("argument", [(f"`{param.metavar}`", param.help or "", "") for param in arguments])
        )
    if options:
        parts.append(
            _table("option", [(_names(param), param.help or "", _default(param)) for param in options])
        )
    return "\n\n".join(part for part in parts if part)


def _as_used(argument: Any) -> str:
    name = f"{argument.metavar}..." if argument.nargs == -1 else str(argument.metavar)
    return name if argument.required else f"[{name}]"


def _prose(text: str | None) -> str:
    return (text or "").strip()


def _examples(epilog: str | None) -> str:
    """Return the commands at the end of a help page as a code block."""
    lines = Text.from_markup(epilog or "").plain.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return "\n".join(["```sh", *commands, "```"]) if commands else ""


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    return names if option.is_flag or not option.metavar else f"{names} `{option.metavar}`"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):
        return option.show_default
    return "" if option.is_flag or option.default is None else f"`{option.default}`"


def _table(what: str, rows: list[tuple[str, str, str]]) -> str:
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    if all(not default for *_, default in rows):
        head, lines = f"| {what} | |\n| --- | --- |", [f"| {row[0]} | {row[1]} |" for row in escaped]
    else:
        head, lines = (
            f"| {what} | | default |\n| --- | --- | --- |",
            [f"| {' | '.join(row)} |" for row in escaped],
        )
    return "\n".join([head, *(" ".join(line.split()) for line in lines)])


def main() -> None:
    """Write the page, or with ``--check`` exit with 1 if it is out of date."""
    wanted = page()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(wanted, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != wanted:
        sys.exit(f"{TARGET} is out of date; run `python scripts/docs_cli.py`.")


if __name__ == "__main__":
    main()
