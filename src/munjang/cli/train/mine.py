"""``munjang train mine``: hard negatives for sentence encoders and cross-encoders."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Progress, column_of, option
from munjang.cli.common.output import print_result
from munjang.cli.common.texts import Opening, Reading, TableReading, cross_encoder, refuse
from munjang.progress import has_bar
from munjang.training.options import MiningTask


@command(
    "munjang train mine --data qa.csv --output mined.jsonl",
    "munjang train mine --data qa.csv --range-min 2 --relative-margin 0.05 --negatives 1 -o mined.jsonl",
)
def mine(
    data: Annotated[list[Path], option("A file of texts and matching texts; may be repeated.", "FILE")],
    output: Annotated[Path, option("The file to write, JSON Lines.", "OUT", "-o")],
    task: MiningTask,
    corpus: Annotated[
        list[Path] | None, option("A file of further candidates; may be repeated.", "FILE")
    ] = None,
    anchor: Annotated[str | None, column_of("--anchor", "the first texts")] = None,
    positive: Annotated[str | None, column_of("--positive", "the texts that match them")] = None,
    reading: TableReading = Reading(),
    random: Annotated[bool, option("Take a random sample of the candidates instead of the nearest.")] = False,
    together: Annotated[bool, option("Put all negatives of a text into one row.")] = False,
    rerank: Annotated[str | None, option("A cross-encoder that rescores the candidates.", "NAME")] = None,
    opening: Opening = Opening(),
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Find hard negatives: for each text the most similar texts that do not match it.

    The file has pairs of matching texts, such as questions and answers. The output is read by
    `train sentences` with a loss on contrasts, and by `train reranker --kind contrasts`.
    """
    if not random:
        refuse("without --random", "seed")
    settings = reading.arguments(*data, *(corpus or []))
    from munjang.checkpoints.files import replacing
    from munjang.data import read_contrasts, read_texts
    from munjang.training import mine_hard_negatives

    pairs = [
        pair for path in data for pair in read_contrasts(path, anchor=anchor, positive=positive, **settings)
    ]
    mined = mine_hard_negatives(
        opening.sentence_model(),
        pairs,
        list(read_texts(corpus, **settings)) if corpus else None,
        cross_encoder=None if rerank is None else cross_encoder(rerank, offline=opening.offline),
        task=replace(
            task,
            sampling_strategy="random" if random else "top",
            output_format="n-tuple" if together else "triplet",
        ),
        show_progress_bar=has_bar(progress),
    )
    with replacing(output) as file:
        file.writelines(f"{json.dumps(asdict(each), ensure_ascii=False)}\n".encode() for each in mined)
    result = {"output": str(output), "pairs": len(pairs), "rows": len(mined)}
    print_result(as_json, result, f"{output}: {len(mined):,} rows from {len(pairs):,} pairs")
