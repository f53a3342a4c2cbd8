"""Options that several commands share, with the same meaning in all commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

__all__ = [
    "DEFAULT_MODEL",
    "READING",
    "AsJson",
    "Column",
    "Columns",
    "Encoding",
    "Model",
    "NoHeader",
    "NoQuoting",
    "Offline",
    "Pooling",
    "Progress",
    "Prompt",
    "PromptName",
    "TaskModel",
    "column_of",
    "examples",
    "named_columns",
]

# Repeated here, because importing munjang.checkpoints would import NumPy before any help is shown.
DEFAULT_MODEL = "multilingual-e5-small"

READING = "How the file is read"
_MODEL = "Model"

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        show_default=DEFAULT_MODEL,
        help="A folder, a name of `munjang models`, or a Hugging Face repository.",
        rich_help_panel=_MODEL,
    ),
]
TaskModel = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A folder or a Hugging Face repository, with the head that the task needs.",
        rich_help_panel=_MODEL,
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Use only what is here; open no connection.", rich_help_panel=_MODEL)
]
Pooling = Annotated[
    str | None,
    typer.Option(
        "--pooling",
        metavar="MODE",
        show_default="what the model's files say",
        help="How token vectors become one: mean, cls, max, pooler, ..., or several, as in mean+max.",
        rich_help_panel=_MODEL,
    ),
]
PromptName = Annotated[
    str | None,
    typer.Option(
        "--prompt-name",
        metavar="NAME",
        help="Which of the model's prompts to put before each text, such as query.",
        rich_help_panel=_MODEL,
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="A text to put before each text.", rich_help_panel=_MODEL),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Progress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress", show_default="on a terminal", help="Show how far long work has come."
    ),
]
Column = Annotated[
    str | None,
    typer.Option(
        "--column",
        "-c",
        metavar="NAME",
        show_default="the obvious one",
        help="The column or key that holds the texts.",
        rich_help_panel=READING,
    ),
]
Encoding = Annotated[
    str,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="The character encoding, such as cp949 for older Korean files.",
        rich_help_panel=READING,
    ),
]
NoQuoting = Annotated[
    bool,
    typer.Option("--no-quoting", help="In CSV and TSV, a quote is a letter.", rich_help_panel=READING),
]
NoHeader = Annotated[
    bool,
    typer.Option(
        "--no-header",
        help="In CSV and TSV, the first row is data; columns are called 1, 2, 3, ...",
        rich_help_panel=READING,
    ),
]


def column_of(flag: str, what: str, default: str | bool = "the obvious one") -> object:
    """Return the option for the column of a file that holds ``what``; ``default`` is shown in the help."""
    return typer.Option(
        flag, metavar="NAME", show_default=default, help=f"The column of {what}.", rich_help_panel=READING
    )


Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A,B,...",
        show_default="the obvious ones",
        help="The columns of the data: two texts and a score or label; anchor, positive and any negatives; "
        "or queries, documents and relevance.",
        rich_help_panel=READING,
    ),
]


def named_columns(columns: str | None, names: Sequence[str], more: str | None = None) -> dict[str, Any]:
    """Return name -> column for the columns of an option; further columns are a list named ``more``."""
    if columns is None:
        return {}
    chosen = [column.strip() for column in columns.split(",")]
    if len(chosen) < len(names) or (more is None and len(chosen) > len(names)):
        raise typer.BadParameter(
            f"It names {len(chosen)} columns in place of {', '.join(names)}.", param_hint="--columns"
        )
    rest = {} if more is None or len(chosen) == len(names) else {more: chosen[len(names) :]}
    return {**dict(zip(names, chosen, strict=False)), **rest}


def examples(*commands: str) -> str:
    """Return the end of a help page: example commands, one per line."""
    shown = (f"[green]$ {command.replace('[', chr(92) + '[')}[/green]" for command in commands)
    return "\n\n".join(["[bold]Examples[/bold]", *shown])
