"""``munjang train classification``, ``entities``, ``relations`` and ``answers``: models of a task."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from munjang.cli.common.options import column_of
from munjang.cli.common.texts import Reading, TableReading, refuse
from munjang.cli.train.run import Run, fit, trains
from munjang.training.options import (
    AnswersTask,
    ClassificationTask,
    EntitiesTask,
    RelationsTask,
    TrainingOptions,
)


@trains(
    "munjang train classification --data reviews.tsv --dev-share 0.1 --output my-sentiment",
    "munjang train classification --data pairs.csv --text one --text-pair other --label same -o my-pairs",
    "munjang train classification --data sts-train.tsv --dev sts-dev.tsv --regression -o my-scores",
)
def classification(
    run: Run,
    task: ClassificationTask,
    options: TrainingOptions,
    text: Annotated[str | None, column_of("--text", "the texts")] = None,
    text_pair: Annotated[str | None, column_of("--text-pair", "the second texts", False)] = None,
    label: Annotated[str | None, column_of("--label", "the labels")] = None,
    reading: TableReading = Reading(),
) -> None:
    """Train a model to predict a label, or a number, for a text or a pair of texts.

    The file is CSV, TSV, JSON Lines or parquet, such as NSMC, KorNLI or question pairs. Equal texts are held
    out together.
    """
    if task.regression:
        refuse("beside --regression", "labels")
    from munjang.data import read_labelled_texts
    from munjang.training import train_text_classification

    settings = {"numeric": task.regression, **reading.arguments(*run.files)}
    read = partial(read_labelled_texts, text=text, text_pair=text_pair, label=label, **settings)
    fit(run, "Classification", train_text_classification, run.examples(read), task=task, options=options)


@trains(
    "munjang train entities --data klue-ner.tsv --dev-share 0.1 --model klue/bert-base --output my-entities",
    "munjang train entities --data klue-ner.tsv --types PS,LC --learning-rate 5e-5 --output my-entities",
)
def entities(run: Run, task: EntitiesTask, options: TrainingOptions) -> None:
    """Train a model to find the entities of texts: a BIO tag for every token.

    The file is in the format of KLUE-NER, Naver NER or CoNLL, or JSON Lines with text and entities.
    """
    from munjang.data import read_tagged_texts
    from munjang.training import train_token_classification

    examples = run.examples(read_tagged_texts)
    fit(run, "Entities", train_token_classification, examples, task=task, options=options)


@trains(
    "munjang train relations --data klue-re.json --dev-share 0.1 --model klue/bert-base -o my-relations",
    "munjang train relations --data klue-re.json --markers typed --json --output my-relations",
)
def relations(run: Run, task: RelationsTask, options: TrainingOptions) -> None:
    """Train a model to predict the relation between the two entities of a text.

    The file is KLUE-RE's, or JSON Lines with text, subject, object and label.
    """
    from munjang.data import read_relations
    from munjang.training import train_relation_extraction

    examples = run.examples(read_relations)
    fit(run, "Relations", train_relation_extraction, examples, task=task, options=options)


@trains(
    "munjang train answers --data korquad.json --dev-share 0.1 --model klue/bert-base --output my-answers",
    "munjang train answers --data korquad.json --negative-windows 0.5 --json --output my-answers",
)
def answers(run: Run, task: AnswersTask, options: TrainingOptions) -> None:
    """Train a model to find the answers to questions in texts.

    The file is in the layout of SQuAD, which KorQuAD has too; --dev-share holds whole contexts out.
    """
    from munjang.data import read_questions
    from munjang.training import train_question_answering

    examples = run.examples(read_questions)
    fit(run, "Answers", train_question_answering, examples, task=task, options=options)
