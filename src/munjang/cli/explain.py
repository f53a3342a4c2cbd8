"""``munjang explain``: a model's computation for a text, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from munjang.choices import Task
from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, argument, option
from munjang.cli.common.output import console, joined, print_json, write_line
from munjang.cli.common.texts import ModelOpening, Opening, model_options, refuse

if TYPE_CHECKING:
    from munjang.tasks.explain.explain import Explanation


@command(
    'munjang explain "축구는 정말 재미있는 스포츠다."',
    'munjang explain "I love Paris" --model all-MiniLM-L6-v2 --layer 3 --head 7',
    'munjang explain "축구는 정말 재미있는 [MASK]다." -m klue/bert-base --html steps.html',
)
def explain(
    text: Annotated[str, argument("A text.", "TEXT")],
    pair: Annotated[str | None, option("A second text.", "TEXT")] = None,
    task: Annotated[Task | None, option("The task to explain.", shown="the model's own")] = None,
    layer: Annotated[int | None, option("Layer of the shown attention, from 0.", "N", shown="last")] = None,
    head: Annotated[int | None, option("Head of the shown attention, from 0.", "N", shown="mean")] = None,
    top: Annotated[int, option("Number of answers.", "K", "-k", min=1)] = 5,
    html: Annotated[Path | None, option("Write a self-contained HTML page with all steps.", "FILE")] = None,
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Show every step of a model for a text: tokens, embeddings, layers, attention, answer.

    The page of --html is one file that opens in any browser, without a connection.
    """
    from munjang.tasks.explain.explain import explain as explanation_of

    options = model_options(opening.offline)
    explanation = explanation_of(text, pair, opening.name, task, top=top, options=options)
    if explanation.task in ("tokenize", "features"):
        refuse(f"on the task {explanation.task}, which has no answers", "top")
    explanation.check(layer, head)
    if html is not None:
        html.write_text(explanation.to_html(layer=layer, head=head), encoding="utf-8")
    if as_json:
        print_json(explanation.to_dict(layer=layer, head=head))
    elif html is not None:
        write_line(f"{html}: {len(explanation.rows)} tokens, {len(explanation.layers)} layers")
    else:
        _print(explanation, layer, head)


def _print(explanation: Explanation, layer: int | None, head: int | None) -> None:
    from munjang.tasks.explain.drawing.text import drawing

    out = console()
    out.print(drawing(explanation, layer=layer, head=head, width=out.width))
    facts = (explanation.model, explanation.model_type, explanation.task, f"{len(explanation.rows)} tokens")
    out.print(joined((*facts, "--html FILE shows more")), style="dim")
