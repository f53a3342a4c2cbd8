"""The help: its examples work, and docs/cli.md says the same."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text

from munjang.cli.app import app
from support.program import Invoke, program_environment

ROOT = Path(__file__).parents[2]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def examples_of(command: Any) -> list[str]:
    lines = Text.from_markup(command.epilog or "").plain.splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


EXAMPLES = [
    example
    for _, command in COMMANDS
    for example in examples_of(command)
    if "munjang models" not in example and "--help" not in example
]


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(("munjang", *path)) for path, _ in COMMANDS]
)
def test_every_command_has_help_and_examples(invoke: Invoke, path: tuple[str, ...], command: Any) -> None:
    result = invoke(*path, "--help")
    assert result.exit_code == 0
    assert len(examples_of(command)) >= 1
    if path and not hasattr(command, "commands"):
        assert any(param.name == "as_json" for param in command.params)
    text = " ".join(result.stdout.split())
    for example in examples_of(command):
        assert " ".join(example.split()[:4]) in text


def with_tiny_model(example: str, model: Path, cross_encoder: Path) -> str:
    """The same command with a tiny model, so that it runs anywhere."""
    words = shlex.split(example.rpartition("munjang ")[2])
    name = str(cross_encoder if words[0] == "rerank" else model)
    for option in ("--model", "-m"):
        if option in words:
            words[words.index(option) + 1] = name
            break
    else:
        words += ["--model", name]
    return shlex.join(words)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_works(
    invoke: Invoke,
    model: Path,
    cross_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    example: str,
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    command = with_tiny_model(example, model, cross_encoder)
    if "|" not in example:
        result = invoke(*shlex.split(command))
        assert result.exit_code == 0, result.output
        return
    feed = example.rpartition("| munjang ")[0]
    line = f"{feed} | {shlex.quote(sys.executable)} -m munjang {command}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=program_environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("docs_cli", ROOT / "scripts" / "docs_cli.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == script.page(), "run `python scripts/docs_cli.py`"
