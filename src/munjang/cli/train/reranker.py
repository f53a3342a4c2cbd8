"""``munjang train reranker``: cross-encoders."""

from __future__ import annotations

from typing import Annotated

from munjang.cli.common.options import Columns, option
from munjang.cli.common.texts import refuse
from munjang.cli.train.run import Kind, Run, fit, reader, trains
from munjang.training.options import RerankingTask, TrainingOptions


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
    """Train a cross-encoder: a model that reads two texts together and scores them.

    The file has pairs with a label or a score, or queries with documents and their relevance.
    """
    from munjang.data import RankedList
    from munjang.training import train_cross_encoder

    if kind != "labels":
        refuse(f"on --kind {kind}", "positive")
    else:
        refuse("on --kind labels", "highest")
    learned, held_out = run.examples(reader(kind, columns))
    if kind == "contrasts":  # the positive has grade 1, the negatives have grade 0
        learned, held_out = (
            [
                RankedList(row.anchor, (row.positive, *row.negatives), (1.0, *(0.0 for _ in row.negatives)))
                for row in rows
            ]
            for rows in (learned, held_out)
        )
    fit(run, "Reranker", train_cross_encoder, (learned, held_out), task=task, options=options)
