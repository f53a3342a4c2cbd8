"""``munjang search`` and ``munjang rerank``: the most relevant texts of a file for a query."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from munjang.cli.common.options import (
    AsJson,
    Column,
    Encoding,
    Model,
    NoHeader,
    NoQuoting,
    Offline,
    Pooling,
    Progress,
    examples,
)
from munjang.cli.common.output import clean, console, detail_lines, new_table, print_json, rounded, write_line
from munjang.cli.common.texts import (
    check_query,
    cross_encoder,
    data_file,
    file_or_stdin,
    is_piped,
    queries_of,
    refuse,
    refuse_reading,
    rows_with_text,
    sentence_model,
    usage_error,
)
from munjang.cli.hits import (
    Filters,
    LeastScore,
    Offset,
    Reranker,
    SearchMode,
    SearchModeOption,
    open_index,
    search_index,
)
from munjang.data.files import STDIN, Row
from munjang.progress import has_bar

__all__ = ["RERANK_EXAMPLES", "SEARCH_EXAMPLES", "rerank", "search"]

SEARCH_EXAMPLES = examples(
    'munjang search "밤에 잠들기가 어려워요" --file examples/everyday_questions.csv',
    'munjang search "my puppy swallowed a chocolate bar" -f examples/everyday_questions.csv --top 3 --json',
    'munjang search "여권을 도둑맞았어요" --index faq.munjang --filter lang=ko',
    'cut -d, -f4 examples/everyday_questions.csv | munjang search "여권을 도둑맞았어요"',
)
RERANK_EXAMPLES = examples(
    'munjang rerank "How many people live in Berlin?" -d "Berlin has 3.5 million inhabitants."'
    ' -d "Berlin has many museums." --model cross-encoder/ms-marco-TinyBERT-L-2-v2',
    'munjang rerank "여권을 잃어버렸어요" --file examples/everyday_questions.csv --top 3'
    " --model Dongjin-kr/ko-reranker",
)

File = Annotated[
    str | None,
    typer.Option("--file", "-f", metavar="FILE", help="Where to search; - for the lines of standard input."),
]


# Options that have an effect in one case only.
_OF_ROWS = ("column", "encoding", "no_quoting", "no_header")
_OF_FILES = (*_OF_ROWS, "pooling")
_OF_INDEXES = ("mode", "filters", "offset", "min_score", "rerank_with")


class Hit(NamedTuple):
    """One row of the result."""

    score: float
    row: Row


def search(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="What to look for; - for each line of standard input.")
    ],
    file: File = None,
    index: Annotated[
        str | None,
        typer.Option(
            "--index", "-i", metavar="INDEX", help="Search an index of `munjang index` instead of a file."
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", metavar="K", min=1, help="How many results.")] = 5,
    mode: SearchModeOption = SearchMode.HYBRID,
    filters: Filters = None,
    offset: Offset = 0,
    min_score: LeastScore = None,
    rerank_with: Reranker = None,
    column: Column = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    model: Model = None,
    offline: Offline = False,
    pooling: Pooling = None,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Find the texts of a file, or the documents of an index, that fit a query best.

    A file is searched by meaning, in whatever words or language. It is text with one entry per line, CSV,
    TSV, JSON Lines or parquet, as its name says. A result's id is the row's own, if the file has a column of
    that name, else its number from 0. An index, which `munjang index build` makes, is searched by meaning
    and by word.
    """
    if index is not None:
        if file is not None:
            raise usage_error("Give --file or --index, not both.", "--index")
        refuse("with --index, only on a file", *_OF_FILES)
        queries = queries_of(query)
        with open_index(index, model, offline=offline) as opened:
            search_index(
                opened,
                queries,
                top=top,
                mode=mode,
                filters=filters,
                offset=offset,
                min_score=min_score,
                rerank=rerank_with,
                offline=offline,
                as_json=as_json,
            )
        return
    refuse("on a file, only with --index", *_OF_INDEXES)
    path = file_or_stdin(file, "--file")
    refuse_reading(path)
    if query == path == STDIN:
        raise usage_error("Only one of QUERY and --file can be standard input.", "QUERY")
    rows = rows_with_text(data_file(path, column, encoding, no_quoting=no_quoting, no_header=no_header))
    queries = queries_of(query)
    encoder = sentence_model(model, offline=offline, pooling=pooling)
    from munjang.sentence.mining import semantic_search
    from munjang.sentence.similarity import SimilarityFunction

    documents = encoder.encode_document([row.text for row in rows], show_progress_bar=has_bar(progress))
    found = semantic_search(
        encoder.encode_query(queries),
        documents,
        top_k=top,
        score_function=SimilarityFunction.to_similarity_fn(encoder.similarity_fn_name),
    )
    for each, hits in zip(queries, found, strict=True):
        # An empty line has no results, as in an index; its vector would be similar to some text's vector.
        kept = hits if each.strip() else []
        _show(each, [Hit(hit["score"], rows[hit["corpus_id"]]) for hit in kept], as_json)


def rerank(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The question.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="A cross-encoder: a folder or a repository.")
    ],
    file: File = None,
    document: Annotated[
        list[str] | None,
        typer.Option(
            "--document", "-d", metavar="TEXT", help="A text to rank, instead of a file; repeat it."
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", "-k", metavar="K", min=1, show_default="all", help="How many results."),
    ] = None,
    column: Column = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Order texts by how well they answer a query, with a cross-encoder that reads both together.

    That is slower and more exact than `munjang search`; use it on what a search has found.
    """
    if document and file is not None:
        raise usage_error("Give --file or --document, not both.", "--document")
    if document:
        refuse("with --document, only on a file", *_OF_ROWS)
        rows = [Row(number, number, text, {}, "text") for number, text in enumerate(document)]
    else:
        path = STDIN if file is None and is_piped() else file_or_stdin(file, "--file")
        refuse_reading(path)
        rows = rows_with_text(data_file(path, column, encoding, no_quoting=no_quoting, no_header=no_header))
    check_query(query)
    encoder = cross_encoder(model, offline=offline)
    ranked = encoder.rank(query, [row.text for row in rows], top_k=top, show_progress_bar=has_bar(progress))
    _show(query, [Hit(found["score"], rows[found["corpus_id"]]) for found in ranked], as_json)


def _show(query: str, hits: list[Hit], as_json: bool) -> None:
    if as_json:
        print_json([_as_dict(rank, hit) for rank, hit in enumerate(hits, 1)])
    else:
        _print_table(query, hits)


def _as_dict(rank: int, hit: Hit) -> dict[str, Any]:
    return {"rank": rank, "id": hit.row.id, "score": rounded(hit.score), "text": hit.row.text}


def _print_table(query: str, hits: list[Hit]) -> None:
    if not hits:
        write_line(f"{clean(query)}: nothing found")
        return
    from rich.text import Text

    table = new_table(clean(query), lines=any(_details(hit.row) for hit in hits))
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column("id", justify="right", style="dim", no_wrap=True)
    table.add_column(hits[0].row.column, ratio=1, overflow="fold")
    for rank, hit in enumerate(hits, 1):
        text = Text(clean(hit.row.text))
        for line in _details(hit.row):
            text.append(f"\n{line}", style="dim")
        table.add_row(str(rank), f"{hit.score:.4f}", clean(str(hit.row.id)), text)
    console().print(table)


def _details(row: Row) -> list[str]:
    """Return the row's other columns: short values on one line, one line per longer value."""
    shown = {name: value for name, value in row.values.items() if _is_shown(row, name, value)}
    return detail_lines({name: clean(str(value)) for name, value in shown.items()})


def _is_shown(row: Row, name: str, value: object) -> bool:
    is_id = name.casefold() == "id" and value == row.id
    return name != row.column and not is_id and isinstance(value, str | int | float) and value != ""
