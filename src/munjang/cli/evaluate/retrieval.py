"""``munjang evaluate retrieval``: how well an index finds documents, on published data."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Progress, argument, option
from munjang.cli.common.output import new_table, print_json, print_table
from munjang.cli.common.texts import Opening, cross_encoder, refuse, usage_error
from munjang.progress import tracked

if TYPE_CHECKING:
    from munjang.evaluation import RetrievalResult, RetrievalTask


@command(
    "munjang evaluate retrieval KorQuAD_v1.0_dev.json --queries 500",
    "munjang evaluate retrieval ChatbotData.csv --model all-MiniLM-L6-v2 --mode semantic --mode hybrid",
    "munjang evaluate retrieval scifact/ --model all-MiniLM-L6-v2 --json",
)
def retrieval(
    data: Annotated[
        str,
        argument(
            "A .json like SQuAD's (KorQuAD), a .csv of questions and answers, or a folder like BEIR's.",
            "DATA",
        ),
    ],
    mode: Annotated[
        list[str] | None,
        option(
            "semantic, lexical, hybrid or reranked; may be repeated.",
            "MODE",
            shown="semantic, lexical, hybrid",
        ),
    ] = None,
    rerank: Annotated[str | None, option("The cross-encoder for the mode reranked.", "NAME")] = None,
    queries: Annotated[
        int | None, option("Use a random sample of N queries.", "N", shown="all", min=1)
    ] = None,
    analyzer: Annotated[
        str | None,
        option(
            "How texts are split into words: kiwi or hangul-bigrams.", "NAME", shown="kiwi if it is installed"
        ),
    ] = None,
    opening: Opening = Opening(),
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Measure how high an index ranks the documents for a query: MRR@10, nDCG@10, Recall@1 and Recall@10.

    Each has its 95% confidence interval. KorQuAD: the task is to find the paragraph that a question is about.
    Questions and answers: a tenth is held out; the task is to find a stored question with the same answer.
    """
    from munjang.evaluation.retrieval import evaluate_retrieval, indexed

    modes = mode or ["semantic", "lexical", "hybrid", *(["reranked"] if rerank else [])]
    if "reranked" not in modes:
        refuse("without --mode reranked", "rerank")
    if modes == ["semantic"]:
        refuse("on --mode semantic, which compares no words", "analyzer")
    task = _task(data, queries)
    encoder = opening.sentence_model()
    reranker = None if rerank is None else cross_encoder(rerank, offline=opening.offline)
    with ExitStack() as stack:
        with tracked(progress, len(task.documents), "Indexing") as advance:
            index = stack.enter_context(indexed(task, encoder, analyzer=analyzer, advance=advance))
        with tracked(progress, len(modes) * len(task.queries), "Searching") as advance:
            results = evaluate_retrieval(task, index, modes, rerank=reranker, advance=advance)
    if as_json:
        rows = [result.to_dict() for result in results]
        print_json({"task": task.name, "notes": task.notes, "rows": rows})
    else:
        _print_table(task, results)


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


def _print_table(task: RetrievalTask, results: list[RetrievalResult]) -> None:
    table = new_table(task.name, "mode", *(f">{name}" for name in results[0].metrics), ">ms/query")
    for result in results:
        cells = [f"{e.value:.3f}\n{e.low:.3f}–{e.high:.3f}" for e in result.metrics.values()]
        table.add_row(result.mode, *cells, f"{1000 * result.seconds_per_query:.1f}")
    table.caption = f"{task.notes}; below each mean its 95% interval"
    print_table(table)
