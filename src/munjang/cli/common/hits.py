"""Search of an index from the command line: options, parsing of filters, and output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from munjang.choices import Mode
from munjang.cli.common.options import option
from munjang.cli.common.output import clean, console, detail_lines, new_table, print_table, text_cell
from munjang.cli.common.texts import cross_encoder, print_answers
from munjang.errors import InputError

if TYPE_CHECKING:
    from munjang.search.documents import Hit
    from munjang.search.index import Index

_SEARCH = "How an index is searched"
_CONDITION = re.compile(r"\s*([^=<>!\s]+)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_OPERATORS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}
_FILTER = "A condition on metadata: lang=ko, lang!=en, year>=2020, or JSON; may be repeated, all must hold."
_MIN_SCORE = (
    "Leave out results with a lower score: similarity or BM25 by --mode, the cross-encoder's with --rerank; "
    "a hybrid score is relative to the best result."
)


@dataclass(frozen=True)
class SearchOptions:
    """Options: how an index is searched, and how many results are shown."""

    top: Annotated[int, option("Number of results.", "K", "-k", min=1)] = 5
    mode: Annotated[Mode, option("By meaning, by word, or by both.", panel=_SEARCH)] = "hybrid"
    filters: Annotated[list[str] | None, option(_FILTER, "CONDITION", "--filter", panel=_SEARCH)] = None
    offset: Annotated[int, option("Skip the first N results.", "N", min=0, panel=_SEARCH)] = 0
    min_score: Annotated[float | None, option(_MIN_SCORE, "S", panel=_SEARCH)] = None
    rerank: Annotated[
        str | None, option("A cross-encoder that reorders the best results.", "NAME", panel=_SEARCH)
    ] = None


def read_filters(texts: list[str] | None) -> dict[str, Any] | None:
    """Parse ``lang=ko``, ``year>=2020`` or a JSON object; raise `InputError` for anything else."""
    conditions: dict[str, dict[str, Any]] = {}
    for text in texts or ():
        for name, operator, value in _conditions(text):
            if operator in conditions.setdefault(name, {}):
                raise InputError(
                    f"The filter {text!r:.80} repeats the condition of an earlier one on '{name}', and "
                    f"all must hold. For one of several values write JSON: {{{json.dumps(name)}: [1, 2]}}."
                )
            conditions[name][operator] = value
    return conditions or None


def _conditions(text: str) -> list[tuple[str, str, Any]]:
    if text.lstrip().startswith("{"):
        try:
            conditions = json.loads(text)
        except ValueError as error:
            raise InputError(f"The filter {text!r:.80} is not JSON: {error}.") from None
        return [each for name, value in conditions.items() for each in _of_json(name, value)]
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(f"The filter {text!r:.80} is not like lang=ko, year>=2020 or a JSON object.")
    name, sign, value = match.groups()
    plain = _plain(value)
    if sign in _OPERATORS:
        return [(name, _OPERATORS[sign], plain)]
    # A value that looks like a number may be stored in the metadata as a string.
    values = [plain] if plain == value else [plain, value]
    return [(name, "not_in" if sign == "!=" else "in", values)]


def _of_json(name: str, value: Any) -> list[tuple[str, str, Any]]:
    if isinstance(value, dict):
        return [(name, operator, operand) for operator, operand in value.items()]
    return [(name, "in" if isinstance(value, list) else "eq", value)]


def _plain(value: str) -> Any:
    """Parse a number, true, false, null or a quoted string as JSON; return anything else as a string."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return value if isinstance(parsed, dict | list) else parsed


def open_index(location: str, model: str | None, *, offline: bool | None, readonly: bool = True) -> Index:
    """Open an existing index."""
    from munjang.search.index import Index

    return Index.open(location, model=model, create=False, readonly=readonly, offline=offline)


def search_index(
    index: Index, queries: list[str], options: SearchOptions, *, offline: bool | None, as_json: bool
) -> None:
    """Search an index and print the hits."""
    conditions = read_filters(options.filters)
    reranker = None if options.rerank is None else cross_encoder(options.rerank, offline=offline)

    def find(some: Sequence[str]) -> list[list[Hit]]:
        return index.search_batch(
            some,
            mode=options.mode,
            limit=options.top,
            offset=options.offset,
            filter=conditions,
            min_score=options.min_score,
            rerank=reranker,
        )

    print_answers(
        queries,
        find,
        as_json,
        lambda hits: [hit.to_dict() for hit in hits],
        lambda query, hits: _print_hits(index, query, hits, _columns(options)),
    )


def _columns(options: SearchOptions) -> list[tuple[str, str]]:
    """Return the heading and the score component for each column that is meaningful to show."""
    parts = [("rerank", "rerank")] if options.rerank is not None else []
    if options.mode != "lexical":
        parts.append(("similarity", "semantic"))
    if options.mode != "semantic":
        parts.append(("BM25", "lexical"))
    return parts


def _print_hits(index: Index, query: str, hits: list[Hit], columns: list[tuple[str, str]]) -> None:
    if not hits:
        reason = "" if len(index) else "; the index has 0 documents"
        console().print(f"{clean(query)}: nothing found{reason}", style="dim")
        return
    several = len(index.settings.fields) > 1
    table = new_table(clean(query), ">#", *(f">{heading}" for heading, _ in columns), lines=True)
    table.add_column("id", style="dim", overflow="fold", max_width=20)
    table.add_column("text", overflow="fold")
    for hit in hits:
        scores = [f"{hit.scores[part]:.3f}" if part in hit.scores else "" for _, part in columns]
        text = text_cell(hit.snippet, _details(hit, several=several), hit.marks)
        table.add_row(str(hit.rank), *scores, clean(str(hit.id)), text)
    print_table(table)
    from munjang.search.query import FITTING

    leads = [hit.lead for hit in hits if hit.lead is not None]
    if leads and hits[0].rank == 1 and max(leads) < FITTING:
        console().print(
            "Nothing fits well: the best result is hardly more similar than the rest of the index.",
            style="yellow",
        )


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
