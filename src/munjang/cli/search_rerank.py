"""``munjang search`` and ``munjang rerank``: the most relevant texts of a file for a query."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from munjang.cli.common.commands import command
from munjang.cli.common.hits import SearchOptions, open_index, search_index
from munjang.cli.common.options import AsJson, Offline, Progress, argument, option
from munjang.cli.common.output import (
    clean,
    detail_lines,
    new_table,
    print_json,
    print_table,
    text_cell,
    write_line,
)
from munjang.cli.common.texts import (
    Opening,
    Reading,
    check_query,
    cross_encoder,
    file_or_stdin,
    queries_of,
    refuse,
    rows_with_text,
    usage_error,
)
from munjang.data.files import STDIN, Row
from munjang.progress import has_bar
from munjang.rounding import rounded

File = Annotated[str | None, option("The file to search; - for the lines of standard input.", "FILE", "-f")]

# Options that have an effect in one case only.
_OF_ROWS = ("column", "encoding", "no_quoting", "no_header")
_OF_FILES = (*_OF_ROWS, "dtype", "pooling")
_OF_INDEXES = ("mode", "filters", "offset", "min_score", "rerank")


class Hit(NamedTuple):
    """One row of the result."""

    score: float
    row: Row


@command(
    'munjang search "밤에 잠들기가 어려워요" --file examples/everyday_questions.csv',
    'munjang search "my puppy swallowed a chocolate bar" -f examples/everyday_questions.csv --top 3 --json',
    'munjang search "여권을 도둑맞았어요" --index faq.munjang --filter lang=ko',
    'cut -d, -f4 examples/everyday_questions.csv | munjang search "여권을 도둑맞았어요"',
)
def search(
    query: Annotated[str, argument("The query; - for each line of standard input.", "QUERY")],
    file: File = None,
    index: Annotated[
        str | None, option("Search an index of `munjang index` instead of a file.", "INDEX", "-i")
    ] = None,
    options: SearchOptions = SearchOptions(),
    reading: Reading = Reading(),
    opening: Opening = Opening(),
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Find the texts of a file, or the documents of an index, that match a query best.

    A file is searched by meaning, whatever its words and language. It is text with one entry per line, CSV,
    TSV, JSON Lines or parquet, depending on its name. The id of a result is the row's value in a column named
    id, or else its number from 0. An index, which `munjang index build` makes, is searched by meaning and by
    word.
    """
    if index is not None:
        if file is not None:
            raise usage_error("Use either --file or --index.", "--index")
        refuse("with --index, only on a file", *_OF_FILES)
        queries = queries_of(query)
        with open_index(index, opening.model, offline=opening.offline) as opened:
            search_index(opened, queries, options, offline=opening.offline, as_json=as_json)
        return
    refuse("on a file, only with --index", *_OF_INDEXES)
    path = file_or_stdin(file, "--file")
    source = reading.file(path)
    if query == path == STDIN:
        raise usage_error("Only one of QUERY and --file can be standard input.", "QUERY")
    rows = rows_with_text(source)
    queries = queries_of(query)
    encoder = opening.sentence_model()
    from munjang.sentence.mining import semantic_search
    from munjang.sentence.similarity import SimilarityFunction

    documents = encoder.encode_document([row.text for row in rows], show_progress_bar=has_bar(progress))
    results = semantic_search(
        encoder.encode_query(queries),
        documents,
        top_k=options.top,
        score_function=SimilarityFunction.to_similarity_fn(encoder.similarity_fn_name),
    )
    for each, hits in zip(queries, results, strict=True):
        # An empty line has no results, as in an index; its vector would be similar to some text's vector.
        kept = hits if each.strip() else []
        _show(each, [Hit(hit["score"], rows[hit["corpus_id"]]) for hit in kept], as_json)


@command(
    'munjang rerank "How many people live in Berlin?" -d "Berlin has 3.5 million inhabitants."'
    ' -d "Berlin has many museums." --model cross-encoder/ms-marco-TinyBERT-L-2-v2',
    'munjang rerank "여권을 잃어버렸어요" --file examples/everyday_questions.csv --top 3'
    " --model Dongjin-kr/ko-reranker",
)
def rerank(
    query: Annotated[str, argument("The query.", "QUERY")],
    model: Annotated[str, option("A cross-encoder: a folder or a Hugging Face repository.", "NAME", "-m")],
    file: File = None,
    document: Annotated[
        list[str] | None, option("A text to rank, instead of a file; may be repeated.", "TEXT", "-d")
    ] = None,
    top: Annotated[int | None, option("Number of results.", "K", "-k", min=1, shown="all")] = None,
    reading: Reading = Reading(),
    offline: Offline = None,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Order texts by how well they answer a query, with a cross-encoder that reads both together.

    This is slower and more exact than `munjang search`; use it on the results of a search.
    """
    if document and file is not None:
        raise usage_error("Use either --file or --document.", "--document")
    if document:
        refuse("with --document, only on a file", *_OF_ROWS)
        rows = [Row(number, number, text, {}, "text") for number, text in enumerate(document)]
    else:
        rows = rows_with_text(reading.file(file_or_stdin(file, "--file")))
    check_query(query)
    encoder = cross_encoder(model, offline=offline)
    ranked = encoder.rank(query, [row.text for row in rows], top_k=top, show_progress_bar=has_bar(progress))
    _show(query, [Hit(each["score"], rows[each["corpus_id"]]) for each in ranked], as_json)


def _show(query: str, hits: list[Hit], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"rank": rank, "id": hit.row.id, "score": rounded(hit.score), "text": hit.row.text}
                for rank, hit in enumerate(hits, 1)
            ]
        )
    elif not hits:
        write_line(f"{clean(query)}: nothing found")
    else:
        _print_table(query, hits)


def _print_table(query: str, hits: list[Hit]) -> None:
    table = new_table(clean(query), ">#", ">score", lines=any(_details(hit.row) for hit in hits))
    table.add_column("id", justify="right", style="dim", no_wrap=True)
    table.add_column(hits[0].row.column, overflow="fold")
    for rank, hit in enumerate(hits, 1):
        text = text_cell(hit.row.text, _details(hit.row))
        table.add_row(str(rank), f"{hit.score:.4f}", clean(str(hit.row.id)), text)
    print_table(table)


def _details(row: Row) -> list[str]:
    """Return the row's other columns: short values on one line, one line per longer value."""
    shown = {name: value for name, value in row.values.items() if _is_shown(row, name, value)}
    return detail_lines({name: clean(str(value)) for name, value in shown.items()})


def _is_shown(row: Row, name: str, value: object) -> bool:
    is_id = name.casefold() == "id" and value == row.id
    return name != row.column and not is_id and isinstance(value, str | int | float) and value != ""
