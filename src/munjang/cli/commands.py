"""What all commands have in common: how they are declared, and which options the running one was given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

__all__ = ["Commands", "Group", "described", "flags", "given", "path_and_model"]

UsageError = typer.BadParameter.__mro__[1]  # whose module's name depends on the release of typer
_running: ContextVar[Any] = ContextVar("running")  # the context of the command that was called


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _flags_without_type(super().get_params(ctx))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except UsageError as error:
            missing = getattr(error, "param", None)
            if type(error).__name__ == "MissingParameter" and missing is not None and missing.name == "model":
                from munjang.cli.needs import model_hint

                path = f"{'' if parent is None else parent.command_path} {info_name}"
                error.message = model_hint(" ".join(path.split()[1:]), None)
            raise

    def invoke(self, ctx: Any) -> Any:
        _running.set(ctx)
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> Any:
        """Give the options of the group itself."""
        return _flags_without_type(super().get_params(ctx))


class Commands(typer.Typer):
    """A program or a part of one, whose help says nothing about the type of a flag."""

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


def flags() -> dict[str, str]:
    """Return the flag of each parameter of the running command, in the form in which it was given."""
    ctx = _running.get(None)
    return (
        {}
        if ctx is None
        else {param.name: _flag(param, ctx.params.get(param.name)) for param in ctx.command.params}
    )


def path_and_model() -> tuple[str, str | None]:
    """Return the words of the running command behind the program's name, and the model that was chosen."""
    ctx = _running.get(None)
    return ("", None) if ctx is None else (" ".join(ctx.command_path.split()[1:]), ctx.params.get("model"))


def given(name: str) -> bool:
    """Return whether a parameter of the running command stood on the command line."""
    source = _running.get().get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _flag(param: Any, value: Any) -> str:
    if not param.opts[0].startswith("-"):
        return str(param.metavar or param.opts[0].upper())
    negated = value is False and param.secondary_opts
    return str(param.secondary_opts[0] if negated else param.opts[0])


def described(command: Callable[..., None]) -> str:
    """Give a command's docstring as its help, each paragraph as one line, for the terminal to wrap."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
