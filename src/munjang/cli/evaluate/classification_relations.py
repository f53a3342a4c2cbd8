"""``munjang evaluate classification`` and ``relations``: classifiers of texts, pairs and relations."""

from __future__ import annotations

from typing import Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import Offline, TaskModel, column_of
from munjang.cli.common.texts import Reading, TableReading, model_options
from munjang.cli.evaluate.report import Data, Limit, Report, sampled


@command(
    "munjang evaluate classification reviews.tsv --model MODEL",
    "munjang evaluate classification pairs.csv --text one --text-pair other --label same --json -m MODEL",
)
def classification(
    data: Data,
    model: TaskModel,
    text: Annotated[str | None, column_of("--text", "the texts")] = None,
    text_pair: Annotated[str | None, column_of("--text-pair", "the second texts", False)] = None,
    label: Annotated[str | None, column_of("--label", "the labels")] = None,
    reading: TableReading = Reading(),
    limit: Limit = None,
    offline: Offline = None,
    report: Report = Report(),
) -> None:
    """Measure a classifier of texts or pairs: accuracy, macro F1 and Matthews' correlation.

    A model with one output gives numbers; its measures are Pearson's and Spearman's correlation and the mean
    squared error. The file is CSV, TSV, JSON Lines or parquet.
    """
    how = reading.arguments(data)
    from munjang.data import read_labelled_texts
    from munjang.evaluation.classification import evaluate_classification, is_regression
    from munjang.tasks.text_classification import TextClassification

    classifier = TextClassification(model, options=model_options(offline))
    numeric = is_regression(classifier.model.config.labels)
    examples = read_labelled_texts(data, text=text, text_pair=text_pair, label=label, numeric=numeric, **how)
    report.run(data, evaluate_classification, classifier, sampled(examples, limit))


@command("munjang evaluate relations klue-re.json --model MODEL")
def relations(
    data: Data,
    model: TaskModel,
    limit: Limit = None,
    offline: Offline = None,
    report: Report = Report(),
) -> None:
    """Measure an extractor of relations: micro F1 without no_relation, as in KLUE-RE, accuracy, macro F1.

    The file is KLUE-RE's, or JSON Lines with text, subject, object and label.
    """
    from munjang.data import read_relations
    from munjang.evaluation.classification import evaluate_relations
    from munjang.tasks.relation_extraction import RelationExtraction

    examples = sampled(read_relations(data), limit)
    extractor = RelationExtraction(model, options=model_options(offline))
    report.run(data, evaluate_relations, extractor, examples)
