"""``munjang classify``, ``tag`` and ``relate``: labels for texts, entities and relations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from munjang.cli.common.options import AsJson, Offline, TaskModel, examples
from munjang.cli.common.output import clean, console, joined, new_table, print_json, rounded
from munjang.cli.common.texts import answered, refuse, text_or_lines
from munjang.errors import InputError

if TYPE_CHECKING:
    from munjang.data.examples import Span
    from munjang.tasks.aggregation import EntityGroup
    from munjang.tasks.loading import ModelOptions
    from munjang.tasks.scores import LabelScore
    from munjang.tasks.token_classification import Grouping

    Classify = Callable[[Sequence[str]], list[list[LabelScore]]]

__all__ = ["CLASSIFY_EXAMPLES", "RELATE_EXAMPLES", "TAG_EXAMPLES", "classify", "relate", "tag"]

CLASSIFY_EXAMPLES = examples(
    'munjang classify "정말 재미있는 영화였어요." --model MODEL',
    'munjang classify "A man is eating." --pair "Someone eats." --json --model MODEL',
    'munjang classify "내일은 비가 온대요." -l 날씨 -l 운동 --template "이 글은 {}에 관한 것이다." -m MODEL',
)
TAG_EXAMPLES = examples(
    'munjang tag "이순신은 한성에서 태어났다." --model MODEL',
    "munjang tag - --strategy first --json --model MODEL < sentences.txt",
)
RELATE_EXAMPLES = examples(
    'munjang relate "이순신은 한성에서 태어났다." --subject 이순신 --object 한성 --model MODEL',
    'munjang relate "이순신은 한성에서 태어났다." --subject 0:3:PER --object 5:7:LOC --json -m MODEL',
)
_BAR = 20  # cells of a full bar
_PLACES = re.compile(r"(\d+):(\d+)(?::(.+))?")

Text = Annotated[
    str | None, typer.Argument(metavar="TEXT", help="A text; - for the lines of standard input.")
]
Top = Annotated[
    int | None, typer.Option("--top", "-k", metavar="K", min=1, show_default="all", help="How many labels.")
]


class TagStrategy(StrEnum):
    """The strategy that groups tokens to entities."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


class Marking(StrEnum):
    """The marking of entities."""

    PLAIN = "plain"
    TYPED = "typed"
    KLUE = "klue"


def classify(
    model: TaskModel,
    text: Text = None,
    pair: Annotated[
        str | None, typer.Option("--pair", "-p", metavar="TEXT", help="A second text, judged with the first.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", "-l", metavar="LABEL", help="A label of your own, for a model of inference; repeat it."
        ),
    ] = None,
    template: Annotated[
        str, typer.Option("--template", metavar="TEXT", help="The sentence that your labels go into.")
    ] = "This example is {}.",
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Several of your labels may hold; score each on its own.")
    ] = False,
    windows: Annotated[
        bool, typer.Option("--windows", help="Read long texts whole, in windows, instead of cutting them.")
    ] = False,
    top: Top = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Say which labels fit a text, or a pair of texts, best first."""
    if label:
        refuse("beside --label", "pair", "windows")
    else:
        refuse("without --label", "template", "multi_label")
    texts = text_or_lines(text, "TEXT")
    if label:
        classify = _zero_shot(label, template, multi_label, model, offline)
    else:
        classify = _classifier(pair, windows, model, offline)
    with answered(texts, classify) as found:
        for line, labels in found:
            if labels is not None:
                _print_labels(labels[:top], line if len(texts) > 1 else None, as_json=as_json)
            elif as_json:
                print_json(None)


def _classifier(pair: str | None, windows: bool, model: str, offline: bool | None) -> Classify:
    from munjang.tasks.text_classification import TextClassification

    classifier = TextClassification(model, options=_options(offline))
    return lambda texts: classifier(
        [text if pair is None else (text, pair) for text in texts], top_k=None, windows=windows
    )


def _zero_shot(
    labels: list[str], template: str, multi_label: bool, model: str, offline: bool | None
) -> Classify:
    from munjang.tasks.zero_shot import ZeroShotClassification

    classifier = ZeroShotClassification(model, options=_options(offline))

    def classify(texts: Sequence[str]) -> list[list[LabelScore]]:
        found = classifier(list(texts), labels, hypothesis_template=template, multi_label=multi_label)
        scored = (zip(one["labels"], one["scores"], strict=True) for one in found)
        return [[{"label": name, "score": score} for name, score in scores] for scores in scored]

    return classify


def tag(
    model: TaskModel,
    text: Text = None,
    strategy: Annotated[
        TagStrategy, typer.Option("--strategy", "-s", help="How tokens are joined to entities.")
    ] = TagStrategy.SIMPLE,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Find the entities of a text, such as people and places.

    Without --json the text is shown with its entities in brackets. The strategy none gives every token with
    its tag, simple joins neighbours, and first, average and max give each word one tag before that.
    """
    texts = text_or_lines(text, "TEXT")
    from munjang.tasks.token_classification import TokenClassification

    tagger = TokenClassification(model, options=_options(offline))
    grouping = cast("Grouping", strategy.value)
    with answered(texts, lambda some: tagger(list(some), aggregation_strategy=grouping)) as found:
        for line, entities in found:
            if entities is None:
                if as_json:
                    print_json(None)
            elif strategy is TagStrategy.NONE:
                _print_tokens(entities, as_json=as_json)
            elif as_json:
                print_json([_entity_as_dict(entity) for entity in entities])
            else:
                _print_entities(line, entities)


def relate(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text with two entities.")],
    model: TaskModel,
    subject: Annotated[
        str,
        typer.Option(
            "--subject", metavar="SPAN", help="Its place, start:end or start:end:TYPE, or its words (:TYPE)."
        ),
    ],
    object: Annotated[  # noqa: A002 -- the option's name
        str, typer.Option("--object", metavar="SPAN", help="The same of the object.")
    ],
    markers: Annotated[
        Marking | None,
        typer.Option("--markers", show_default="as the model's files say", help="How entities are marked."),
    ] = None,
    top: Top = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Say how a text's subject stands to its object, the likeliest relation first.

    Places count characters from 0, and the end is not included.
    """
    places = parse_span(subject, text, "subject"), parse_span(object, text, "object")
    from munjang.tasks.relation_extraction import RelationExtraction

    relation = RelationExtraction(
        model, options=_options(offline), markers=None if markers is None else markers.value
    )
    _print_labels(relation(text, *places, top_k=top), None, as_json=as_json)


def parse_span(given: str, text: str, name: str) -> Span:
    """Parse ``start:end``, ``start:end:TYPE``, the words of a text, or words and ``:TYPE``.

    Raises `InputError` for words that do not occur in the text, or occur several times.
    """
    if places := _PLACES.fullmatch(given):
        start, end = int(places[1]), int(places[2])
        return (start, end, places[3]) if places[3] else (start, end)
    words, colon, kind = given, "", ""
    if given not in text and ":" in given:
        words, colon, kind = given.rpartition(":")
    count = text.count(words) if words else 0
    if count != 1:
        times = f"{count} times" if count else "nowhere"
        raise InputError(f"The {name} {words!r} stands {times} in the text; give its place as start:end.")
    start = text.index(words)
    return (start, start + len(words), kind) if colon else (start, start + len(words))


def _options(offline: bool | None) -> ModelOptions:
    from munjang.tasks.loading import ModelOptions

    return ModelOptions(offline=offline or None)


def _print_labels(labels: Sequence[LabelScore], title: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json([{"label": one["label"], "score": rounded(one["score"])} for one in labels])
        return
    table = new_table(None if title is None else clean(title))
    table.add_column("label")
    table.add_column("score", justify="right")
    table.add_column("")
    for one in labels:
        table.add_row(clean(one["label"]), f"{one['score']:.4f}", _bar(one["score"]), style=None)
    console().print(table)


def _bar(score: float) -> str:
    """Return a probability as a bar; a regression score may be above 1."""
    return "█" * round(min(max(score, 0.0), 1.0) * _BAR)


def _entity_as_dict(entity: EntityGroup) -> dict[str, Any]:
    return {
        "entity_group": entity["entity_group"],
        "word": entity["word"],
        "start": entity["start"],
        "end": entity["end"],
        "score": rounded(entity["score"]),
    }


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
    found = (f"{entity['entity_group']} {clean(entity['word'])} {entity['score']:.2f}" for entity in entities)
    out.print(joined(found) or "no entities", style="dim")


def _print_tokens(tokens: Sequence[Any], *, as_json: bool) -> None:
    if as_json:
        print_json([{**token, "score": rounded(token["score"])} for token in tokens])
        return
    table = new_table()
    for name in ("index", "token", "tag", "score", "place"):
        table.add_column(name, justify="right" if name in ("index", "score") else "left")
    for token in tokens:
        place = f"{token['start']}:{token['end']}"
        table.add_row(
            str(token["index"]), clean(token["word"]), clean(token["entity"]), f"{token['score']:.4f}", place
        )
    console().print(table)
