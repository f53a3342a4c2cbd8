"""Common parts of all commands: their declaration, and the options given to the running command."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

__all__ = [
    "Commands",
    "Group",
    "column_hint",
    "described",
    "flag_of",
    "given",
    "let_go_of_stdout",
    "path_and_model",
]

# The base class of typer.BadParameter; its module depends on the release of typer.
UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])
_running: ContextVar[Any] = ContextVar("running")  # the context of the command that was called


@contextmanager
def quiet_help() -> Iterator[None]:
    """Exit with status 0 if the reader of a help page closed the pipe, as in ``munjang --help | head -1``."""
    try:
        yield
    except (BrokenPipeError, SystemExit):  # rich converts BrokenPipeError to SystemExit
        let_go_of_stdout()
        raise typer.Exit from None


def let_go_of_stdout() -> None:
    """Redirect standard output to the null device, so that Python's flush at exit does not fail again."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _flags_without_type(super().get_params(ctx))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        try:
            with quiet_help():
                return super().make_context(info_name, args, parent, **extra)
        except UsageError as error:
            missing = getattr(error, "param", None)
            if type(error).__name__ == "MissingParameter" and missing is not None and missing.name == "model":
                from munjang.cli.needs import model_hint

                path = f"{'' if parent is None else parent.command_path} {info_name}"
                vars(error)["message"] = model_hint(" ".join(path.split()[1:]), None)
            elif isinstance(message := vars(error).get("message"), str):
                # Recent releases of typer check values with pydantic, whose messages use Python terms.
                message = message.removeprefix("Value error, ")
                vars(error)["message"] = message.partition(", unable to parse string")[0]
            raise

    def invoke(self, ctx: Any) -> Any:
        _running.set(ctx)
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the options; the reader of the help text may close the pipe."""
        with quiet_help():
            return super().make_context(info_name, args, parent, **extra)

    def get_params(self, ctx: Any) -> Any:
        """Return the options of the group itself."""
        return _flags_without_type(super().get_params(ctx))


class Commands(typer.Typer):
    """A program or a group of commands, whose help does not show the type of a flag."""

    def __init__(self, *, cls: type[TyperGroup] = Group, **settings: Any) -> None:
        super().__init__(cls=cls, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Add a command, as `typer.Typer.command` does."""
        return super().command(name, cls=_Command, **settings)


def _flags_without_type(options: list[Any]) -> list[Any]:
    for option in options:
        if isinstance(option, TyperOption) and option.is_flag and option.metavar is None:
            option.metavar = ""
    return options


def flag_of(name: str, value: object = None) -> str | None:
    """Return the flag of a parameter of the running command, in the form for this value."""
    ctx = _running.get(None)
    param = next((one for one in ctx.command.params if one.name == name), None) if ctx else None
    if param is None:
        return None
    if not param.opts[0].startswith("-"):
        return str(param.metavar or name.upper())
    negated = str(value) == "False" and param.secondary_opts
    return str(param.secondary_opts[0] if negated else param.opts[0])


def column_hint() -> str:
    """Return the options of the running command that name columns."""
    ctx = _running.get(None)
    params = ctx.command.params if ctx else []
    found = [param.opts[0] for param in params if str(getattr(param, "help", "")).startswith("The column")]
    return f"Options that name columns: {', '.join(found)}." if found else ""


def path_and_model() -> tuple[str, str | None]:
    """Return the running command's name without the program's name, and the chosen model."""
    ctx = _running.get(None)
    return ("", None) if ctx is None else (" ".join(ctx.command_path.split()[1:]), ctx.params.get("model"))


def given(name: str) -> str | None:
    """Return the flag of a parameter of the running command if it was given on the command line."""
    ctx = _running.get()
    source = ctx.get_parameter_source(name)
    is_given = source is not None and source.name == "COMMANDLINE"
    return flag_of(name, ctx.params.get(name)) if is_given else None


def described(command: Callable[..., None]) -> str:
    """Return a command's docstring as help text, each paragraph as one line that the terminal wraps."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
