"""``munjang evaluate classification``, ``entities`` and ``relations``: how good a model is at labels."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from munjang.cli.common.options import (
    AsJson,
    Encoding,
    NoHeader,
    NoQuoting,
    Offline,
    Progress,
    TaskModel,
    column_of,
    examples,
)
from munjang.cli.common.texts import refuse_reading
from munjang.cli.evaluate.common import (
    AsMarkdown,
    Data,
    Limit,
    chosen_form,
    model_options,
    report,
    sampled,
)

__all__ = [
    "CLASSIFICATION_EXAMPLES",
    "ENTITIES_EXAMPLES",
    "RELATIONS_EXAMPLES",
    "classification",
    "entities",
    "relations",
]

CLASSIFICATION_EXAMPLES = examples(
    "munjang evaluate classification reviews.tsv --model MODEL",
    "munjang evaluate classification pairs.csv --text one --text-pair other --label same --json -m MODEL",
)
ENTITIES_EXAMPLES = examples(
    "munjang evaluate entities klue-ner.tsv --model MODEL",
    "munjang evaluate entities klue-ner.tsv --limit 500 --markdown --model MODEL",
)
RELATIONS_EXAMPLES = examples("munjang evaluate relations klue-re.json --model MODEL")


class Joining(StrEnum):
    """How tokens are joined to entities."""

    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


def classification(
    data: Data,
    model: TaskModel,
    text: Annotated[str | None, column_of("--text", "the texts")] = None,
    text_pair: Annotated[str | None, column_of("--text-pair", "the second texts", False)] = None,
    label: Annotated[str | None, column_of("--label", "the labels")] = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    limit: Limit = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Measure a classifier of texts or pairs: accuracy, macro F1 and Matthews' correlation.

    A model with one output gives numbers; its measures are Pearson's and Spearman's correlation and the mean
    squared error. The file is CSV, TSV, JSON Lines or parquet.
    """
    form = chosen_form(as_json, as_markdown)
    refuse_reading(data)
    from munjang.data import read_labelled_texts
    from munjang.evaluation.classification import evaluate_classification, is_regression
    from munjang.tasks.text_classification import TextClassification

    classifier = TextClassification(model, options=model_options(offline))
    found = read_labelled_texts(
        data,
        text=text,
        text_pair=text_pair,
        label=label,
        numeric=is_regression(classifier.model.config.labels),
        encoding=encoding,
        quoting=False if no_quoting else None,
        header=not no_header,
    )
    some = sampled(found, limit)
    report(
        lambda advance: evaluate_classification(classifier, some, advance=advance),
        data,
        len(some),
        form,
        progress,
    )


def entities(
    data: Data,
    model: TaskModel,
    strategy: Annotated[
        Joining,
        typer.Option("--strategy", metavar="NAME", help=f"How tokens become entities: {', '.join(Joining)}."),
    ] = Joining.SIMPLE,
    limit: Limit = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Measure a tagger of entities: F1, precision and recall of whole entities, and F1 of their characters.

    The file is in the format of KLUE-NER, Naver NER or CoNLL, or JSON Lines with text and entities.
    """
    form = chosen_form(as_json, as_markdown)
    from munjang.data import read_tagged_texts
    from munjang.evaluation.entities import evaluate_entities
    from munjang.tasks.token_classification import TokenClassification

    some = sampled(read_tagged_texts(data), limit)
    tagger = TokenClassification(model, options=model_options(offline))
    report(
        lambda advance: evaluate_entities(tagger, some, strategy=strategy.value, advance=advance),
        data,
        len(some),
        form,
        progress,
    )


def relations(
    data: Data,
    model: TaskModel,
    limit: Limit = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Measure an extractor of relations: micro F1 without no_relation, as in KLUE-RE, accuracy, macro F1.

    The file is KLUE-RE's, or JSON Lines with text, subject, object and label.
    """
    form = chosen_form(as_json, as_markdown)
    from munjang.data import read_relations
    from munjang.evaluation.classification import evaluate_relations
    from munjang.tasks.relation_extraction import RelationExtraction

    some = sampled(read_relations(data), limit)
    extractor = RelationExtraction(model, options=model_options(offline))
    report(
        lambda advance: evaluate_relations(extractor, some, advance=advance), data, len(some), form, progress
    )
