"""``munjang evaluate classification``, ``entities``, ``relations`` and ``answers``: models of a task."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from munjang.choices import Grouping, Normalization
from munjang.cli.common.commands import command
from munjang.cli.common.options import column_of, option
from munjang.cli.common.texts import Reading, TableReading, TaskOpening
from munjang.cli.evaluate.report import Data, Report


@command(
    "munjang evaluate classification reviews.tsv --model MODEL",
    "munjang evaluate classification pairs.csv --text one --text-pair other --label same --json -m MODEL",
)
def classification(
    data: Data,
    opening: TaskOpening,
    text: Annotated[str | None, column_of("--text", "the texts")] = None,
    text_pair: Annotated[str | None, column_of("--text-pair", "the second texts", False)] = None,
    label: Annotated[str | None, column_of("--label", "the labels")] = None,
    reading: TableReading = Reading(),
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

    classifier = opening.open(TextClassification)
    numeric = is_regression(classifier.model.config.labels)
    examples = read_labelled_texts(data, text=text, text_pair=text_pair, label=label, numeric=numeric, **how)
    report.run(data, evaluate_classification, classifier, report.sampled(examples))


@command(
    "munjang evaluate entities klue-ner.tsv --model MODEL",
    "munjang evaluate entities klue-ner.tsv --limit 500 --markdown --model MODEL",
)
def entities(
    data: Data,
    opening: TaskOpening,
    strategy: Annotated[
        Grouping, option("How tokens are joined to entities: simple, first, average, max.", "NAME")
    ] = "simple",
    report: Report = Report(),
) -> None:
    """Measure a tagger of entities: F1, precision and recall of whole entities, and F1 of their characters.

    The file is in the format of KLUE-NER, Naver NER or CoNLL, or JSON Lines with text and entities.
    """
    from munjang.data import read_tagged_texts
    from munjang.evaluation.entities import evaluate_entities
    from munjang.tasks.token_classification import TokenClassification

    examples = report.sampled(read_tagged_texts(data))
    evaluate = partial(evaluate_entities, strategy=strategy)
    report.run(data, evaluate, opening.open(TokenClassification), examples)


@command("munjang evaluate relations klue-re.json --model MODEL")
def relations(data: Data, opening: TaskOpening, report: Report = Report()) -> None:
    """Measure an extractor of relations: micro F1 without no_relation, as in KLUE-RE, accuracy, macro F1.

    The file is KLUE-RE's, or JSON Lines with text, subject, object and label.
    """
    from munjang.data import read_relations
    from munjang.evaluation.classification import evaluate_relations
    from munjang.tasks.relation_extraction import RelationExtraction

    examples = report.sampled(read_relations(data))
    report.run(data, evaluate_relations, opening.open(RelationExtraction), examples)


@command(
    "munjang evaluate answers korquad.json --limit 500 --model MODEL",
    "munjang evaluate answers korquad.json --normalization squad --trim-particles --model MODEL",
)
def answers(
    data: Data,
    opening: TaskOpening,
    normalization: Annotated[
        Normalization,
        option("The rules that make answers comparable: korquad (characters) or squad (words).", "NAME"),
    ] = "korquad",
    trim_particles: Annotated[bool, option("Remove Korean particles: 서울에서 becomes 서울.")] = False,
    report: Report = Report(),
) -> None:
    """Measure how well a model finds answers in texts: exact match and F1, as KorQuAD or SQuAD count them.

    The file is in the layout of SQuAD, which KorQuAD has too.
    """
    from munjang.data import read_questions
    from munjang.evaluation.answers import evaluate_answers
    from munjang.tasks.question_answering import QuestionAnswering

    questions = report.sampled(read_questions(data))
    evaluate = partial(evaluate_answers, normalization=normalization, trim_particles=trim_particles)
    report.run(data, evaluate, opening.open(QuestionAnswering), questions)
