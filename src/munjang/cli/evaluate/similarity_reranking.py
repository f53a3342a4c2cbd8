"""``munjang evaluate similarity`` and ``reranking``: models of pairs and lists of texts."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import column_of, option
from munjang.cli.common.texts import (
    Opening,
    Prompting,
    Reading,
    TableReading,
    TaskOpening,
    cross_encoder,
    refuse,
    usage_error,
)
from munjang.cli.evaluate.report import Data, Report


@command(
    'munjang evaluate similarity sts-test.tsv --prompt "query: "',
    "munjang evaluate similarity stsb-en-test.csv --model all-MiniLM-L6-v2 --json",
)
def similarity(
    data: Data,
    sentence1: Annotated[str | None, column_of("--sentence1", "the first sentences")] = None,
    sentence2: Annotated[str | None, column_of("--sentence2", "the second sentences")] = None,
    score: Annotated[str | None, column_of("--score", "the human scores")] = None,
    reading: TableReading = Reading(),
    pairwise: Annotated[
        bool, option("The model is a cross-encoder, which reads both together.", "--cross-encoder")
    ] = False,
    opening: Opening = Opening(),
    prompting: Prompting = Prompting(),
    report: Report = Report(),
) -> None:
    """Measure how a model's cosines correlate with human similarity scores: Spearman's and Pearson's r.

    The file has two sentences and a score in each row, as in KorSTS and the STS benchmark.
    """
    if pairwise:
        refuse("beside --cross-encoder", "prompt", "prompt_name", "pooling")
        if opening.model is None:
            raise usage_error("It needs --model: no cross-encoder is the default.", "--cross-encoder")
    prompts = prompting.arguments()
    how = reading.arguments(data)
    from munjang.data import read_scored_pairs
    from munjang.evaluation.sentences import evaluate_scored_pairs, evaluate_similarity

    pairs = read_scored_pairs(data, sentence1=sentence1, sentence2=sentence2, score=score, **how)
    pairs = report.sampled(pairs)
    if pairwise:
        scorer = cross_encoder(opening.name, offline=opening.offline)
        report.run(data, evaluate_scored_pairs, scorer, pairs)
    else:
        report.run(data, partial(evaluate_similarity, **prompts), opening.sentence_model(), pairs)


@command("munjang evaluate reranking lists.jsonl --model MODEL")
def reranking(data: Data, opening: TaskOpening, report: Report = Report()) -> None:
    """Measure how well a cross-encoder orders documents of known relevance: MRR@10 and nDCG@10.

    The file has a query with documents and their relevance in each row (JSON Lines), or a query, a document
    and its relevance.
    """
    from munjang.data import read_ranked_lists
    from munjang.evaluation.sentences import evaluate_reranking

    lists = report.sampled(read_ranked_lists(data))
    documents = sum(len(ranked.documents) for ranked in lists)
    scorer = cross_encoder(opening.model, offline=opening.offline)
    report.run(data, evaluate_reranking, scorer, lists, total=documents)
