"""``munjang train distill``: its commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.commands import Commands, described
from munjang.cli.common.options import Column, examples
from munjang.cli.common.texts import refuse, usage_error
from munjang.cli.train.options import Run, trains
from munjang.cli.train.run import examples_of, follow, numbers_of
from munjang.training.options import TrainingOptions

if TYPE_CHECKING:
    from munjang.training.distillation.layers import LayerMatching

__all__ = [
    "CLASSIFICATION_EXAMPLES",
    "DISTILLING",
    "DISTILLING_ENCODERS",
    "RERANKER_EXAMPLES",
    "SCORES_EXAMPLES",
    "SENTENCES_EXAMPLES",
    "Attention",
    "HiddenStates",
    "LayerMap",
    "Layers",
    "Student",
    "Teacher",
    "app",
    "check_share",
    "check_student",
    "classification",
    "layers_of",
    "matching_of",
    "reranker",
    "scores",
    "sentences",
]

DISTILLING = TrainingOptions(learning_rate=5e-5)
INSIDE = "What else of the teacher is learned"

Teacher = Annotated[
    str, typer.Option("--teacher", "-t", metavar="NAME", help="The trained model to learn from.")
]
Student = Annotated[
    str | None,
    typer.Option(
        "--student", metavar="NAME", show_default="layers of the teacher", help="The model to begin with."
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="N",
        show_default="half of them",
        help="How many of the teacher's layers the student begins with; or which, as in 0,2,4.",
    ),
]
HiddenStates = Annotated[
    float,
    typer.Option(
        "--hidden-states", metavar="X", help="The weight of the layers' outputs.", rich_help_panel=INSIDE
    ),
]
Attention = Annotated[
    float,
    typer.Option("--attention", metavar="X", help="The weight of the attention.", rich_help_panel=INSIDE),
]
LayerMap = Annotated[
    str | None,
    typer.Option(
        "--layer-map",
        metavar="N,N",
        show_default="evenly spread",
        help="The teacher's layer, from 0 on, that each layer of the student learns.",
        rich_help_panel=INSIDE,
    ),
]


def check_share(run: Run, kind: str) -> None:
    """Refuse to hold out what nobody has scored."""
    if run.dev_share is not None and kind != "scores":
        raise usage_error(
            "Only pairs with scores can be measured on; give --dev a file of them.", "--dev-share"
        )


def check_student(student: str | None) -> None:
    """Refuse a choice of the teacher's layers beside a student that has its own."""
    if student is not None:
        refuse("beside --student", "layers")


def layers_of(layers: str | None) -> int | list[int] | None:
    """Read a number of layers, or which they are."""
    if layers is None:
        return None
    numbers = numbers_of(layers, "--layers")
    return numbers if "," in layers else numbers[0]


def matching_of(hidden_states: float, attention: float, layer_map: str | None) -> LayerMatching | None:
    """Say what of the teacher's layers is learned, if anything."""
    from munjang.training import LayerMatching

    if not hidden_states and not attention:
        if layer_map is not None:
            raise usage_error("It needs --hidden-states or --attention.", "--layer-map")
        return None
    return LayerMatching(
        layers=None if layer_map is None else numbers_of(layer_map, "--layer-map"),
        hidden_states=hidden_states,
        attention=attention,
    )


RERANKER_EXAMPLES = examples(
    "munjang train distill reranker --teacher my-reranker --data sts-train.tsv --dev-share 0.1 -o small",
    "munjang train distill reranker --teacher my-reranker --data mined.jsonl --kind contrasts -o small",
)
SCORES_EXAMPLES = examples(
    "munjang train distill scores --teacher my-reranker --data mined.jsonl --kind contrasts -o my-encoder",
)


class PairKind(StrEnum):
    """What a cross-encoder scores."""

    SCORES = "scores"
    CONTRASTS = "contrasts"


Pairs = Annotated[
    PairKind,
    typer.Option(
        "--kind",
        metavar="NAME",
        help="What the data are: pairs with scores, which are left aside, or contrasts: margins are learned.",
    ),
]


@trains(DISTILLING, without=("model",))
def reranker(
    run: Run,
    teacher: Teacher,
    student: Student = None,
    layers: Layers = None,
    kind: Pairs = PairKind.SCORES,
) -> None:
    """Train a small cross-encoder to give a large one's scores.

    --dev is a file of pairs with scores.
    """
    check_student(student)
    from munjang.training import distill_cross_encoder

    learned, held_out = _pairs(run, kind)
    follow(
        run,
        "Distillation",
        lambda watchers: distill_cross_encoder(
            teacher,
            learned,
            output=run.output,
            student=student,
            layers=layers_of(layers),
            held_out=held_out,
            options=run.options,
            max_length=run.max_length,
            watchers=watchers,
        ),
    )


@trains(without=("max_length",))
def scores(
    run: Run,
    teacher: Teacher,
    kind: Pairs = PairKind.SCORES,
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="Put before the first text.")] = "",
    document_prompt: Annotated[
        str, typer.Option("--document-prompt", metavar="TEXT", help="Put before the others.")
    ] = "",
    divisor: Annotated[
        float, typer.Option("--divisor", metavar="X", help="The teacher's scores are divided by it.")
    ] = 1.0,
) -> None:
    """Train a sentence encoder to score pairs by their vectors as a cross-encoder scores them.

    --dev is a file of pairs with scores.
    """
    from munjang.training import distill_scores

    learned, held_out = _pairs(run, kind)
    follow(
        run,
        "Distillation",
        lambda watchers: distill_scores(
            teacher,
            learned,
            model=run.model,
            output=run.output,
            held_out=held_out,
            options=run.options,
            prompts=(prompt, document_prompt),
            divisor=divisor,
            watchers=watchers,
        ),
    )


def _pairs(run: Run, kind: PairKind) -> tuple[list[Any], list[Any]]:
    """Read what the teacher is to score, and pairs that people scored."""
    from munjang.data import read_contrasts, read_scored_pairs

    check_share(run, kind.value)
    if kind is PairKind.SCORES:
        learned, held_out = examples_of(run, read_scored_pairs, key=lambda one: one.sentence1)
        return [(one.sentence1, one.sentence2) for one in learned], held_out
    read: Callable[[Path], Sequence[Any]] = read_contrasts
    found, measured = examples_of(run, read, read_dev=read_scored_pairs)
    if any(one.negatives for one in found):
        return found, measured
    return [(one.anchor, one.positive) for one in found], measured


CLASSIFICATION_EXAMPLES = examples(
    "munjang train distill classification --teacher my-sentiment --data reviews.tsv --layers 2 -o small",
    "munjang train distill classification --teacher my-sentiment --data article.txt --unlabelled -o small",
)
SENTENCES_EXAMPLES = examples(
    'munjang train distill sentences --teacher my-encoder --data sts-train.tsv --prompt "query: " -o small',
    "munjang train distill sentences --teacher my-encoder --data article.txt --kind texts -o small",
)
# As munjang.training.distillation.encoder has them, which would load PyTorch before any help is shown.
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
    from munjang.data import read_labelled_texts, read_texts
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
    from munjang.data import read_contrasts, read_scored_pairs, read_texts
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


app = Commands(no_args_is_help=True)


@app.callback(
    epilog=examples(
        "munjang train distill sentences --teacher my-encoder --data sts-train.tsv --layers 2 --output small"
    )
)
def distill() -> None:
    """Train a small model to do what a large one does."""


def _add(command: Callable[..., None], epilog: str) -> None:
    """Add a command."""
    app.command(command.__name__, help=described(command), epilog=epilog)(command)


_add(classification, CLASSIFICATION_EXAMPLES)
_add(sentences, SENTENCES_EXAMPLES)
_add(reranker, RERANKER_EXAMPLES)
_add(scores, SCORES_EXAMPLES)
