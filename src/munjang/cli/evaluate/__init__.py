"""``munjang evaluate``: its commands, and ``retrieval``: how well documents are found, on published data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.commands import Commands, described
from munjang.cli.common.options import AsJson, Model, Offline, Pooling, Progress, examples
from munjang.cli.common.output import console, new_table, print_json, rounded
from munjang.cli.common.texts import cross_encoder, refuse, sentence_model, usage_error
from munjang.cli.evaluate import labels as evaluate_labels
from munjang.cli.evaluate import sentences as evaluate_sentences
from munjang.cli.evaluate import texts as evaluate_texts
from munjang.progress import tracked

if TYPE_CHECKING:
    from munjang.evaluation import RetrievalResult, RetrievalTask

__all__ = ["RETRIEVAL_EXAMPLES", "app"]

RETRIEVAL_EXAMPLES = examples(
    "munjang evaluate retrieval KorQuAD_v1.0_dev.json --queries 500",
    "munjang evaluate retrieval ChatbotData.csv --model all-MiniLM-L6-v2 --mode semantic --mode hybrid",
    "munjang evaluate retrieval scifact/ --model all-MiniLM-L6-v2 --json",
)


app = Commands(no_args_is_help=True)


def retrieval(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A .json like SQuAD's (KorQuAD), a .csv of questions and answers, or a folder like BEIR's.",
        ),
    ],
    mode: Annotated[
        list[str] | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            show_default="semantic, lexical, hybrid",
            help="semantic, lexical, hybrid or reranked; repeat it.",
        ),
    ] = None,
    rerank: Annotated[
        str | None, typer.Option("--rerank", metavar="NAME", help="The cross-encoder for the mode reranked.")
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option("--queries", metavar="N", min=1, show_default="all", help="Ask a sample of so many."),
    ] = None,
    analyzer: Annotated[
        str | None,
        typer.Option(
            "--analyzer",
            metavar="NAME",
            show_default="kiwi if installed",
            help="What makes words of texts: kiwi or hangul-bigrams.",
        ),
    ] = None,
    model: Model = None,
    pooling: Pooling = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Measure how high an index ranks what answers a query: MRR@10, nDCG@10, Recall@1 and Recall@10.

    Each comes with the interval that holds it with 95% confidence. KorQuAD: find the paragraph that a
    question was asked about. Questions and answers: one in ten is held out, and a stored question with the
    same answer is to be found.
    """
    from munjang.evaluation.retrieval import evaluate_retrieval, indexed

    modes = mode or ["semantic", "lexical", "hybrid", *(["reranked"] if rerank else [])]
    if "reranked" not in modes:
        refuse("without --mode reranked", "rerank")
    if modes == ["semantic"]:
        refuse("on --mode semantic, which compares no words", "analyzer")
    task = _task(data, queries)
    encoder = sentence_model(model, offline=offline, pooling=pooling)
    reranker = None if rerank is None else cross_encoder(rerank, offline=offline)
    with ExitStack() as stack:
        with tracked(progress, len(task.documents), "Indexing") as advance:
            index = stack.enter_context(indexed(task, encoder, analyzer=analyzer, advance=advance))
        with tracked(progress, len(modes) * len(task.queries), "Asking") as advance:
            results = evaluate_retrieval(task, index, modes, rerank=reranker, advance=advance)
    _show(task, results, as_json)


@app.callback(
    epilog=examples(
        "munjang evaluate similarity sts-test.tsv",
        "munjang evaluate classification reviews.tsv --model MODEL --markdown",
    )
)
def evaluate() -> None:
    """Measure how good a model is, on data of yours or on published data."""


def _add(command: Callable[..., None], epilog: str) -> None:
    """Add a command."""
    name = command.__name__.replace("_", "-")
    app.command(name, help=described(command), epilog=epilog)(command)


_add(retrieval, RETRIEVAL_EXAMPLES)
_add(evaluate_sentences.similarity, evaluate_sentences.SIMILARITY_EXAMPLES)
_add(evaluate_sentences.reranking, evaluate_sentences.RERANKING_EXAMPLES)
_add(evaluate_labels.classification, evaluate_labels.CLASSIFICATION_EXAMPLES)
_add(evaluate_labels.entities, evaluate_labels.ENTITIES_EXAMPLES)
_add(evaluate_labels.relations, evaluate_labels.RELATIONS_EXAMPLES)
_add(evaluate_texts.answers, evaluate_texts.ANSWERS_EXAMPLES)
_add(evaluate_texts.language_model, evaluate_texts.LANGUAGE_MODEL_EXAMPLES)


def _task(data: str, queries: int | None) -> RetrievalTask:
    from munjang.evaluation import beir_folder, chatbot_questions, korquad

    path = Path(data)
    if path.is_dir():
        return beir_folder(path, queries=queries)
    if path.suffix == ".json":
        return korquad(path, queries)
    if path.suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
        return chatbot_questions(path, queries)
    raise usage_error(f"'{data}' is neither a folder nor .json, .csv, .tsv, .jsonl or .parquet.", "DATA")


def _show(task: RetrievalTask, results: list[RetrievalResult], as_json: bool) -> None:
    if as_json:
        print_json({"task": task.name, "notes": task.notes, "rows": [_row(result) for result in results]})
        return
    table = new_table(task.name)
    table.add_column("mode")
    for name in results[0].metrics:
        table.add_column(name, justify="right")
    table.add_column("ms/query", justify="right")
    for result in results:
        cells = [f"{e.value:.3f}\n{e.low:.3f}–{e.high:.3f}" for e in result.metrics.values()]
        table.add_row(result.mode, *cells, f"{1000 * result.seconds_per_query:.1f}")
    table.caption = f"{task.notes}; below each mean its 95% interval"
    console().print(table)


def _row(result: RetrievalResult) -> dict[str, Any]:
    metrics = {
        name: {"value": rounded(e.value), "low": rounded(e.low), "high": rounded(e.high)}
        for name, e in result.metrics.items()
    }
    return {"mode": result.mode, **metrics, "seconds_per_query": rounded(result.seconds_per_query)}
