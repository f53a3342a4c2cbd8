"""``munjang classify`` and ``relate``: labels of texts, and relations between two entities."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from munjang.choices import MarkerKind
from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Text, argument, option
from munjang.cli.common.output import clean, new_table, print_json, print_table
from munjang.cli.common.texts import TaskOpening, print_answers, refuse, text_or_lines
from munjang.errors import InputError
from munjang.rounding import rounded_items

if TYPE_CHECKING:
    from munjang.data.examples import Span
    from munjang.tasks.scores import LabelScore

    Classify = Callable[[Sequence[str]], list[list[LabelScore]]]

_BAR = 20  # cells of a full bar
_POSITIONS = re.compile(r"(\d+):(\d+)(?::(.+))?")

Top = Annotated[int | None, option("Number of labels.", "K", "-k", min=1, shown="all")]


@command(
    'munjang classify "정말 재미있는 영화였어요." --model MODEL',
    'munjang classify "A man is eating." --pair "Someone eats." --json --model MODEL',
    'munjang classify "내일은 비가 온대요." -l 날씨 -l 운동 --template "이 글은 {}에 관한 것이다." -m MODEL',
)
def classify(
    opening: TaskOpening,
    text: Text = None,
    pair: Annotated[str | None, option("A second text, read with the first.", "TEXT", "-p")] = None,
    label: Annotated[
        list[str] | None,
        option("Your own label, for an inference model; may be repeated.", "LABEL", "-l"),
    ] = None,
    template: Annotated[
        str, option("The sentence in which {} is replaced by your labels.", "TEXT")
    ] = "This example is {}.",
    multi_label: Annotated[
        bool, option("Score each of your labels separately, for texts with several labels.")
    ] = False,
    windows: Annotated[bool, option("Read long texts in windows, instead of truncating them.")] = False,
    top: Top = None,
    as_json: AsJson = False,
) -> None:
    """Classify a text, or a pair of texts: print its labels, best first."""
    if label:
        refuse("beside --label", "pair", "windows")
    else:
        refuse("without --label", "template", "multi_label")
    texts = text_or_lines(text)
    if label:
        scores_of = _zero_shot(label, template, multi_label, opening)
    else:
        scores_of = _classifier(pair, windows, opening)
    print_answers(
        texts,
        lambda some: [scores[:top] for scores in scores_of(some)],
        as_json,
        _labels_to_json,
        lambda line, scores: _print_labels(scores, line if len(texts) > 1 else None),
    )


def _classifier(pair: str | None, windows: bool, opening: TaskOpening) -> Classify:
    from munjang.tasks.text_classification import TextClassification

    classifier = opening.open(TextClassification)
    return lambda texts: classifier(
        [text if pair is None else (text, pair) for text in texts], top_k=None, windows=windows
    )


def _zero_shot(labels: list[str], template: str, multi_label: bool, opening: TaskOpening) -> Classify:
    from munjang.tasks.zero_shot import ZeroShotClassification

    classifier = opening.open(ZeroShotClassification)

    def scores_of(texts: Sequence[str]) -> list[list[LabelScore]]:
        results = classifier(list(texts), labels, hypothesis_template=template, multi_label=multi_label)
        scored = (zip(result["labels"], result["scores"], strict=True) for result in results)
        return [[{"label": name, "score": score} for name, score in scores] for scores in scored]

    return scores_of


@command(
    'munjang relate "이순신은 한성에서 태어났다." --subject 이순신 --object 한성 --model MODEL',
    'munjang relate "이순신은 한성에서 태어났다." --subject 0:3:PER --object 5:7:LOC --json -m MODEL',
)
def relate(
    text: Annotated[str, argument("A text with two entities.", "TEXT")],
    opening: TaskOpening,
    subject: Annotated[
        str, option("Its position, start:end or start:end:TYPE, or its words (:TYPE).", "SPAN")
    ],
    object: Annotated[str, option("The position or the words of the object.", "SPAN")],  # noqa: A002 -- the option's name
    markers: Annotated[
        MarkerKind | None, option("How entities are marked.", shown="from the model's files")
    ] = None,
    top: Top = None,
    as_json: AsJson = False,
) -> None:
    """Find the relation between the subject and the object of a text, most probable first.

    Positions count characters from 0, and the end is not included.
    """
    spans = parse_span(subject, text, "subject"), parse_span(object, text, "object")
    from munjang.tasks.relation_extraction import RelationExtraction

    scores = opening.open(RelationExtraction, markers=markers)(text, *spans, top_k=top)
    if as_json:
        print_json(_labels_to_json(scores))
    else:
        _print_labels(scores, None)


def parse_span(value: str, text: str, name: str) -> Span:
    """Parse ``start:end``, ``start:end:TYPE``, the words of a text, or words and ``:TYPE``.

    Raises `InputError` for words that do not occur in the text, or occur several times.
    """
    if positions := _POSITIONS.fullmatch(value):
        start, end = int(positions[1]), int(positions[2])
        return (start, end, positions[3]) if positions[3] else (start, end)
    words, colon, kind = value, "", ""
    if value not in text and ":" in value:
        words, colon, kind = value.rpartition(":")
    count = text.count(words) if words else 0
    if count != 1:
        problem = f"occurs {count} times in the text" if count else "does not occur in the text"
        raise InputError(f"The {name} {words!r} {problem}; write its position as start:end.")
    start = text.index(words)
    return (start, start + len(words), kind) if colon else (start, start + len(words))


def _labels_to_json(scores: Sequence[LabelScore]) -> list[dict[str, object]]:
    return [rounded_items(score, "label", "score") for score in scores]


def _print_labels(scores: Sequence[LabelScore], title: str | None) -> None:
    table = new_table(None if title is None else clean(title), "label", ">score", "")
    for score in scores:
        table.add_row(clean(score["label"]), f"{score['score']:.4f}", _bar(score["score"]), style=None)
    print_table(table)


def _bar(score: float) -> str:
    """Return a probability as a bar; a regression score may be above 1."""
    return "█" * round(min(max(score, 0.0), 1.0) * _BAR)
