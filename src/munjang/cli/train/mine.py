"""``munjang train mine``: hard negatives for sentence encoders and cross-encoders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from munjang.cli.common.options import (
    AsJson,
    Encoding,
    Model,
    NoHeader,
    NoQuoting,
    Offline,
    Pooling,
    Progress,
    column_of,
    examples,
)
from munjang.cli.common.output import print_json, write_line
from munjang.cli.common.texts import cross_encoder, refuse, refuse_reading, sentence_model
from munjang.progress import has_bar

if TYPE_CHECKING:
    from munjang.evaluation import Contrast

__all__ = ["MINE_EXAMPLES", "mine"]

MINE_EXAMPLES = examples(
    "munjang train mine --data qa.csv --output mined.jsonl",
    "munjang train mine --data qa.csv --range-min 2 --relative-margin 0.05 --negatives 1 -o mined.jsonl",
)


def mine(
    data: Annotated[
        list[Path], typer.Option("--data", metavar="FILE", help="Texts and what belongs to them; repeat it.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write, JSON Lines.")
    ],
    corpus: Annotated[
        list[Path] | None,
        typer.Option("--corpus", metavar="FILE", help="More texts to find negatives in; repeat it."),
    ] = None,
    anchor: Annotated[str | None, column_of("--anchor", "the first texts")] = None,
    positive: Annotated[str | None, column_of("--positive", "what belongs to them")] = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    negatives: Annotated[
        int, typer.Option("--negatives", metavar="N", min=1, help="How many are wanted for each text.")
    ] = 3,
    range_min: Annotated[
        int, typer.Option("--range-min", metavar="N", min=0, help="Leave so many of the nearest out.")
    ] = 0,
    range_max: Annotated[
        int | None,
        typer.Option(
            "--range-max",
            metavar="N",
            min=1,
            show_default="as many as are needed",
            help="Look at so many of the nearest.",
        ),
    ] = None,
    max_score: Annotated[
        float | None, typer.Option("--max-score", metavar="X", help="The highest score of a negative.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", metavar="X", help="The lowest score of a negative.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", metavar="X", help="How much lower than the positive's, at least."),
    ] = None,
    relative_margin: Annotated[
        float | None,
        typer.Option("--relative-margin", metavar="X", help="The same, as a part of the positive's score."),
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Draw from what was found, instead of the nearest.")
    ] = False,
    together: Annotated[
        bool, typer.Option("--together", help="Put all negatives of a text into one row.")
    ] = False,
    rerank: Annotated[
        str | None, typer.Option("--rerank", metavar="NAME", help="A cross-encoder that scores anew.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="For --random.")] = 1,
    model: Model = None,
    offline: Offline = False,
    pooling: Pooling = None,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Find hard negatives: the texts most like a text that do not belong to it.

    The file has texts with one that belongs to each, such as questions and answers. What is written is read
    by `train sentences` with a loss on contrasts, and by `train reranker --kind contrasts`.
    """
    if not random:
        refuse("without --random", "seed")
    refuse_reading(*data, *(corpus or []))
    from munjang.data import read_contrasts, read_texts
    from munjang.training import mine_hard_negatives

    pairs = [
        one
        for path in data
        for one in read_contrasts(
            path,
            anchor=anchor,
            positive=positive,
            encoding=encoding,
            quoting=False if no_quoting else None,
            header=not no_header,
        )
    ]
    found = mine_hard_negatives(
        sentence_model(model, offline=offline, pooling=pooling),
        pairs,
        list(read_texts(corpus, encoding=encoding)) if corpus else None,
        cross_encoder=None if rerank is None else cross_encoder(rerank, offline=offline),
        range_min=range_min,
        range_max=range_max,
        max_score=max_score,
        min_score=min_score,
        absolute_margin=margin,
        relative_margin=relative_margin,
        num_negatives=negatives,
        sampling_strategy="random" if random else "top",
        output_format="n-tuple" if together else "triplet",
        show_progress_bar=has_bar(progress),
        seed=seed,
    )
    _write(found, output)
    if as_json:
        print_json({"output": str(output), "pairs": len(pairs), "rows": len(found)})
    else:
        write_line(f"{output}: {len(found):,} rows from {len(pairs):,} pairs")


def _write(found: Sequence[Contrast], output: Path) -> None:
    """Write contrasts as `read_contrasts` reads them."""
    from munjang.checkpoints.files import replacing

    with replacing(output) as file:
        for one in found:
            row = {"anchor": one.anchor, "positive": one.positive, "negatives": list(one.negatives)}
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
