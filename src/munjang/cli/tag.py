"""``munjang tag``: the entities of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

from munjang.choices import Strategy
from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Text, option
from munjang.cli.common.output import clean, console, joined, new_table, print_table
from munjang.cli.common.texts import TaskOpening, print_answers, text_or_lines
from munjang.rounding import rounded_items

if TYPE_CHECKING:
    from munjang.choices import Grouping
    from munjang.tasks.aggregation import EntityGroup


@command(
    'munjang tag "이순신은 한성에서 태어났다." --model MODEL',
    "munjang tag - --strategy first --json --model MODEL < sentences.txt",
)
def tag(
    opening: TaskOpening,
    text: Text = None,
    strategy: Annotated[Strategy, option("How tokens are joined to entities.", "-s")] = "simple",
    as_json: AsJson = False,
) -> None:
    """Find the entities of a text, such as people and places.

    Without --json the text is shown with its entities in brackets. The strategy none prints every token with
    its tag, simple joins neighbouring tokens, and first, average and max choose one tag for each word before
    that.
    """
    texts = text_or_lines(text)
    from munjang.tasks.results import entity_to_dict
    from munjang.tasks.token_classification import TokenClassification

    tagger = opening.open(TokenClassification)
    grouping = cast("Grouping", strategy)
    to_json, show = (
        (rounded_items, _print_tokens) if strategy == "none" else (entity_to_dict, _print_entities)
    )
    print_answers(
        texts,
        lambda some: tagger(list(some), aggregation_strategy=grouping),
        as_json,
        lambda entities: [to_json(entity) for entity in entities],
        show,
    )


def _print_entities(text: str, entities: Sequence[EntityGroup]) -> None:
    from rich.text import Text as Line

    line, at = Line(), 0
    for entity in entities:
        line.append(clean(text[at : entity["start"]]))
        line.append(f"[{clean(entity['word'])}", style="bold cyan")
        line.append(f" {clean(entity['entity_group'])}", style="dim")
        line.append("]", style="bold cyan")
        at = entity["end"]
    line.append(clean(text[at:]))
    out = console()
    out.print(line)
    summary = (
        f"{entity['entity_group']} {clean(entity['word'])} {entity['score']:.2f}" for entity in entities
    )
    out.print(joined(summary) or "no entities", style="dim")


def _print_tokens(_: str, tokens: Sequence[Any]) -> None:
    table = new_table(None, ">index", "token", "tag", ">score", "place")
    for token in tokens:
        place = f"{token['start']}:{token['end']}"
        table.add_row(
            str(token["index"]), clean(token["word"]), clean(token["entity"]), f"{token['score']:.4f}", place
        )
    print_table(table)
