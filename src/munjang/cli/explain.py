"""``munjang explain``: a model's computation for a text, step by step."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from munjang.cli.common.options import DEFAULT_MODEL, AsJson, Model, Offline, examples
from munjang.cli.common.output import console, joined, print_json, write_line
from munjang.cli.common.texts import refuse

if TYPE_CHECKING:
    from munjang.tasks.explain.explanation import Explanation

__all__ = ["EXAMPLES", "explain"]

EXAMPLES = examples(
    'munjang explain "축구는 정말 재미있는 스포츠다."',
    'munjang explain "I love Paris" --model all-MiniLM-L6-v2 --layer 3 --head 7',
    'munjang explain "축구는 정말 재미있는 [MASK]다." -m klue/bert-base --html steps.html',
)


class Task(StrEnum):
    """The task to explain."""

    TOKENIZE = "tokenize"
    FEATURES = "features"
    FILL_MASK = "fill-mask"
    NEXT_SENTENCE = "next-sentence"
    CLASSIFY = "classify"
    NEXT_TOKEN = "next-token"  # noqa: S105 - not a password


def explain(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text.")],
    pair: Annotated[str | None, typer.Option("--pair", metavar="TEXT", help="A second text.")] = None,
    task: Annotated[
        Task | None,
        typer.Option("--task", show_default="what the model was made for", help="What to look at."),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            "--layer", metavar="N", show_default="the last", help="Whose attention to show; from 0."
        ),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option("--head", metavar="N", show_default="the mean", help="Whose attention to show; from 0."),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", metavar="K", min=1, help="How many answers.")] = 5,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page that shows everything and needs nothing."),
    ] = None,
    model: Model = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Show every step that a model takes with a text: tokens, embeddings, layers, attention, answer.

    The page of --html is one file that opens in any browser, without a connection.
    """
    from munjang.tasks.explain.explain import explain as look
    from munjang.tasks.loading import ModelOptions

    found = look(
        text,
        pair,
        DEFAULT_MODEL if model is None else model,
        None if task is None else task.value,
        top=top,
        options=ModelOptions(offline=offline or None),
    )
    if found.task in (Task.TOKENIZE, Task.FEATURES):
        refuse(f"on the task {found.task}, which has no answers", "top")
    found.check(layer, head)
    if html is not None:
        html.write_text(found.to_html(layer=layer, head=head), encoding="utf-8")
    if as_json:
        print_json(found.to_dict(layer=layer, head=head))
    elif html is not None:
        write_line(f"{html}: {len(found.rows)} tokens, {len(found.layers)} layers")
    else:
        _print(found, layer, head)


def _print(found: Explanation, layer: int | None, head: int | None) -> None:
    from munjang.tasks.explain.drawing.text import drawing

    out = console()
    out.print(drawing(found, layer=layer, head=head, width=out.width))
    facts = (found.model, found.model_type, found.task, f"{len(found.rows)} tokens")
    out.print(joined((*facts, "--html FILE shows more")), style="dim")
