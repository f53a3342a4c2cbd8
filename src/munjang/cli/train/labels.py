"""``munjang train classification``, ``entities`` and ``relations``: models that give labels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from munjang.cli.common.options import Encoding, NoHeader, NoQuoting, column_of, examples
from munjang.cli.common.texts import refuse
from munjang.cli.train.options import Run, trains
from munjang.cli.train.run import examples_of, follow, names_of

if TYPE_CHECKING:
    from munjang.evaluation import LabelledText

__all__ = [
    "CLASSIFICATION_EXAMPLES",
    "ENTITIES_EXAMPLES",
    "RELATIONS_EXAMPLES",
    "Labels",
    "classification",
    "entities",
    "relations",
]

CLASSIFICATION_EXAMPLES = examples(
    "munjang train classification --data reviews.tsv --dev-share 0.1 --output my-sentiment",
    "munjang train classification --data pairs.csv --text one --text-pair other --label same -o my-pairs",
    "munjang train classification --data sts-train.tsv --dev sts-dev.tsv --regression -o my-scores",
)
ENTITIES_EXAMPLES = examples(
    "munjang train entities --data klue-ner.tsv --dev-share 0.1 --model klue/bert-base --output my-entities",
    "munjang train entities --data klue-ner.tsv --types PS,LC --learning-rate 5e-5 --output my-entities",
)
RELATIONS_EXAMPLES = examples(
    "munjang train relations --data klue-re.json --dev-share 0.1 --model klue/bert-base -o my-relations",
    "munjang train relations --data klue-re.json --markers typed --json --output my-relations",
)

Labels = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="A,B", show_default="those that occur", help="All labels, in their order."
    ),
]


class Marking(StrEnum):
    """How the two entities of a text are marked."""

    PLAIN = "plain"
    KLUE = "klue"
    TYPED = "typed"


class RelationHead(StrEnum):
    """What a relation is read from."""

    RELATION_EXTRACTION = "relation-extraction"
    SEQUENCE_CLASSIFICATION = "sequence-classification"


@trains()
def classification(
    run: Run,
    labels: Labels = None,
    regression: Annotated[bool, typer.Option("--regression", help="Labels are numbers to learn.")] = False,
    text: Annotated[str | None, column_of("--text", "the texts")] = None,
    text_pair: Annotated[str | None, column_of("--text-pair", "the second texts", False)] = None,
    label: Annotated[str | None, column_of("--label", "the labels")] = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
) -> None:
    """Train a model to give a label, or a number, to a text or a pair of texts.

    The file is CSV, TSV, JSON Lines or parquet, such as NSMC, KorNLI or question pairs. Equal texts are held
    out together.
    """
    if regression:
        refuse("beside --regression", "labels")
    from munjang.data import read_labelled_texts
    from munjang.training import train_text_classification

    def read(path: Path) -> list[LabelledText]:
        return read_labelled_texts(
            path,
            text=text,
            text_pair=text_pair,
            label=label,
            numeric=regression,
            encoding=encoding,
            quoting=False if no_quoting else None,
            header=not no_header,
        )

    learned, held_out = examples_of(run, read, key=lambda one: one.text)
    follow(
        run,
        "Classification",
        lambda watchers: train_text_classification(
            learned,
            model=run.model,
            output=run.output,
            held_out=held_out,
            options=run.options,
            labels=names_of(labels),
            regression=regression,
            max_length=run.max_length,
            watchers=watchers,
        ),
    )


@trains()
def entities(
    run: Run,
    types: Annotated[
        str | None,
        typer.Option(
            "--types",
            metavar="A,B",
            show_default="those that occur",
            help="All types of entities, in their order.",
        ),
    ] = None,
) -> None:
    """Train a model to find the entities of texts: a BIO tag for every token.

    The file is in the format of KLUE-NER, Naver NER or CoNLL, or JSON Lines with text and entities.
    """
    from munjang.data import read_tagged_texts
    from munjang.training import train_token_classification

    learned, held_out = examples_of(run, read_tagged_texts, key=lambda one: one["text"])
    follow(
        run,
        "Entities",
        lambda watchers: train_token_classification(
            learned,
            model=run.model,
            output=run.output,
            held_out=held_out,
            options=run.options,
            types=names_of(types),
            max_length=run.max_length,
            watchers=watchers,
        ),
    )


@trains()
def relations(
    run: Run,
    markers: Annotated[
        Marking,
        typer.Option("--markers", metavar="NAME", help=f"How entities are marked: {', '.join(Marking)}."),
    ] = Marking.PLAIN,
    head: Annotated[
        RelationHead,
        typer.Option(
            "--head",
            metavar="NAME",
            help="relation-extraction reads the markers, sequence-classification the first token.",
        ),
    ] = RelationHead.RELATION_EXTRACTION,
    labels: Labels = None,
) -> None:
    """Train a model to say how the two entities of a text stand to each other.

    The file is KLUE-RE's, or JSON Lines with text, subject, object and label.
    """
    from munjang.data import read_relations
    from munjang.training import train_relation_extraction

    learned, held_out = examples_of(run, read_relations, key=lambda one: one.text)
    follow(
        run,
        "Relations",
        lambda watchers: train_relation_extraction(
            learned,
            model=run.model,
            output=run.output,
            held_out=held_out,
            options=run.options,
            markers=markers.value,
            labels=names_of(labels),
            head=head.value,
            max_length=run.max_length,
            watchers=watchers,
        ),
    )
