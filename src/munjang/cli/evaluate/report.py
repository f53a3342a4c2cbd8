"""Common parts of the commands of ``munjang evaluate``: their options, the sample and the printed result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from munjang.cli.common.options import AsJson, Progress, argument, option
from munjang.cli.common.output import clean, console, new_table, print_json, print_table, write_line
from munjang.cli.common.texts import usage_error
from munjang.progress import has_bar, tracked

if TYPE_CHECKING:
    from munjang.evaluation import Evaluation

T = TypeVar("T")

Data = Annotated[Path, argument("The file with the labelled examples.", "DATA")]


@dataclass(frozen=True)
class Report:
    """Options: the size of the sample, whether progress is shown, and the form of the result."""

    limit: Annotated[
        int | None, option("Measure on a random sample of N examples.", "N", shown="all", min=1)
    ] = None
    progress: Progress = None
    as_json: AsJson = False
    as_markdown: Annotated[bool, option("Print a table in Markdown, for a report.", "--markdown")] = False

    def __post_init__(self) -> None:
        """Raise the usage error for two forms."""
        if self.as_json and self.as_markdown:
            raise usage_error("Use either --json or --markdown.", "--json")

    def sampled(self, examples: Sequence[T]) -> list[T]:
        """Return the sample of the examples."""
        from munjang.data.splitting import sample

        return sample(examples, self.limit)

    def run(
        self,
        data: Path,
        evaluate: Callable[..., Evaluation],
        model: object,
        examples: Sequence[object],
        *,
        total: int | None = None,
    ) -> None:
        """Evaluate a model on examples of a file with a progress bar, and print the result.

        ``total`` is the number of steps if it is not the number of examples.
        """
        is_watched = self.progress or has_bar(self.progress)
        with tracked(self.progress, len(examples) if total is None else total, "Measuring") as advance:
            evaluation = evaluate(model, examples, advance=advance if is_watched else None)
        evaluation = replace(evaluation, data=data.name)
        if self.as_json:
            print_json(evaluation.to_dict())
        elif self.as_markdown:
            write_line(evaluation.to_markdown())
        else:
            _print_table(evaluation)


def _print_table(evaluation: Evaluation) -> None:
    table = new_table(None, "measure", ">value", "95% interval")
    for name, value, interval in evaluation.rows():
        table.add_row(clean(name), value, interval)
    console().print(clean(evaluation.title), style="bold")  # rich would wrap a table's title to its width
    print_table(table, clean(evaluation.notes))
