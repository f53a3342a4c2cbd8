"""What the commands of ``munjang evaluate`` share: their options, the sample, and how results are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from munjang.cli.common.output import clean, console, new_table, print_json, write_line
from munjang.cli.common.texts import usage_error
from munjang.progress import Advance, has_bar, tracked

if TYPE_CHECKING:
    from munjang.evaluation.evaluation import Evaluation
    from munjang.tasks.loading import ModelOptions

__all__ = [
    "AsMarkdown",
    "Data",
    "Form",
    "Limit",
    "chosen_form",
    "model_options",
    "report",
    "sampled",
]

T = TypeVar("T")
Measure: TypeAlias = "Callable[[Advance | None], Evaluation]"

Data = Annotated[Path, typer.Argument(metavar="DATA", help="The file with the labelled examples.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, show_default="all", help="Measure on a sample of so many."),
]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print a table in Markdown, for a report.")]


def model_options(offline: bool | None) -> ModelOptions:
    """Say how a model is opened."""
    from munjang.tasks.loading import ModelOptions

    return ModelOptions(offline=offline or None)


def sampled(examples: Sequence[T], limit: int | None) -> list[T]:
    """Draw the sample that was asked for."""
    from munjang.data.splitting import sample

    return sample(examples, limit)


class Form(Enum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def chosen_form(as_json: bool, as_markdown: bool) -> Form:
    """Read the two options; to give both is an error."""
    if as_json and as_markdown:
        raise usage_error("It does not go together with --markdown.", "--json")
    return Form.JSON if as_json else Form.MARKDOWN if as_markdown else Form.TABLE


def report(measure: Measure, data: Path, total: int, form: Form, progress: bool | None) -> None:
    """Measure, while it is shown how far that has come, and print the result."""
    watched = progress or has_bar(progress)
    with tracked(progress, total, "Measuring") as advance:
        found = replace(measure(advance if watched else None), data=data.name)
    if form is Form.JSON:
        print_json(found.to_dict())
    elif form is Form.MARKDOWN:
        write_line(found.to_markdown())
    else:
        _print_table(found)


def _print_table(found: Evaluation) -> None:
    from munjang.evaluation.evaluation import in_words, interval_in_words

    table = new_table()
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("95% interval")
    for name, estimate in found.metrics.items():
        table.add_row(clean(name), in_words(estimate.value), interval_in_words(estimate))
    out = console()
    out.print(clean(found.title), style="bold")  # a table's own title is folded to its width
    out.print(table)
    if found.notes:
        out.print(clean(found.notes), style="dim")
