"""Options that several commands share, each with one meaning everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "DEFAULT_MODEL",
    "READING",
    "AsJson",
    "Column",
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
    "split_pooling",
]

# Said here once more, because asking munjang.checkpoints would load NumPy before any help is shown.
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
    """Say which column of a file holds ``what``; ``default`` is shown as what is taken without it."""
    return typer.Option(
        flag, metavar="NAME", show_default=default, help=f"The column of {what}.", rich_help_panel=READING
    )


def examples(*commands: str) -> str:
    """Give the end of a help page: commands to try, one per line."""
    shown = (f"[green]$ {command.replace('[', chr(92) + '[')}[/green]" for command in commands)
    return "\n\n".join(["[bold]Examples[/bold]", *shown])


def split_pooling(pooling: str | None) -> str | tuple[str, ...] | None:
    """Read ``mean+max`` as two modes."""
    return tuple(pooling.split("+")) if pooling and "+" in pooling else pooling
