"""The options of every command of ``munjang train`` that runs the loop, described once.

A command that is decorated with `trains` takes a `Run` as its first argument; the options that make it stand
in front of and behind the command's own.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from munjang.cli.common.commands import given as was_given
from munjang.cli.common.options import DEFAULT_MODEL, AsJson, Offline, Progress
from munjang.cli.common.texts import refuse, refuse_reading
from munjang.errors import MunjangError, TrainingError
from munjang.training.options import TrainingOptions

__all__ = ["Run", "leads", "one_voice", "say", "trains", "without_connections"]

_FAILED = 1
_OFFLINE = "MUNJANG_OFFLINE"


def leads() -> bool:
    """Say whether this process is alone, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """Write a line to standard error, once for all processes."""
    if leads():
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def one_voice() -> Iterator[None]:
    """Keep the other processes silent about what the leading one meets as well."""
    if leads():
        yield
        return
    logger = logging.getLogger("munjang")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TrainingError:  # may be this process's alone: its memory
        raise
    except MunjangError:
        raise typer.Exit(_FAILED) from None
    finally:
        logger.setLevel(level)


@contextmanager
def without_connections(forbidden: bool | None) -> Iterator[None]:
    """Set the variable that all parts of the library obey."""
    before = os.environ.get(_OFFLINE)
    if forbidden:
        os.environ[_OFFLINE] = "1"
    try:
        yield
    finally:
        if forbidden:
            del os.environ[_OFFLINE]
        if forbidden and before is not None:
            os.environ[_OFFLINE] = before


BATCHES = "How much is learned at once"
LEARNING = "How it learns"
WATCHING = "Measures and checkpoints"
MACHINE = "Where it runs"

Data = Annotated[
    list[Path], typer.Option("--data", metavar="FILE", help="The examples to learn from; repeat it.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="DIR", help="The folder of the run: the model, a report, the curves, a log."
    ),
]
Start = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="The model to begin with: a folder, a name of `munjang models`, a Hugging Face repository.",
    ),
]
Dev = Annotated[
    Path | None, typer.Option("--dev", metavar="FILE", help="Examples to measure on, which are not learned.")
]
DevShare = Annotated[
    float | None,
    typer.Option("--dev-share", metavar="X", help="Hold so much of the data out instead, such as 0.1."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, show_default="all", help="Use a sample of so many examples."),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        metavar="N",
        min=1,
        show_default="what the task and the model take",
        help="Tokens that are read of an example.",
    ),
]

# Of each setting: its panel, the letter for its value, and what it does.
_LOOP: Mapping[str, tuple[str, str, str]] = {
    "epochs": (BATCHES, "X", "How often every example is seen; 0.5 is half of them."),
    "max_steps": (BATCHES, "N", "Updates after which to stop, whatever --epochs says."),
    "batch_size": (BATCHES, "N", "Examples per batch."),
    "batch_tokens": (BATCHES, "N", "Tokens per batch, instead of a number of examples."),
    "gradient_accumulation_steps": (BATCHES, "N", "Batches per update."),
    "token_budget": (BATCHES, "N", "Tokens that go through the model at once; lower it to save memory."),
    "learning_rate": (LEARNING, "X", "The size of the updates, at its highest."),
    "schedule": (
        LEARNING,
        "NAME",
        "The learning rate after the warm-up: linear or cosine to 0, or constant.",
    ),
    "warmup_ratio": (LEARNING, "X", "The part of the updates during which the learning rate rises."),
    "weight_decay": (LEARNING, "X", "Of matrices; biases and norms have none."),
    "max_grad_norm": (LEARNING, "X", "Gradients longer than this are shortened; 0 leaves them."),
    "adam_beta1": (LEARNING, "X", "How slowly AdamW's mean of the gradients changes."),
    "adam_beta2": (LEARNING, "X", "How slowly its mean of their squares changes."),
    "adam_epsilon": (LEARNING, "X", "What it adds to the root of the latter."),
    "layer_decay": (LEARNING, "X", "Each layer learns so much slower than the one above it; 1 for none."),
    "freeze_layers": (
        LEARNING,
        "N",
        "The lowest layers that stay as they are, and the embeddings with them.",
    ),
    "freeze_embeddings": (LEARNING, "", "The embeddings alone stay as they are."),
    "evaluation_steps": (WATCHING, "N", "Updates from one measurement to the next; there is one at the end."),
    "evaluate_first": (WATCHING, "", "Measure before the first update too, for the report to compare."),
    "checkpoint_steps": (WATCHING, "N", "Updates from one checkpoint to the next, to go on from."),
    "patience": (WATCHING, "N", "Measurements without a better result after which to stop."),
    "seed": (LEARNING, "N", "Of everything that is drawn at random."),
    "device": (MACHINE, "NAME", "auto (a GPU if there is one), cpu, cuda or cuda:1."),
    "bfloat16": (MACHINE, "", "Multiply matrices in bfloat16, on hardware that has it."),
}
_WHEN_NONE = {
    "max_steps": "no bound",
    "batch_tokens": "--batch-size",
    "evaluation_steps": "an epoch",
    "checkpoint_steps": "with each measurement",
    "patience": "never",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all runs have: where they read and write, and how they learn."""

    data: list[Path]
    output: Path
    model: str
    dev: Path | None
    dev_share: float | None
    limit: int | None
    max_length: int | None
    offline: bool | None
    progress: bool | None
    as_json: bool
    options: TrainingOptions
    left: tuple[str, ...]  # settings whose default depends on others, and that nobody chose

    def options_over(self, defaults: TrainingOptions) -> TrainingOptions:
        """The options, with these defaults for what was left open."""
        return replace(self.options, **{name: getattr(defaults, name) for name in self.left})


Command = Callable[..., None]
_BEFORE: Mapping[str, tuple[Any, Any]] = {
    "data": (Data, inspect.Parameter.empty),
    "output": (Output, inspect.Parameter.empty),
    "model": (Start, DEFAULT_MODEL),
    "dev": (Dev, None),
    "dev_share": (DevShare, None),
    "limit": (Limit, None),
}
_AFTER: Mapping[str, tuple[Any, Any]] = {
    "max_length": (MaxLength, None),
    "offline": (Offline, False),
    "progress": (Progress, None),
    "as_json": (AsJson, False),
}
_LEFT_OUT: Mapping[str, Any] = {
    "model": "", "dev": None, "dev_share": None, "limit": None, "max_length": None,
}  # fmt: skip


def trains(
    defaults: TrainingOptions | None = None,
    *,
    without: tuple[str, ...] = (),
    open_ones: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Give a command the options of a run but for those ``without`` which it does, as a `Run`.

    ``open_ones`` names the settings whose default depends on other options, each with what the help says.
    """
    usual, left = defaults or TrainingOptions(), open_ones or {}

    def decorate(command: Command) -> Command:
        own = dict(list(inspect.signature(command, eval_str=True).parameters.items())[1:])

        def run(**given: Any) -> None:
            from munjang.training.output import check_output

            if leads():  # the others may come when the folder has just been made
                check_output(given["output"])
            with one_voice(), without_connections(given["offline"]):
                command(_run(given, usual), **{name: given[name] for name in own})

        shown = {
            **_parameters(_BEFORE, without),
            **{name: one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, one in own.items()},
            **_loop(usual, left),
            **_parameters(_AFTER, without),
        }
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {name: one.annotation for name, one in shown.items()}
        run.__signature__ = inspect.Signature(list(shown.values()))  # type: ignore[attr-defined]
        return run

    return decorate


def _run(given: Mapping[str, Any], defaults: TrainingOptions) -> Run:
    chosen = {name: given[name] for name in _LOOP if given[name] is not None}
    options = replace(defaults, **chosen)
    if given.get("dev") is not None:
        refuse("beside --dev", "dev_share")
    if given.get("dev") is None and given.get("dev_share") is None:
        refuse("without examples to measure on (--dev or --dev-share)", "patience", "evaluate_first")
    if given["max_steps"] is not None:
        refuse("beside --max-steps", "epochs")
    if was_given("batch_tokens"):
        refuse("beside --batch-tokens", "batch_size")
    refuse_reading(*given["data"], *filter(None, [given.get("dev")]))
    left = tuple(name for name in _LOOP if given[name] is None and getattr(defaults, name) is not None)
    own = {one.name for one in fields(Run)} - {"options", "left"}
    return Run(
        **{name: given.get(name, _LEFT_OUT.get(name)) for name in own},
        options=options,
        left=left,
    )


def _parameters(
    described: Mapping[str, tuple[Any, Any]], without: tuple[str, ...]
) -> dict[str, inspect.Parameter]:
    return {
        name: _parameter(name, annotation, default)
        for name, (annotation, default) in described.items()
        if name not in without
    }


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _loop(defaults: TrainingOptions, left: Mapping[str, str]) -> dict[str, inspect.Parameter]:
    types = get_type_hints(TrainingOptions)
    found: dict[str, inspect.Parameter] = {}
    for name in _LOOP:
        shown = left.get(name, _WHEN_NONE.get(name, True))
        kind = types[name] | None if name in left else types[name]
        default = None if name in left else getattr(defaults, name)
        if default is not None:
            shown = True
        found[name] = _parameter(name, Annotated[kind, _option(name, shown)], default)
    return found


def _option(name: str, shown: str | bool) -> Any:
    panel, value, text = _LOOP[name]
    flag = f"--{name.replace('_', '-')}"
    if not value:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    return typer.Option(
        flag,
        metavar=value or None,
        help=text,
        rich_help_panel=panel,
        show_default=shown,
    )
