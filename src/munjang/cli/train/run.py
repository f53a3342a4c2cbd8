"""The options that all training commands share, the reading of examples, and the display of a run."""

from __future__ import annotations

import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from munjang.cli.common.commands import Group, command, given
from munjang.cli.common.errors import FAILED, INTERRUPTED
from munjang.cli.common.options import DEFAULT_MODEL, AsJson, Bundle, Offline, Progress, option
from munjang.cli.common.output import clean, joined, new_table, print_json, print_table, write_line
from munjang.cli.common.texts import refuse, refuse_reading, usage_error
from munjang.errors import MunjangError, TrainingError
from munjang.rounding import rounded

if TYPE_CHECKING:
    from munjang.training.loop.report import TrainingResult
    from munjang.training.loop.watchers import Step

Kind: TypeAlias = Literal["scores", "labels", "lists", "contrasts"]
_OFFLINE = "MUNJANG_OFFLINE"


def _leads() -> bool:
    """Return whether this process is the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def _tell(line: str) -> None:
    """Write a line to standard error, once for all processes."""
    if _leads():
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def _one_reporter() -> Iterator[None]:
    """Suppress the messages of all processes but the leading one, which has the same errors."""
    if _leads():
        yield
        return
    logger = logging.getLogger("munjang")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TrainingError:  # can be an error of this process only: its memory
        raise
    except MunjangError:
        raise typer.Exit(FAILED) from None
    finally:
        logger.setLevel(level)


class TrainingGroup(Group):
    """The group of training commands; of several processes, one reports errors."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with _one_reporter():
            return super().invoke(ctx)


@contextmanager
def without_connections(forbidden: bool | None) -> Iterator[None]:
    """Set the environment variable by which all parts of the library open no connection."""
    before = {} if _OFFLINE not in os.environ else {_OFFLINE: os.environ[_OFFLINE]}
    if forbidden:
        os.environ[_OFFLINE] = "1"
    try:
        yield
    finally:
        if forbidden:
            del os.environ[_OFFLINE]
            os.environ.update(before)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Options: the files and the model of a run."""

    data: Annotated[list[Path], option("A file of training examples; may be repeated.", "FILE")]
    output: Annotated[
        Path, option("The folder of the run: the model, a report, the curves, a log.", "DIR", "-o")
    ]
    model: Annotated[
        str,
        option(
            "The initial model: a folder, a name of `munjang models`, a Hugging Face repository.",
            "NAME",
            "-m",
        ),
    ] = DEFAULT_MODEL
    dev: Annotated[Path | None, option("A file of held-out examples for the evaluation.", "FILE")] = None
    dev_share: Annotated[
        float | None, option("Hold out this share of the data instead, such as 0.1.", "X")
    ] = None
    limit: Annotated[int | None, option("Use a random sample of N examples.", "N", min=1, shown="all")] = None
    offline: Offline = None
    progress: Progress = None
    as_json: AsJson = False

    @property
    def files(self) -> list[Path]:
        """All files of examples."""
        return self.data if self.dev is None else [*self.data, self.dev]

    def examples(
        self, read: Callable[[Path], Sequence[Any]], read_dev: Callable[[Path], Sequence[Any]] | None = None
    ) -> tuple[list[Any], list[Any]]:
        """Read the training and the held-out examples; examples with an equal text are in the same part."""
        from munjang.data.splitting import sample, split

        examples = sample([example for path in self.data for example in read(path)], self.limit)
        if self.dev is not None:
            return examples, list((read_dev or read)(self.dev))
        if self.dev_share is not None:
            return split(examples, held_out=self.dev_share, key=_text_of)
        return examples, []

    def check(self) -> None:
        """Raise an error for an output folder that holds other files, and for options without effect."""
        from munjang.training.output import check_output

        if _leads():  # the other processes may start after the folder was created
            check_output(self.output)
        if self.dev is not None:
            refuse("beside --dev", "dev_share")
        elif self.dev_share is None:
            refuse("without examples to measure on (--dev or --dev-share)", "patience", "evaluate_first")
        if given("max_steps"):
            refuse("beside --max-steps", "epochs")
        if given("batch_tokens"):
            refuse("beside --batch-tokens", "batch_size")
        refuse_reading(*self.files)


RunWithoutModel = Annotated[Run, Bundle(without=("model",))]


def _text_of(example: Any) -> str:
    """Return the text by which an example is held out: the context of a question, or the first text."""
    if isinstance(example, Mapping):  # with tags
        return str(example["text"])
    names = ("context", "text", "sentence1", "anchor", "query")
    return str(next(getattr(example, name) for name in names if hasattr(example, name)))


# Kind of examples -> the function of `munjang.data` that reads them, its arguments for columns, and the
# argument for all further columns.
_READERS: Mapping[Kind, tuple[str, tuple[str, ...], str | None]] = {
    "scores": ("read_scored_pairs", ("sentence1", "sentence2", "score"), None),
    "labels": ("read_labelled_texts", ("text", "text_pair", "label"), None),
    "lists": ("read_ranked_lists", ("query", "documents", "relevance"), None),
    "contrasts": ("read_contrasts", ("anchor", "positive"), "negatives"),
}


def reader(kind: Kind, columns: str | None = None, **settings: Any) -> Callable[[Path], Sequence[Any]]:
    """Return the function that reads a file of examples, with the columns of an option."""
    from munjang import data

    function, names, further = _READERS[kind]
    if columns is not None:
        chosen = [column.strip() for column in columns.split(",")]
        if len(chosen) < len(names) or (further is None and len(chosen) > len(names)):
            raise usage_error(f"It names {len(chosen)} columns in place of {', '.join(names)}.", "--columns")
        settings |= dict(zip(names, chosen, strict=False))
        if further is not None and len(chosen) > len(names):
            settings[further] = chosen[len(names) :]
    return partial(getattr(data, function), **settings)


def trains(*lines: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function as a command, as `command` does; its first parameter ``run`` is a `Run`."""

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def checked(*, run: Run, **values: Any) -> None:
            run.check()
            with without_connections(run.offline):
                function(run=run, **values)

        return command(*lines)(checked)

    return declare


def numbers_of(numbers: str, flag: str) -> list[int]:
    """Return the whole numbers of a list separated by commas."""
    try:
        return [int(number) for number in numbers.split(",")]
    except ValueError:
        raise usage_error(f"'{numbers}' is not a list of whole numbers such as 1,2,3.", flag) from None


def follow(run: Run, title: str, train: Callable[..., TrainingResult]) -> None:
    """Call ``train`` with the output folder and watchers, show its progress, and print the result."""
    from munjang.training.loop.watchers import shown

    reporter = _Reporter()
    try:
        with shown(run.progress if _leads() else False, title) as watchers:
            result = train(output=run.output, watchers=(reporter, *watchers))
    except KeyboardInterrupt as stopped:
        # The message is empty for a second Ctrl-C, and before the first update.
        reason = str(stopped) or "stopped; the same command resumes after the last checkpoint"
        _tell(f"{reason[0].upper()}{reason[1:]}.")
        raise typer.Exit(INTERRUPTED) from None
    if _leads():
        _show(result, run.as_json, finished_before=reporter.steps is None)


def fit(
    run: Run, title: str, train: Callable[..., TrainingResult], examples: tuple[Any, Any], **settings: Any
) -> None:
    """Train the model of a run on its examples and held-out examples, as `follow` does."""
    learned, held_out = examples
    follow(run, title, partial(train, learned, held_out=held_out, model=run.model, **settings))


class _Reporter:
    """A watcher that reports whether a run is resumed; ``steps`` is None if there was nothing to do."""

    def __init__(self) -> None:
        self.steps: int | None = None

    def begin(self, steps: int, done: int) -> None:
        """Report where the run is resumed."""
        self.steps = steps
        if done:
            _tell(f"Resuming after update {done:,} of {steps:,}.")

    def step(self, step: Step) -> None:
        """Do nothing."""

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        """Do nothing."""


def _number(value: float) -> float | None:
    return rounded(value) if math.isfinite(value) else None


def _show(result: TrainingResult, as_json: bool, *, finished_before: bool) -> None:
    if as_json:
        values = {
            "output": str(result.folder),
            "steps": result.steps,
            "best_step": result.best_step,
            "metrics": {name: _number(value) for name, value in result.metrics.items()},
            "before": {name: _number(value) for name, value in result.before.items()},
            "seconds": rounded(result.seconds),
        }
        print_json(values)
        return
    if finished_before:
        write_line(f"This run was finished before; '{result.folder}' has its result.")
    if result.metrics:
        columns = (">before training", ">after") if result.before else (">value",)
        table = new_table(None, "measure", *columns)
        for name, value in result.metrics.items():
            before = [f"{result.before.get(name, math.nan):.4f}"] if result.before else []
            table.add_row(clean(name), *before, f"{value:.4f}")
        print_table(table)
    folder, kept = result.folder, f"the model of update {result.best_step:,} of {result.steps:,}"
    parts = (f"{folder}: {kept}", f"{result.seconds:,.0f} s", f"how to use it: {folder / 'report.md'}")
    write_line(joined(parts))
