"""``munjang index build`` and ``add``: documents put into an index."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.errors import tell
from munjang.cli.common.hits import open_index
from munjang.cli.common.options import (
    READING,
    AsJson,
    Encoding,
    Model,
    NoHeader,
    NoQuoting,
    Offline,
    Progress,
    examples,
)
from munjang.cli.common.output import print_json, write_line
from munjang.cli.common.texts import is_piped, lines_of_stdin, refuse, refuse_reading, usage_error
from munjang.cli.index.options import MAKING, Analysis, ChunkOverlap, ChunkTokens, Location
from munjang.data.files import DataFile
from munjang.errors import DataFileError
from munjang.progress import has_bar, tracked
from munjang.search.stores.locations import shown

if TYPE_CHECKING:
    from munjang.search.build import Built
    from munjang.search.documents import DocumentId
    from munjang.search.index import Index
    from munjang.search.prepare import Engine
    from munjang.search.sources import Source

__all__ = ["ADD_EXAMPLES", "BUILD_EXAMPLES", "add", "build", "read_id"]


class EngineName(StrEnum):
    """Where documents are encoded."""

    LOCAL = "local"
    RAY = "ray"


BUILD_EXAMPLES = examples(
    "munjang index build faq.munjang examples/everyday_questions.csv --field question --field answer",
    "munjang index build faq.munjang examples --prune --no-progress --json",
)


def build(
    location: Location,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, or a folder with all that is in it.")],
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="NAME[=COLUMN]",
            show_default="text, from the obvious column",
            help="A field of the documents and the column that holds it; repeat it.",
            rich_help_panel=READING,
        ),
    ] = None,
    embed: Annotated[
        list[str] | None,
        typer.Option(
            "--embed",
            metavar="NAME",
            show_default="all",
            help="A field that is searched by meaning; repeat it.",
            rich_help_panel=MAKING,
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            show_default="id, or made of the content",
            help="The column that holds the ids.",
            rich_help_panel=READING,
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata",
            metavar="COLUMN",
            show_default="all others",
            help="A column to keep for filters and to show; repeat it.",
            rich_help_panel=READING,
        ),
    ] = None,
    lines: Annotated[
        bool,
        typer.Option("--lines", help="In text files, each line is a document.", rich_help_panel=READING),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            show_default="the file's or folder's",
            help="What documents say that they come from.",
            rich_help_panel=READING,
        ),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete documents that are gone from PATH.")] = False,
    engine: Annotated[
        EngineName, typer.Option("--engine", help="Encode here, or on a Ray cluster.")
    ] = EngineName.LOCAL,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            show_default="one per CPU slot",
            help="Ray actors to encode with.",
        ),
    ] = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    analyzer: Analysis = None,
    chunk_tokens: ChunkTokens = None,
    chunk_overlap: ChunkOverlap = None,
    model: Model = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Put the documents of a file or folder into an index, which is made if it is not there.

    Rows of CSV, TSV, JSON Lines and parquet, sections of Markdown and whole text files are one document each;
    long ones are cut by sentences. Only what is new or has changed is encoded, so that a build that was
    stopped goes on when the same command is given again.
    """
    if workers is not None and engine is EngineName.LOCAL:
        raise usage_error("--workers goes with --engine ray.", "--workers")
    from munjang.search.index import Index
    from munjang.search.sources import Source

    columns = dict(_name_and_column(one) for one in field or ())
    source = Source(
        path=path,
        columns=columns if any("=" in one for one in field or ()) or _is_table(path) else {},
        id=id_column,
        metadata=metadata,
        lines=lines,
        encoding=encoding,
        quoting=not no_quoting,
        header=not no_header,
        name=name,
    )
    source.check()
    if not Path(path).is_dir():
        refuse_reading(path)
        if source.reads_rows(path):
            refuse("on a file of rows", "lines")
    if source.columns and _is_table(path):
        next(iter(source.documents(list(columns))), None)  # no index is made for columns that are not there
    with Index.open(
        location,
        model=model,
        fields=list(columns) or None,
        embedded=embed,
        analyzer=analyzer,
        chunk_tokens=chunk_tokens,
        chunk_overlap=chunk_overlap,
        offline=offline or None,
    ) as index:
        built = _build(index, source, prune=prune, engine=_engine(engine, workers), progress=progress)
        documents = len(index)
    _print_built(location, built, documents, as_json)


def _is_table(path: str) -> bool:
    """Return whether this is one file with columns, whose fields must be there; a folder may mix files."""
    return not Path(path).is_dir() and DataFile(path=path).has_columns


def _name_and_column(given: str) -> tuple[str, str]:
    name, _, column = given.partition("=")
    return name, column or name


def _engine(name: EngineName, workers: int | None) -> Engine | None:
    if name is EngineName.LOCAL:
        return None
    from munjang.search.ray import RayEngine

    return RayEngine(workers)


def _build(
    index: Index, source: Source, *, prune: bool, engine: Engine | None, progress: bool | None
) -> Built:
    try:
        total = 0
        if progress or has_bar(progress):
            total = sum(1 for _ in source.documents(index.settings.fields))
        with tracked(progress if total else False, total, "Indexing") as advance:
            return index.build(source, prune=prune, engine=engine, advance=advance)
    except KeyboardInterrupt:
        tell(f"Stopped with {len(index):,} documents in the index. The same command resumes the build.")
        raise


def _print_built(location: str, built: Built, documents: int, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "index": shown(location),
                "documents": documents,
                "read": built.read,
                "written": built.written,
                "unchanged": built.unchanged,
                "deleted": built.deleted,
                "skipped": dict(built.skipped),
            }
        )
        return
    done = [f"{built.written:,} written", f"{built.unchanged:,} unchanged", f"{built.deleted:,} deleted"]
    skipped = [f"{count:,} {reason}" for reason, count in built.skipped.items()]
    write_line(f"{shown(location)}: {documents:,} documents ({', '.join(done)})")
    if skipped:
        write_line(f"left out of the folder: {', '.join(skipped)}")


ADD_EXAMPLES = examples(
    'munjang index add faq.munjang "도서관은 몇 시에 닫아요?" --id 900 --metadata \'{"lang": "ko"}\'',
    "munjang index add faq.munjang --replace < documents.jsonl",
)


def add(
    location: Location,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts of the first field; without any, standard input."),
    ] = None,
    number: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", show_default="made of the text", help="The id, for one text."),
    ] = None,
    metadata: Annotated[
        str | None, typer.Option("--metadata", metavar="JSON", help="An object to keep with the texts.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace documents that are there already.")
    ] = False,
    model: Model = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Put single documents into an index that is there.

    Each line of standard input is a document as JSON, such as {"id": 7, "text": "...", "metadata": {...}}
    with the index's own fields, or a text.
    """
    if not text and not is_piped():
        raise usage_error("Give texts, or pipe documents in.", "TEXT")
    if len(text or ()) != 1:
        refuse("without exactly one TEXT", "number", "metadata")
    with open_index(location, model, offline=offline, readonly=False) as index:
        documents = _given(index, text, number, metadata) if text else _of_stdin()
        with tracked(progress, len(documents), "Adding") as advance:
            done = (index.upsert if replace else index.add)(documents, advance=advance)
        count = len(index)
    if as_json:
        print_json({"index": shown(location), "written": done, "documents": count})
    else:
        write_line(f"{shown(location)}: {done:,} written, {count:,} documents")


def _given(index: Index, texts: list[str], number: str | None, metadata: str | None) -> list[Any]:
    if number is None and metadata is None:
        return list(texts)
    from munjang.search.documents import content_id

    kept = _json(metadata or "{}", "--metadata")
    identifier = content_id(texts[0]) if number is None else read_id(number)
    return [{"id": identifier, index.settings.fields[0]: texts[0], "metadata": kept}]


def _of_stdin() -> list[Any]:
    lines = [line for line in lines_of_stdin() if line.strip()]
    return [
        _json(line, f"standard input, line {place}") if line.lstrip().startswith("{") else line
        for place, line in enumerate(lines, 1)
    ]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataFileError(f"{where}: not JSON: {error}.") from None


def read_id(given: str) -> DocumentId:
    """Read an id: a whole number is one, a quoted text a text, and so is anything else."""
    try:
        read = json.loads(given)
    except ValueError:
        return given
    return read if isinstance(read, int | str) and not isinstance(read, bool) else given
