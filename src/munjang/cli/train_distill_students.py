"""``munjang train distill classification`` and ``sentences``: probabilities and vectors of a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from munjang.cli.options import Column, examples
from munjang.cli.texts import refuse, usage_error
from munjang.cli.train_distill_options import (
    DISTILLING,
    Attention,
    HiddenStates,
    LayerMap,
    Layers,
    Student,
    Teacher,
    check_share,
    check_student,
    layers_of,
    matching_of,
)
from munjang.cli.train_options import Run, trains
from munjang.cli.train_run import examples_of, follow
from munjang.training.options import TrainingOptions

__all__ = [
    "CLASSIFICATION_EXAMPLES",
    "DISTILLING_ENCODERS",
    "SENTENCES_EXAMPLES",
    "classification",
    "sentences",
]

CLASSIFICATION_EXAMPLES = examples(
    "munjang train distill classification --teacher my-sentiment --data reviews.tsv --layers 2 -o small",
    "munjang train distill classification --teacher my-sentiment --data article.txt --unlabelled -o small",
)
SENTENCES_EXAMPLES = examples(
    'munjang train distill sentences --teacher my-encoder --data sts-train.tsv --prompt "query: " -o small',
    "munjang train distill sentences --teacher my-encoder --data article.txt --kind texts -o small",
)
# As munjang.training.embedding_distillation has them, which would load PyTorch before any help is shown.
DISTILLING_ENCODERS = TrainingOptions(epochs=4, batch_size=32, learning_rate=3e-4, freeze_embeddings=True)


class EncoderKind(StrEnum):
    """What a student encoder learns from."""

    SCORES = "scores"
    TEXTS = "texts"
    TRANSLATIONS = "translations"


class Distance(StrEnum):
    """How far vectors are apart."""

    COSINE = "cosine"
    MSE = "mse"


@trains(DISTILLING, without=("model",))
def classification(
    run: Run,
    teacher: Teacher,
    student: Student = None,
    layers: Layers = None,
    temperature: Annotated[
        float,
        typer.Option("--temperature", metavar="X", help="Above 1, the lesser labels are learned too."),
    ] = 2.0,
    alpha: Annotated[
        float,
        typer.Option("--alpha", metavar="X", help="The weight of the teacher; the labels have the rest."),
    ] = 0.5,
    hidden_states: HiddenStates = 0.0,
    attention: Attention = 0.0,
    layer_map: LayerMap = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="The data are texts without labels, one per line or row.")
    ] = False,
    column: Column = None,
) -> None:
    """Train a small classifier to give a large one's probabilities, and the labels.

    The data are those of `train classification`, or texts without labels. --dev always has labels.
    """
    from munjang.evaluation.example_files import read_labelled_texts, read_texts
    from munjang.training import distill_classifier

    if unlabelled:
        refuse("on texts without labels", "alpha")
        if run.dev_share is not None:
            raise usage_error(
                "Texts without labels measure nothing; give --dev a file with labels.", "--dev-share"
            )
    else:
        refuse("without --unlabelled", "column")
    check_student(student)
    matching = matching_of(hidden_states, attention, layer_map)

    def read(path: Path) -> Sequence[Any]:
        return list(read_texts(path, column=column)) if unlabelled else read_labelled_texts(path)

    learned, held_out = examples_of(run, read, read_dev=read_labelled_texts, key=lambda one: one.text)
    follow(
        run,
        "Distillation",
        lambda watchers: distill_classifier(
            teacher,
            learned,
            output=run.output,
            student=student,
            layers=layers_of(layers),
            held_out=held_out,
            options=run.options,
            temperature=temperature,
            alpha=alpha,
            matching=matching,
            max_length=run.max_length,
            watchers=watchers,
        ),
    )


@trains(
    DISTILLING_ENCODERS,
    without=("model", "max_length"),
    open_ones={"freeze_embeddings": "with the teacher's layers"},
)
def sentences(
    run: Run,
    teacher: Teacher,
    student: Student = None,
    layers: Layers = None,
    kind: Annotated[
        EncoderKind,
        typer.Option(
            "--kind",
            metavar="NAME",
            help="What the data are: pairs with scores, texts, or texts with translations.",
        ),
    ] = EncoderKind.SCORES,
    distance: Annotated[
        Distance, typer.Option("--distance", metavar="NAME", help="To the teacher's vector: cosine or mse.")
    ] = Distance.COSINE,
    vectors: Annotated[
        float, typer.Option("--vectors", metavar="X", help="The weight of that distance.")
    ] = 1.0,
    pairs: Annotated[
        float, typer.Option("--pairs", metavar="X", help="The weight of the cosines of pairs.")
    ] = 1.0,
    gold: Annotated[
        float,
        typer.Option(
            "--gold", metavar="X", help="How much of a cosine is people's score, not the teacher's."
        ),
    ] = 0.5,
    highest_score: Annotated[
        float, typer.Option("--highest-score", metavar="X", help="The score of texts that mean the same.")
    ] = 5.0,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", show_default="the model's", help="Put before each text."),
    ] = None,
    dropout: Annotated[
        bool, typer.Option("--dropout", help="Drop values of the student's while it learns.")
    ] = False,
    reduce: Annotated[
        bool,
        typer.Option("--reduce", help="Bring the teacher's longer vectors to the student's length (PCA)."),
    ] = False,
    hidden_states: HiddenStates = 0.0,
    attention: Attention = 0.0,
    layer_map: LayerMap = None,
    column: Column = None,
) -> None:
    """Train a small sentence encoder to make a large one's vectors, also of other languages.

    --kind translations: columns such as anchor and positive; both get the teacher's vector of the first.
    --dev is a file of pairs with scores.
    """
    from munjang.evaluation.example_files import read_contrasts, read_scored_pairs, read_texts
    from munjang.training import Goals, distill_sentence_encoder

    check_share(run, kind.value)
    check_student(student)
    if kind is not EncoderKind.SCORES:
        refuse(f"on --kind {kind}", "pairs", "gold", "highest_score")
    if kind is not EncoderKind.TEXTS:
        refuse(f"on --kind {kind}", "column")
    defaults = replace(DISTILLING_ENCODERS, freeze_embeddings=student is None)  # a student's own may not fit
    goals = Goals(
        distance=distance.value, vectors=vectors, pairs=pairs, gold=gold, highest_score=highest_score
    )
    matching = matching_of(hidden_states, attention, layer_map)

    def read(path: Path) -> Sequence[Any]:
        if kind is EncoderKind.SCORES:
            return read_scored_pairs(path)
        if kind is EncoderKind.TEXTS:
            return list(read_texts(path, column=column))
        return [(one.anchor, one.positive) for one in read_contrasts(path)]

    learned, held_out = examples_of(run, read, read_dev=read_scored_pairs, key=lambda one: one.sentence1)
    follow(
        run,
        "Distillation",
        lambda watchers: distill_sentence_encoder(
            teacher,
            learned,
            output=run.output,
            student=student,
            layers=layers_of(layers),
            held_out=held_out,
            options=run.options_over(defaults),
            goals=goals,
            matching=matching,
            prompt=prompt,
            dropout=dropout,
            reduce="pca" if reduce else None,
            watchers=watchers,
        ),
    )
