"""Search of an index from the command line: options, parsing of filters, and output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.output import clean, console, detail_lines, new_table, print_json, rounded
from munjang.cli.texts import answered, cross_encoder
from munjang.errors import InputError
from munjang.search.query import FITTING

if TYPE_CHECKING:
    from rich.text import Text

    from munjang.search.documents import Hit
    from munjang.search.index import Index

__all__ = [
    "Filters",
    "LeastScore",
    "Offset",
    "Reranker",
    "SearchMode",
    "SearchModeOption",
    "open_index",
    "read_filters",
    "search_index",
]

_SEARCH = "How an index is searched"
_CONDITION = re.compile(r"\s*([^=<>!\s]+)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_OPERATORS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}


class SearchMode(StrEnum):
    """The search mode."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    LEXICAL = "lexical"


SearchModeOption = Annotated[
    SearchMode,
    typer.Option("--mode", help="By meaning, by word, or by both.", rich_help_panel=_SEARCH),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="CONDITION",
        help="A condition on metadata: lang=ko, lang!=en, year>=2020, or JSON; repeat it, all must hold.",
        rich_help_panel=_SEARCH,
    ),
]
Offset = Annotated[
    int,
    typer.Option(
        "--offset", metavar="N", min=0, help="Leave out so many of the best.", rich_help_panel=_SEARCH
    ),
]
LeastScore = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        metavar="S",
        help="Leave out what scores less: similarity or BM25 by --mode, the cross-encoder's with --rerank; "
        "a hybrid score is relative to the best.",
        rich_help_panel=_SEARCH,
    ),
]
Reranker = Annotated[
    str | None,
    typer.Option(
        "--rerank",
        metavar="NAME",
        help="A cross-encoder that orders the best results anew.",
        rich_help_panel=_SEARCH,
    ),
]


def read_filters(given: list[str] | None) -> dict[str, Any] | None:
    """Parse ``lang=ko``, ``year>=2020`` or a JSON object; raise `InputError` for anything else."""
    wanted: dict[str, dict[str, Any]] = {}
    for text in given or ():
        for name, operator, value in _conditions(text):
            if operator in wanted.setdefault(name, {}):
                raise InputError(f"The filter for '{name}' has '{operator}' twice.")
            wanted[name][operator] = value
    return wanted or None


def _conditions(text: str) -> list[tuple[str, str, Any]]:
    if text.lstrip().startswith("{"):
        try:
            read = json.loads(text)
        except ValueError as error:
            raise InputError(f"The filter {text!r:.80} is not JSON: {error}.") from None
        return [one for name, value in read.items() for one in _of_json(name, value)]
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise InputError(f"The filter {text!r:.80} is not like lang=ko, year>=2020 or a JSON object.")
    name, sign, value = found.groups()
    plain = _plain(value)
    if sign in _OPERATORS:
        return [(name, _OPERATORS[sign], plain)]
    # A value that looks like a number may be stored in the metadata as a string.
    values = [plain] if plain == value else [plain, value]
    return [(name, "not_in" if sign == "!=" else "in", values)]


def _of_json(name: str, value: Any) -> list[tuple[str, str, Any]]:
    if isinstance(value, dict):
        return [(name, operator, wanted) for operator, wanted in value.items()]
    return [(name, "in" if isinstance(value, list) else "eq", value)]


def _plain(value: str) -> Any:
    """Parse a number, true, false, null or a quoted string as JSON; return anything else as a string."""
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return value if isinstance(read, dict | list) else read


def open_index(location: str, model: str | None, *, offline: bool, readonly: bool = True) -> Index:
    """Open an existing index."""
    from munjang.search.index import Index

    return Index.open(
        location, model=model, create=False, readonly=readonly, offline=True if offline else None
    )


def search_index(
    index: Index,
    queries: list[str],
    *,
    top: int,
    mode: SearchMode,
    filters: list[str] | None,
    offset: int,
    min_score: float | None,
    rerank: str | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Search an index and print the hits."""
    wanted = read_filters(filters)
    reranker = None if rerank is None else cross_encoder(rerank, offline=offline)

    def find(some: Sequence[str]) -> list[list[Hit]]:
        return index.search_batch(
            some,
            mode=mode.value,
            limit=top,
            offset=offset,
            filter=wanted,
            min_score=min_score,
            rerank=reranker,
        )

    with answered(queries, find) as found:
        for query, hits in found:
            if as_json:
                print_json(None if hits is None else [_as_dict(hit) for hit in hits])
            elif hits is not None:
                _print_table(query, hits, _columns(mode, rerank), several=len(index.settings.fields) > 1)


def _as_dict(hit: Hit) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "id": hit.id,
        "score": rounded(hit.score),
        "similarity": None if hit.similarity is None else rounded(hit.similarity),
        "bm25": None if hit.bm25 is None else rounded(hit.bm25),
        "lead": None if hit.lead is None else rounded(hit.lead),
        "text": hit.text,
        "field": hit.field,
        "start": hit.start,
        "end": hit.end,
        "snippet": hit.snippet,
        "marks": [list(mark) for mark in hit.marks],
        "scores": {name: rounded(score) for name, score in hit.scores.items()},
        "fields": dict(hit.document.fields),
        "metadata": dict(hit.document.metadata),
        "source": hit.document.source,
    }


def _columns(mode: SearchMode, rerank: str | None) -> list[tuple[str, str]]:
    """Return the heading and the score component for each column that is meaningful to show."""
    parts = [("rerank", "rerank")] if rerank is not None else []
    if mode is not SearchMode.LEXICAL:
        parts.append(("similarity", "semantic"))
    if mode is not SearchMode.SEMANTIC:
        parts.append(("BM25", "lexical"))
    return parts


def _print_table(query: str, hits: list[Hit], columns: list[tuple[str, str]], *, several: bool) -> None:
    if not hits:
        console().print(f"{clean(query)}: nothing found", style="dim")
        return
    table = new_table(clean(query), lines=True)
    table.add_column("#", justify="right")
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("id", style="dim", overflow="fold", max_width=20)
    table.add_column("text", ratio=1, overflow="fold")
    for hit in hits:
        scores = [f"{hit.scores[part]:.3f}" if part in hit.scores else "" for _, part in columns]
        table.add_row(str(hit.rank), *scores, clean(str(hit.id)), _shown(hit, several=several))
    console().print(table)
    leads = [hit.lead for hit in hits if hit.lead is not None]
    if leads and hits[0].rank == 1 and max(leads) < FITTING:
        console().print(
            "Nothing fits well: the best result is hardly nearer to the query than the rest of the index.",
            style="yellow",
        )


def _shown(hit: Hit, *, several: bool) -> Text:
    from rich.text import Text

    shown, at = Text(), 0
    for start, end in hit.marks:
        shown.append(clean(hit.snippet[at:start]))
        shown.append(clean(hit.snippet[start:end]), style="bold cyan")
        at = end
    shown.append(clean(hit.snippet[at:]))
    for line in _details(hit, several=several):
        shown.append(f"\n{line}", style="dim")
    return shown


def _details(hit: Hit, *, several: bool) -> list[str]:
    """Return lines with the other fields, the metadata and the source."""
    others = {name: text for name, text in hit.document.fields.items() if name != hit.field}
    values = {
        name: clean(str(value))
        for name, value in {**others, **hit.document.metadata}.items()
        if isinstance(value, str | int | float) and str(value)
    }
    if isinstance(headings := hit.document.metadata.get("headings"), list):
        values["headings"] = clean(" / ".join(map(str, headings)))
    where = [f"found in: {hit.field}"] if several else []
    source = [] if hit.document.source is None else [f"source: {clean(hit.document.source)}"]
    return detail_lines(values, before=where, after=source)
