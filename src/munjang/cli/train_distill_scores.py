"""``munjang train distill reranker`` and ``scores``: what a cross-encoder says of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from munjang.cli.options import examples
from munjang.cli.train_distill_options import (
    DISTILLING,
    Layers,
    Student,
    Teacher,
    check_share,
    check_student,
    layers_of,
)
from munjang.cli.train_options import Run, trains
from munjang.cli.train_run import examples_of, follow

__all__ = ["RERANKER_EXAMPLES", "SCORES_EXAMPLES", "reranker", "scores"]

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
    from munjang.evaluation.example_files import read_contrasts, read_scored_pairs

    check_share(run, kind.value)
    if kind is PairKind.SCORES:
        learned, held_out = examples_of(run, read_scored_pairs, key=lambda one: one.sentence1)
        return [(one.sentence1, one.sentence2) for one in learned], held_out
    read: Callable[[Path], Sequence[Any]] = read_contrasts
    found, measured = examples_of(run, read, read_dev=read_scored_pairs)
    if any(one.negatives for one in found):
        return found, measured
    return [(one.anchor, one.positive) for one in found], measured
