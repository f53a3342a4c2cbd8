"""``munjang evaluate similarity`` and ``reranking``: models of pairs and lists of texts."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import Offline, TaskModel, column_of, option
from munjang.cli.common.texts import (
    Opening,
    Prompting,
    Reading,
    TableReading,
    cross_encoder,
    refuse,
    usage_error,
)
from munjang.cli.evaluate.report import Data, Limit, Report, sampled


@command(
    'munjang evaluate similarity sts-test.tsv --prompt "query: "',
    "munjang evaluate similarity stsb-en-test.csv --model all-MiniLM-L6-v2 --json",
)
def similarity(
    data: Data,
    sentence1: Annotated[str | None, column_of("--sentence1", "the first sentences")] = None,
    sentence2: Annotated[str | None, column_of("--sentence2", "the second")] = None,
    score: Annotated[str | None, column_of("--score", "people's scores")] = None,
    reading: TableReading = Reading(),
    pairwise: Annotated[
        bool, option("The model is a cross-encoder: it reads both together.", "--cross-encoder")
    ] = False,
    limit: Limit = None,
    opening: Opening = Opening(),
    prompting: Prompting = Prompting(),
    report: Report = Report(),
) -> None:
    """Measure how a model's cosines go with people's scores of likeness: Spearman's and Pearson's r.

    The file has two sentences and a score in each row, as KorSTS and the STS benchmark.
    """
    if pairwise:
        refuse("beside --cross-encoder", "prompt", "prompt_name", "pooling")
        if opening.model is None:
            raise usage_error(
                "It needs --model: there is no cross-encoder to take without it.", "--cross-encoder"
            )
    prompts = prompting.arguments()
    how = {**reading.arguments(data), "header": False if reading.no_header else None}
    from munjang.data import read_scored_pairs
    from munjang.evaluation.sentences import evaluate_scored_pairs, evaluate_similarity

    pairs = read_scored_pairs(data, sentence1=sentence1, sentence2=sentence2, score=score, **how)
    pairs = sampled(pairs, limit)
    if pairwise:
        scorer = cross_encoder(opening.name, offline=opening.offline)
        report.run(data, evaluate_scored_pairs, scorer, pairs)
        return
    report.run(data, partial(evaluate_similarity, **prompts), opening.sentence_model(), pairs)


@command("munjang evaluate reranking lists.jsonl --model MODEL")
def reranking(
    data: Data,
    model: TaskModel,
    limit: Limit = None,
    offline: Offline = None,
    report: Report = Report(),
) -> None:
    """Measure how a cross-encoder orders documents whose relevance is known: MRR@10 and nDCG@10.

    The file has a query with documents and their relevance in each row (JSON Lines), or a query, a document
    and its relevance.
    """
    from munjang.data import read_ranked_lists
    from munjang.evaluation.sentences import evaluate_reranking

    lists = sampled(read_ranked_lists(data), limit)
    documents = sum(len(ranked.documents) for ranked in lists)
    report.run(data, evaluate_reranking, cross_encoder(model, offline=offline), lists, total=documents)
