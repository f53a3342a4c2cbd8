"""Common parts of all commands: their declaration, and the options given to the running command.

A command is a function whose parameters are declared with `option` and `argument` of
`munjang.cli.common.options`::

    @command('munjang tokenize "축구는 정말 재미있다."')
    def tokenize(
        text: Annotated[str, argument("A text.", "TEXT")],
        top_k: Annotated[int, option("Number of results.", "K", "-k", min=1)] = 5,  # --top-k, -k
        reading: Reading = Reading(),
        as_json: AsJson = False,
    ) -> None:
        ...

    app.add("Look at text", tokenize)

The help text is the function's docstring. A parameter whose type is a dataclass, such as ``Reading``, stands
for options: one for each field that is annotated with `option`, or whose metadata are the arguments of
`option` (``flags`` is a tuple). The command receives the dataclass. ``Annotated[Reading, Bundle(...)]``
changes its options for one command. The parameter's default has the options' defaults, in place of
the fields' own; a class attribute ``panel`` is the panel of all options that name no other.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from munjang.cli.common.needs import model_hint
from munjang.cli.common.options import Bundle, Option, examples, option

# The base class of typer.BadParameter; its module depends on the release of typer.
Function = TypeVar("Function", bound=Callable[..., None])
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
                path = f"{'' if parent is None else parent.command_path} {info_name}"
                vars(error)["message"] = model_hint(" ".join(path.split()[1:]), None)
            elif isinstance(message := vars(error).get("message"), str):
                # Recent releases of typer check values with pydantic, whose messages use Python terms.
                message = message.removeprefix("Value error, ").partition(", unable to parse string")[0]
                is_extra = message.startswith("Got unexpected extra argument")
                vars(error)["message"] = message + (_text_options(self.params) if is_extra else "")
            raise

    def invoke(self, ctx: Any) -> Any:
        _running.set(ctx)
        return super().invoke(ctx)


def _text_options(params: Sequence[Any]) -> str:
    """Return a hint: the options that take a text, which may have been written without its option."""
    flags = [
        f"{param.opts[0]} {param.metavar}"
        for param in params
        if param.metavar in ("TEXT", "QUESTION")
        and param.opts[0].startswith("-")
        and "prompt" not in param.name
    ]
    return f". An option for a text: {', '.join(flags)}" if flags else ""


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

    def __init__(self, *lines: str, cls: type[TyperGroup] = Group, **settings: Any) -> None:
        """Create a group whose help page ends with these examples; `typer.Typer` has the ``settings``."""
        super().__init__(cls=cls, epilog=examples(*lines) if lines else None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        """Add a command, as `typer.Typer.command` does."""
        register = super().command(name, cls=_Command, **settings)

        def add(function: Function) -> Function:
            register(_expanded(function))
            return function

        return add

    def add(self, panel: str | None, *functions: Callable[..., None]) -> None:
        """Add functions that are declared with `command`, under a heading of the help page."""
        for function in functions:
            name, epilog = _declared[function]
            self.command(name, help=_described(function), epilog=epilog, rich_help_panel=panel)(function)


_declared: dict[Callable[..., None], tuple[str, str]] = {}  # function -> its command's name and epilog


def command(*lines: str, name: str | None = None) -> Callable[[Function], Function]:
    """Declare a function as a command with these examples; `Commands.add` adds it to a program.

    The help text is the docstring. The command is named after the function, unless ``name`` is given.
    """

    def declare(function: Function) -> Function:
        _declared[function] = (name or function.__name__.replace("_", "-"), examples(*lines))
        return function

    return declare


@dataclass(frozen=True)
class _Expansion:
    """The options that a parameter of a bundle's type stands for."""

    kind: type[Any]
    shown: Mapping[str, str]
    defaults: Any  # an instance of ``kind``, or None
    parameters: list[inspect.Parameter]

    def take(self, values: dict[str, Any]) -> Any:
        """Remove the options' values from ``values``; return the dataclass that they make."""
        given = {parameter.name: values.pop(parameter.name) for parameter in self.parameters}
        chosen = {name: value for name, value in given.items() if value is not None or name not in self.shown}
        return self.kind(**chosen) if self.defaults is None else replace(self.defaults, **chosen)


def _expanded(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function with each option as a parameter of its own, and with all long flags."""
    parameters: list[inspect.Parameter] = []
    expansions: dict[str, _Expansion] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        expansion = _expansion(parameter)
        if expansion is None:
            parameters.append(_with_flag(parameter))
        else:
            expansions[parameter.name] = expansion
            parameters += expansion.parameters

    def run(**values: Any) -> None:
        function(**{name: expansion.take(values) for name, expansion in expansions.items()}, **values)

    run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    return run


def _expansion(parameter: inspect.Parameter) -> _Expansion | None:
    """Return the options of a dataclass, or None for a parameter of another type."""
    annotation = parameter.annotation
    bundles = [each for each in get_args(annotation)[1:] if isinstance(each, Bundle)]
    kind = get_args(annotation)[0] if bundles else annotation
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return None
    bundle = bundles[0] if bundles else Bundle()
    defaults = None if parameter.default is inspect.Parameter.empty else parameter.default
    hints = get_type_hints(kind, include_extras=True)
    parameters = [
        _parameter_of(each, hints[each.name], bundle.shown, defaults, getattr(kind, "panel", None))
        for each in fields(kind)
        if each.name not in bundle.without and ("help" in each.metadata or _option_of(hints[each.name]))
    ]
    return _Expansion(kind, bundle.shown, defaults, parameters)


def _parameter_of(
    described_field: Field[Any], hint: Any, shown: Mapping[str, str], defaults: Any, panel: str | None
) -> inspect.Parameter:
    """Return the option of a field."""
    name, metadata = described_field.name, dict(described_field.metadata)
    if metadata:
        text, metavar, flags = (metadata.pop(key, None) for key in ("help", "metavar", "flags"))
        hint = _one_value(hint, option(str(text), metavar, *(flags or ()), **metadata))
    kind, declared = get_args(hint)[0], copy(_option_of(hint))
    declared.rich_help_panel = declared.rich_help_panel or panel
    if name in shown:
        kind, declared.show_default, default = kind | None, shown[name], None
    elif defaults is not None:
        default = getattr(defaults, name)
    elif described_field.default_factory is not MISSING:
        default = described_field.default_factory()
    else:
        default = described_field.default
    if default is MISSING:
        default = inspect.Parameter.empty
    hint = Annotated[kind, declared]
    return _with_flag(
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
    )


_METAVARS = {int: "N", float: "X", Path: "DIR"}  # for fields of the library, unless they state another


def _one_value(hint: Any, declared: Option) -> Any:
    """Return the annotation of an option for a field of the library, whose type may be wider.

    Of a union the option has the first type. A sequence of texts is one value with commas.
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kind = kinds[0]
    is_sequence = get_origin(kind) is Sequence
    if is_sequence:
        declared.parser = lambda value: [part.strip() for part in value.split(",")]
    if declared.metavar is None and kind is not bool:
        declared.metavar = "A,B" if is_sequence else _METAVARS.get(kind, "NAME")
    return Annotated[kind | None if NoneType in kinds else kind, declared]


def _option_of(annotation: Any) -> Any:
    """Return the declared option of an annotation, or None."""
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((each for each in extras if isinstance(each, Option)), None)


def _with_flag(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the parameter with the long flag of its option: its name, and its negation if it has one."""
    declared = _option_of(parameter.annotation)
    if declared is None or any(flag.startswith("--") for flag in declared.param_decls):
        return parameter
    kind = get_args(parameter.annotation)[0]
    long = parameter.name.strip("_").replace("_", "-")
    negatable = parameter.default is not False if declared.negatable is None else declared.negatable
    is_flag = bool in (kind, *get_args(kind))
    flag = f"--{long}/--no-{long}" if is_flag and negatable else f"--{long}"
    declared = copy(declared)
    declared.param_decls = (flag, *declared.param_decls)
    return parameter.replace(annotation=Annotated[kind, declared])


def _flags_without_type(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag and param.metavar is None:
            param.metavar = ""
    return params


def _parameter(name: str) -> Any:
    ctx = _running.get(None)
    params = ctx.command.params if ctx else []
    return next((each for each in params if each.name == name), None)


def flag_of(name: str, value: object = None) -> str | None:
    """Return the flag of a parameter of the running command, in the form for this value."""
    param = _parameter(name)
    if param is None:
        return None
    if not param.opts[0].startswith("-"):
        return str(param.metavar or name.upper())
    negated = str(value) == "False" and param.secondary_opts
    return str(param.secondary_opts[0] if negated else param.opts[0])


def option_with(name: str, value: str) -> str | None:
    """Return a parameter of the running command with this value, as a user writes it; None if there is none.

    The values ``...`` and the empty text stand for any value.
    """
    flag, param = flag_of(name, value), _parameter(name)
    if flag is None:
        return None
    is_flag = bool(getattr(param, "is_flag", False))
    if value == "None" or (is_flag and value == "False" and flag == param.opts[0]):
        return f"no {flag}"
    return flag if is_flag or value in ("True", "False", "...", "") else f"{flag} {value}"


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


def _described(command: Callable[..., None]) -> str:
    """Return a command's docstring as help text, each paragraph as one line that the terminal wraps."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
