"""``munjang train answers`` and ``reranker``: models that read two texts together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from munjang.cli.common.options import Columns, examples, named_columns
from munjang.cli.common.texts import refuse
from munjang.cli.train.options import Run, trains
from munjang.cli.train.run import examples_of, follow

if TYPE_CHECKING:
    from munjang.evaluation import RankedList

__all__ = ["ANSWERS_EXAMPLES", "RERANKER_EXAMPLES", "answers", "reranker"]

ANSWERS_EXAMPLES = examples(
    "munjang train answers --data korquad.json --dev-share 0.1 --model klue/bert-base --output my-answers",
    "munjang train answers --data korquad.json --negative-windows 0.5 --json --output my-answers",
)
RERANKER_EXAMPLES = examples(
    "munjang train reranker --data lists.jsonl --kind lists --dev-share 0.1 --output my-reranker",
    "munjang train reranker --data mined.jsonl --kind contrasts --output my-reranker",
    "munjang train reranker --data sts-train.tsv --kind scores --loss mean-squared-error -o my-scores",
)


class Kind(StrEnum):
    """What the examples of a reranker are."""

    LABELS = "labels"
    SCORES = "scores"
    LISTS = "lists"
    CONTRASTS = "contrasts"


class RankingLoss(StrEnum):
    """What a reranker minimises."""

    BINARY_CROSS_ENTROPY = "binary-cross-entropy"
    MEAN_SQUARED_ERROR = "mean-squared-error"
    LISTNET = "listnet"
    RANKNET = "ranknet"


@trains()
def answers(
    run: Run,
    doc_stride: Annotated[
        int | None,
        typer.Option(
            "--doc-stride",
            metavar="N",
            min=0,
            show_default="128, or half of a window",
            help="Tokens that neighbouring windows of a long context share.",
        ),
    ] = None,
    negative_windows: Annotated[
        float,
        typer.Option(
            "--negative-windows", metavar="X", help="The part of windows without an answer to keep."
        ),
    ] = 1.0,
    normalization: Annotated[
        Literal["korquad", "squad"],
        typer.Option(
            "--normalization", metavar="NAME", help="Whose rules make answers comparable: korquad or squad."
        ),
    ] = "korquad",
) -> None:
    """Train a model to find the answers to questions in texts.

    The file is in the layout of SQuAD, which KorQuAD has too; --dev-share holds whole contexts out.
    """
    from munjang.data import read_questions
    from munjang.training import train_question_answering

    learned, held_out = examples_of(run, read_questions, key=lambda one: one.context)
    follow(
        run,
        "Answers",
        lambda watchers: train_question_answering(
            learned,
            model=run.model,
            output=run.output,
            held_out=held_out,
            options=run.options,
            max_length=run.max_length,
            doc_stride=doc_stride,
            negative_windows=negative_windows,
            normalization=normalization,
            watchers=watchers,
        ),
    )


@trains()
def reranker(
    run: Run,
    kind: Annotated[
        Kind,
        typer.Option(
            "--kind",
            metavar="NAME",
            help="Pairs with labels or scores, graded lists, or contrasts as `train mine` writes them.",
        ),
    ] = Kind.LABELS,
    loss: Annotated[
        RankingLoss | None,
        typer.Option(
            "--loss",
            metavar="NAME",
            show_default="listnet for lists, else binary-cross-entropy",
            help=f"What is minimised: {', '.join(RankingLoss)}.",
        ),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            "--positive", metavar="LABEL", show_default="1", help="The label of texts that belong together."
        ),
    ] = None,
    highest: Annotated[
        float | None,
        typer.Option(
            "--highest", metavar="X", show_default="what occurs", help="The best score or grade there is."
        ),
    ] = None,
    columns: Columns = None,
) -> None:
    """Train a cross-encoder: a model that scores two texts which it reads together.

    The file has pairs with a label or a score, or queries with documents and their relevance.
    """
    from munjang.training import train_cross_encoder

    if kind is not Kind.LABELS:
        refuse(f"on --kind {kind}", "positive")
    else:
        refuse("on --kind labels", "highest")
    read, key = _reader(kind, columns)
    learned, held_out = examples_of(run, read, key=key)
    follow(
        run,
        "Reranker",
        lambda watchers: train_cross_encoder(
            learned,
            model=run.model,
            output=run.output,
            held_out=held_out,
            options=run.options,
            loss=None if loss is None else loss.value,
            positive=positive,
            highest=highest,
            max_length=run.max_length,
            watchers=watchers,
        ),
    )


def _reader(kind: Kind, columns: str | None) -> tuple[Callable[[Path], Sequence[Any]], Callable[[Any], str]]:
    """Give what reads a file, and by what its examples are kept together."""
    from munjang.data import read_labelled_texts, read_ranked_lists, read_scored_pairs

    if kind is Kind.LABELS:
        named = named_columns(columns, ("text", "text_pair", "label"))
        return partial(read_labelled_texts, **named), lambda one: str(one.text)
    if kind is Kind.SCORES:
        named = named_columns(columns, ("sentence1", "sentence2", "score"))
        return partial(read_scored_pairs, **named), lambda one: str(one.sentence1)
    if kind is Kind.CONTRASTS:
        named = named_columns(columns, ("anchor", "positive"), "negatives")
        return partial(_lists, **named), lambda one: str(one.query)
    named = named_columns(columns, ("query", "documents", "relevance"))
    return partial(read_ranked_lists, **named), lambda one: str(one.query)


def _lists(path: Path, **named: Any) -> list[RankedList]:
    """Read a text with one that belongs to it and others that do not as a list of grades 1 and 0."""
    from munjang.data import read_contrasts
    from munjang.evaluation import RankedList

    return [
        RankedList(one.anchor, (one.positive, *one.negatives), (1.0, *(0.0 for _ in one.negatives)))
        for one in read_contrasts(path, **named)
    ]
