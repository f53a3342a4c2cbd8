"""``munjang evaluate similarity`` and ``reranking``: how good a model is at pairs and lists of texts."""

from __future__ import annotations

from typing import Annotated

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
    Prompt,
    PromptName,
    TaskModel,
    column_of,
    examples,
)
from munjang.cli.common.texts import cross_encoder, refuse, refuse_reading, sentence_model, usage_error
from munjang.cli.evaluate.common import AsMarkdown, Data, Limit, chosen_form, report, sampled

__all__ = ["RERANKING_EXAMPLES", "SIMILARITY_EXAMPLES", "reranking", "similarity"]

SIMILARITY_EXAMPLES = examples(
    'munjang evaluate similarity sts-test.tsv --prompt "query: "',
    "munjang evaluate similarity stsb-en-test.csv --model all-MiniLM-L6-v2 --json",
)
RERANKING_EXAMPLES = examples("munjang evaluate reranking lists.jsonl --model MODEL")


def similarity(
    data: Data,
    sentence1: Annotated[str | None, column_of("--sentence1", "the first sentences")] = None,
    sentence2: Annotated[str | None, column_of("--sentence2", "the second")] = None,
    score: Annotated[str | None, column_of("--score", "people's scores")] = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    pairwise: Annotated[
        bool, typer.Option("--cross-encoder", help="The model is a cross-encoder: it reads both together.")
    ] = False,
    limit: Limit = None,
    model: Model = None,
    offline: Offline = False,
    pooling: Pooling = None,
    prompt_name: PromptName = None,
    prompt: Prompt = None,
    progress: Progress = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Measure how a model's cosines go with people's scores of likeness: Spearman's and Pearson's r.

    The file has two sentences and a score in each row, as KorSTS and the STS benchmark.
    """
    form = chosen_form(as_json, as_markdown)
    if pairwise:
        refuse("beside --cross-encoder", "prompt", "prompt_name", "pooling")
        if model is None:
            raise usage_error(
                "It needs --model: there is no cross-encoder to take without it.", "--cross-encoder"
            )
    if prompt is not None:
        refuse("beside --prompt", "prompt_name")
    refuse_reading(data)
    from munjang.data import read_scored_pairs
    from munjang.evaluation.sentences import evaluate_scored_pairs, evaluate_similarity

    found = read_scored_pairs(
        data,
        sentence1=sentence1,
        sentence2=sentence2,
        score=score,
        encoding=encoding,
        quoting=False if no_quoting else None,
        header=False if no_header else None,
    )
    some = sampled(found, limit)
    if pairwise and model is not None:
        scorer = cross_encoder(model, offline=offline)
        report(
            lambda advance: evaluate_scored_pairs(scorer, some, advance=advance),
            data,
            len(some),
            form,
            progress,
        )
        return
    encoder = sentence_model(model, offline=offline, pooling=pooling)
    report(
        lambda advance: evaluate_similarity(
            encoder, some, prompt=prompt, prompt_name=prompt_name, advance=advance
        ),
        data,
        len(some),
        form,
        progress,
    )


def reranking(
    data: Data,
    model: TaskModel,
    limit: Limit = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Measure how a cross-encoder orders documents whose relevance is known: MRR@10 and nDCG@10.

    The file has a query with documents and their relevance in each row (JSON Lines), or a query, a document
    and its relevance.
    """
    form = chosen_form(as_json, as_markdown)
    from munjang.data import read_ranked_lists
    from munjang.evaluation.sentences import evaluate_reranking

    some = sampled(read_ranked_lists(data), limit)
    documents = sum(len(one.documents) for one in some)
    scorer = cross_encoder(model, offline=offline)
    report(lambda advance: evaluate_reranking(scorer, some, advance=advance), data, documents, form, progress)
