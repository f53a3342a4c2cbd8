"""``munjang train answers`` and ``reranker``: models that process two texts together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from munjang.cli.common.options import Columns, named_columns, option
from munjang.cli.common.texts import refuse
from munjang.cli.train.run import Run, follow, trains
from munjang.training.options import AnswersTask, RerankingTask, TrainingOptions

if TYPE_CHECKING:
    from munjang.evaluation import RankedList

Kind: TypeAlias = Literal["labels", "scores", "lists", "contrasts"]


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

    learned, held_out = run.examples(read_questions, key=lambda example: example.context)
    train = partial(train_question_answering, learned, held_out=held_out, model=run.model)
    follow(run, "Answers", partial(train, task=task, options=options))


@trains(
    "munjang train reranker --data lists.jsonl --kind lists --dev-share 0.1 --output my-reranker",
    "munjang train reranker --data mined.jsonl --kind contrasts --output my-reranker",
    "munjang train reranker --data sts-train.tsv --kind scores --loss mean-squared-error -o my-scores",
)
def reranker(
    run: Run,
    task: RerankingTask,
    options: TrainingOptions,
    kind: Annotated[
        Kind,
        option(
            "Pairs with labels or scores, graded lists, or contrasts as `train mine` writes them.", "NAME"
        ),
    ] = "labels",
    columns: Columns = None,
) -> None:
    """Train a cross-encoder: a model that scores two texts which it reads together.

    The file has pairs with a label or a score, or queries with documents and their relevance.
    """
    from munjang.training import train_cross_encoder

    if kind != "labels":
        refuse(f"on --kind {kind}", "positive")
    else:
        refuse("on --kind labels", "highest")
    read, key = _reader(kind, columns)
    learned, held_out = run.examples(read, key=key)
    train = partial(train_cross_encoder, learned, held_out=held_out, model=run.model)
    follow(run, "Reranker", partial(train, task=task, options=options))


def _reader(kind: Kind, columns: str | None) -> tuple[Callable[[Path], Sequence[Any]], Callable[[Any], str]]:
    """Return the reader of a file, and the key by which its examples are kept together."""
    from munjang.data import read_labelled_texts, read_ranked_lists, read_scored_pairs

    if kind == "labels":
        named = named_columns(columns, ("text", "text_pair", "label"))
        return partial(read_labelled_texts, **named), lambda example: str(example.text)
    if kind == "scores":
        named = named_columns(columns, ("sentence1", "sentence2", "score"))
        return partial(read_scored_pairs, **named), lambda example: str(example.sentence1)
    if kind == "contrasts":
        named = named_columns(columns, ("anchor", "positive"), "negatives")
        return partial(_lists, **named), lambda example: str(example.query)
    named = named_columns(columns, ("query", "documents", "relevance"))
    return partial(read_ranked_lists, **named), lambda example: str(example.query)


def _lists(path: Path, **named: Any) -> list[RankedList]:
    """Read contrasts as lists: the positive has grade 1, the negatives grade 0."""
    from munjang.data import read_contrasts
    from munjang.evaluation import RankedList

    return [
        RankedList(row.anchor, (row.positive, *row.negatives), (1.0, *(0.0 for _ in row.negatives)))
        for row in read_contrasts(path, **named)
    ]
