"""Options that several commands share, with the same meaning in all commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from typer.models import ArgumentInfo, OptionInfo

from munjang.choices import DType

# Repeated here, because importing munjang.checkpoints would import NumPy before any help is shown.
DEFAULT_MODEL = "multilingual-e5-small"

READING = "How the file is read"
MODEL = "Model"


class Option(OptionInfo):
    """An option whose long flag is made from the parameter's name, unless a long flag is among its flags."""

    negatable: bool | None = None


def option(
    help: str,  # noqa: A002 -- typer's name for it
    metavar: str | None = None,
    *flags: str,
    shown: str | bool = True,
    panel: str | None = None,
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
    negatable: bool | None = None,
) -> Option:
    """Return the declaration of an option, for ``Annotated`` or the metadata of a dataclass field.

    ``top_k: Annotated[int, option("Number of results.", "K", "-k", min=1)] = 5`` is ``--top-k``, ``-k``.
    Every keyword can be a key of a field's metadata:
    ``field(default=5, metadata={"help": "Number of results.", "metavar": "K", "min": 1})``.

    Args:
        help: the text of the help page.
        metavar: the name of the value in the help page; may be omitted before flags.
        flags: short flags; a long flag only if it differs from the parameter's name.
        shown: the text that the help page shows as default; False for none.
        panel: the heading of the help page under which the option is listed.
        min: the least number.
        max: the largest number.
        negatable: whether a flag has the form ``--name/--no-name``; by default, if it is not False when it is
            not given.
    """
    if metavar is not None and metavar.startswith("-"):
        flags = (metavar, *flags)
        metavar = None
    declared = Option(
        default=...,
        param_decls=flags,
        metavar=metavar,
        help=help,
        show_default=shown,
        rich_help_panel=panel,
        min=min,
        max=max,
    )
    declared.negatable = negatable
    return declared


def argument(help: str, metavar: str, shown: str | bool = True) -> ArgumentInfo:  # noqa: A002
    """Return the declaration of a positional argument, for ``Annotated``."""
    return ArgumentInfo(default=..., metavar=metavar, help=help, show_default=shown)


@dataclass(frozen=True)
class Bundle:
    """How a command changes the options of a dataclass: ``Annotated[Reading, Bundle(without=("column",))]``.

    Attributes:
        without: fields that are no options of this command; they keep their default.
        shown: field -> text that the help page shows as its default. Such an option has no default; if it is
            not given, the field keeps its default.
    """

    without: Sequence[str] = ()
    shown: Mapping[str, str] = field(default_factory=dict)


# None if the option is not given: then the environment decides.
Offline = Annotated[
    bool | None, option("Use only local files; open no connection.", "--offline", panel=MODEL)
]
Pooling = Annotated[
    str | None,
    option(
        "How token vectors are combined: mean, cls, max, pooler, ..., or several, as in mean+max.",
        "MODE",
        shown="from the model's files",
        panel=MODEL,
    ),
]
DTYPE_HELP = "How the model computes: int8 is faster and slightly less exact."
Dtype = Annotated[DType, option(DTYPE_HELP, "--dtype", panel=MODEL)]
Text = Annotated[str | None, argument("A text; - for the lines of standard input.", "TEXT")]
AsJson = Annotated[bool, option("Print JSON.", "--json")]
Progress = Annotated[bool | None, option("Show a progress bar.", shown="on a terminal")]
Column = Annotated[
    str | None,
    option("The column or key of the texts.", "NAME", "-c", shown="detected", panel=READING),
]
Encoding = Annotated[
    str, option("The character encoding, such as cp949 for older Korean files.", "NAME", panel=READING)
]


def column_of(flag: str, what: str, default: str | bool = "detected") -> Option:
    """Return the option for the column of ``what``; ``default`` is shown in the help."""
    return option(f"The column of {what}.", "NAME", flag, shown=default, panel=READING)


Columns = Annotated[
    str | None,
    option(
        "The columns of the data: two texts and a score or label; anchor, positive and any negatives; "
        "or queries, documents and relevance.",
        "A,B,...",
        shown="detected",
        panel=READING,
    ),
]


def examples(*commands: str) -> str:
    """Return the end of a help page: example commands, one per line."""
    shown = (f"[green]$ {command.replace('[', chr(92) + '[')}[/green]" for command in commands)
    return "\n\n".join(["[bold]Examples[/bold]", *shown])
