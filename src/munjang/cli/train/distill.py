"""``munjang train distill``: its commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from munjang.cli.common.commands import Commands, given
from munjang.cli.common.options import Bundle, Column, option
from munjang.cli.common.texts import refuse, usage_error
from munjang.cli.train.run import Run, RunWithoutModel, follow, numbers_of, trains
from munjang.training.distillation.options import (
    CLASSIFIER_OPTIONS,
    ENCODER_OPTIONS,
    ClassifierDistillationTask,
    CrossEncoderDistillationTask,
    EncoderDistillationTask,
    Goals,
    LayerMatching,
    ScoreDistillationTask,
)
from munjang.training.options import TrainingOptions

PairKind: TypeAlias = Literal["scores", "contrasts"]
EncoderKind: TypeAlias = Literal["scores", "texts", "translations"]


@dataclass(frozen=True, kw_only=True)
class Models:
    """Options: the teacher and the student."""

    teacher: Annotated[str, option("The trained model to learn from.", "NAME", "-t")]
    student: Annotated[str | None, option("The initial student.", "NAME", shown="layers of the teacher")] = (
        None
    )
    layers: Annotated[
        str | None,
        option(
            "The number of the teacher's layers that the student starts with; or their indices, as in 0,2,4.",
            "N",
            shown="half of them",
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the student and the number or the indices of the layers; they exclude each other."""
        if self.student is not None:
            refuse("beside --student", "layers")
        layers: int | list[int] | None = None
        if self.layers is not None:
            numbers = numbers_of(self.layers, "--layers")
            layers = numbers if "," in self.layers else numbers[0]
        return {"student": self.student, "layers": layers}


@dataclass(frozen=True, kw_only=True)
class MatchingOptions:
    """Options: what is learned from the teacher's layers."""

    panel: ClassVar = "What else of the teacher is learned"
    hidden_states: Annotated[float, option("The weight of the layers' outputs.", "X")] = 0.0
    attention: Annotated[float, option("The weight of the attention.", "X")] = 0.0
    layer_map: Annotated[
        str | None,
        option(
            "The teacher's layer, counted from 0, that each layer of the student learns.",
            "N,N",
            shown="evenly spread",
        ),
    ] = None

    def terms(self) -> LayerMatching | None:
        """Return the terms of the loss, or None if nothing is learned from the layers."""
        if not self.hidden_states and not self.attention:
            if self.layer_map is not None:
                raise usage_error("It needs --hidden-states or --attention.", "--layer-map")
            return None
        return LayerMatching(
            layers=None if self.layer_map is None else numbers_of(self.layer_map, "--layer-map"),
            hidden_states=self.hidden_states,
            attention=self.attention,
        )


def _check_share(run: Run, kind: str) -> None:
    if run.dev_share is not None and kind != "scores":
        raise usage_error(
            "The measure needs pairs with scores; use --dev with a file of them.", "--dev-share"
        )


Pairs = Annotated[
    PairKind,
    option("The data: pairs with scores, which are ignored, or contrasts: margins are learned.", "NAME"),
]


@trains(
    "munjang train distill reranker --teacher my-reranker --data sts-train.tsv --dev-share 0.1 -o small",
    "munjang train distill reranker --teacher my-reranker --data mined.jsonl --kind contrasts -o small",
)
def reranker(
    run: RunWithoutModel,
    models: Models,
    task: CrossEncoderDistillationTask,
    options: TrainingOptions = CLASSIFIER_OPTIONS,
    kind: Pairs = "scores",
) -> None:
    """Train a small cross-encoder to reproduce the scores of a large one.

    --dev is a file of pairs with scores.
    """
    arguments = models.arguments()
    from munjang.training import distill_cross_encoder

    learned, held_out = _pairs(run, kind)
    train = partial(distill_cross_encoder, models.teacher, learned, held_out=held_out, **arguments)
    follow(run, "Distillation", partial(train, task=task, options=options))


@trains(
    "munjang train distill scores --teacher my-reranker --data mined.jsonl --kind contrasts -o my-encoder",
)
def scores(
    run: Run,
    models: Annotated[Models, Bundle(without=("student", "layers"))],
    task: ScoreDistillationTask,
    options: TrainingOptions,
    kind: Pairs = "scores",
    prompt: Annotated[str, option("The prefix of the first text.", "TEXT")] = "",
    document_prompt: Annotated[str, option("The prefix of the other texts.", "TEXT")] = "",
) -> None:
    """Train a sentence encoder whose vectors reproduce the scores of a cross-encoder.

    --dev is a file of pairs with scores.
    """
    from munjang.training import distill_scores

    learned, held_out = _pairs(run, kind)
    train = partial(distill_scores, models.teacher, learned, model=run.model, held_out=held_out)
    task = replace(task, prompts=(prompt, document_prompt))
    follow(run, "Distillation", partial(train, task=task, options=options))


def _pairs(run: Run, kind: PairKind) -> tuple[list[Any], list[Any]]:
    """Read the pairs that the teacher scores, and held-out pairs with human scores."""
    from munjang.data import read_contrasts, read_scored_pairs

    _check_share(run, kind)
    if kind == "scores":
        learned, held_out = run.examples(read_scored_pairs)
        return [(example.sentence1, example.sentence2) for example in learned], held_out
    contrasts, held_out = run.examples(read_contrasts, read_scored_pairs)
    if any(contrast.negatives for contrast in contrasts):
        return contrasts, held_out
    return [(contrast.anchor, contrast.positive) for contrast in contrasts], held_out


@trains(
    "munjang train distill classification --teacher my-sentiment --data reviews.tsv --layers 2 -o small",
    "munjang train distill classification --teacher my-sentiment --data article.txt --unlabelled -o small",
)
def classification(
    run: RunWithoutModel,
    models: Models,
    task: ClassifierDistillationTask,
    options: TrainingOptions = CLASSIFIER_OPTIONS,
    matching: MatchingOptions = MatchingOptions(),
    unlabelled: Annotated[bool, option("The data are texts without labels, one per line or row.")] = False,
    column: Column = None,
) -> None:
    """Train a small classifier to reproduce the probabilities of a large one, and the labels.

    The data are those of `train classification`, or texts without labels. --dev always has labels.
    """
    from munjang.data import read_labelled_texts, read_texts
    from munjang.training import distill_classifier

    if unlabelled:
        refuse("on texts without labels", "alpha")
        if run.dev_share is not None:
            raise usage_error("The measure needs labels; use --dev with a file that has them.", "--dev-share")
    else:
        refuse("without --unlabelled", "column")
    arguments = models.arguments()
    task = replace(task, matching=matching.terms())

    def read(path: Path) -> Sequence[Any]:
        return list(read_texts(path, column=column)) if unlabelled else read_labelled_texts(path)

    learned, held_out = run.examples(read, read_labelled_texts)
    train = partial(distill_classifier, models.teacher, learned, held_out=held_out, **arguments)
    follow(run, "Distillation", partial(train, task=task, options=options))


@trains(
    'munjang train distill sentences --teacher my-encoder --data sts-train.tsv --prompt "query: " -o small',
    "munjang train distill sentences --teacher my-encoder --data article.txt --kind texts -o small",
)
def sentences(
    run: RunWithoutModel,
    models: Models,
    goals: Goals,
    task: EncoderDistillationTask,
    options: Annotated[
        TrainingOptions, Bundle(shown={"freeze_embeddings": "with the teacher's layers"})
    ] = ENCODER_OPTIONS,
    matching: MatchingOptions = MatchingOptions(),
    kind: Annotated[
        EncoderKind, option("The data: pairs with scores, texts, or texts with translations.", "NAME")
    ] = "scores",
    reduce: Annotated[
        bool, option("Reduce the teacher's longer vectors to the student's length (PCA).")
    ] = False,
    column: Column = None,
) -> None:
    """Train a small sentence encoder to reproduce the vectors of a large one, also for other languages.

    --kind translations: columns such as anchor and positive; the target of both is the teacher's vector of
    the first. --dev is a file of pairs with scores.
    """
    from munjang.data import read_contrasts, read_scored_pairs, read_texts
    from munjang.training import distill_sentence_encoder

    _check_share(run, kind)
    arguments = models.arguments()
    if kind != "scores":
        refuse(f"on --kind {kind}", "pairs", "gold", "highest_score")
    if kind != "texts":
        refuse(f"on --kind {kind}", "column")
    if models.student is not None and not given("freeze_embeddings"):
        options = replace(options, freeze_embeddings=False)
    task = replace(task, goals=goals, matching=matching.terms(), reduce="pca" if reduce else None)

    def read(path: Path) -> Sequence[Any]:
        if kind == "scores":
            return read_scored_pairs(path)
        if kind == "texts":
            return list(read_texts(path, column=column))
        return [(row.anchor, row.positive) for row in read_contrasts(path)]

    learned, held_out = run.examples(read, read_scored_pairs)
    train = partial(distill_sentence_encoder, models.teacher, learned, held_out=held_out, **arguments)
    follow(run, "Distillation", partial(train, task=task, options=options))


app = Commands(
    "munjang train distill sentences --teacher my-encoder --data sts-train.tsv --layers 2 --output small",
    help="Train a small model to reproduce the results of a large one.",
    no_args_is_help=True,
)
app.add(None, classification, sentences, reranker, scores)
