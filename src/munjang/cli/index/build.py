"""``munjang index build`` and ``add``: write documents to an index, and the settings of a new index."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from munjang.choices import DType
from munjang.cli.common.commands import command
from munjang.cli.common.errors import tell
from munjang.cli.common.hits import open_index
from munjang.cli.common.options import DTYPE_HELP, MODEL, READING, AsJson, Progress, argument, option
from munjang.cli.common.output import print_result
from munjang.cli.common.texts import (
    ModelOpening,
    Opening,
    Reading,
    TableReading,
    is_piped,
    lines_of_stdin,
    refuse,
    refuse_reading,
    usage_error,
)
from munjang.data.files import DataFile
from munjang.errors import DataFileError
from munjang.progress import has_bar, tracked

if TYPE_CHECKING:
    from munjang.search.documents import DocumentId
    from munjang.search.index import Built, Index
    from munjang.search.prepare import Engine
    from munjang.search.sources import Source

Location = Annotated[str, argument("A file, or postgresql://user:password@host/database.", "INDEX")]
IndexDtype = Annotated[
    DType | None,
    option(DTYPE_HELP, "--dtype", shown="float32, or the index's own", panel=MODEL),
]


@dataclass(frozen=True)
class Passages:
    """Options: how texts are split into passages and words, and which fields are embedded."""

    panel: ClassVar = "How a new index is made"
    embed: Annotated[
        list[str] | None,
        option("A field that is searched by meaning; may be repeated.", "NAME", shown="all"),
    ] = None
    analyzer: Annotated[
        str | None,
        option(
            "How texts are split into words: kiwi or hangul-bigrams.", "NAME", shown="kiwi if it is installed"
        ),
    ] = None
    chunk_tokens: Annotated[
        int | None,
        option("Maximum tokens of a passage of a text.", "N", shown="256 or what the model reads", min=1),
    ] = None
    chunk_overlap: Annotated[
        int | None,
        option(
            "Maximum tokens that a passage shares with the previous passage.", "N", shown="an eighth", min=0
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Index.migrate`."""
        return {
            "analyzer": self.analyzer,
            "chunk_tokens": self.chunk_tokens,
            "chunk_overlap": self.chunk_overlap,
        }


@dataclass(frozen=True)
class Documents:
    """Options: the documents of a file or folder."""

    panel: ClassVar = READING
    field: Annotated[
        list[str] | None,
        option(
            "A field of the documents and the column that holds it; may be repeated.",
            "NAME[=COLUMN]",
            shown="text, from the obvious column",
        ),
    ] = None
    id: Annotated[
        str | None, option("The column of the ids.", "COLUMN", shown="id, or made of the content")
    ] = None
    metadata: Annotated[
        list[str] | None,
        option("A column to keep for filters and display; may be repeated.", "COLUMN", shown="all others"),
    ] = None
    lines: Annotated[bool, option("In text files, each line is a document.")] = False
    name: Annotated[
        str | None, option("The recorded source of the documents.", "NAME", shown="the file's or folder's")
    ] = None

    @property
    def columns(self) -> dict[str, str]:
        """The column of each field."""
        pairs = (text.partition("=") for text in self.field or ())
        return {name: column or name for name, _, column in pairs}

    def source(self, path: str, reading: Reading) -> Source:
        """Return the source, checked so that no index is created for a source that can't be read."""
        from munjang.search.sources import Source

        is_file = not Path(path).is_dir()
        is_table = is_file and DataFile(path=path).has_columns  # a folder may mix files
        source = Source(
            path=path,
            columns=self.columns if is_table or any("=" in text for text in self.field or ()) else {},
            id=self.id,
            metadata=self.metadata,
            lines=self.lines,
            encoding=reading.encoding,
            quoting=reading.quoting,
            header=not reading.no_header,
            name=self.name,
        )
        source.check()
        if is_file:
            refuse_reading(path)
            if source.reads_rows(path):
                refuse("on a file of rows", "lines")
        if source.columns and is_table:
            next(iter(source.documents(list(self.columns))), None)  # raises errors for missing columns
        return source


@command(
    "munjang index build faq.munjang examples/everyday_questions.csv --field question --field answer",
    "munjang index build faq.munjang examples --prune --no-progress --json",
)
def build(
    location: Location,
    path: Annotated[str, argument("A file, or a folder with all files in it.", "PATH")],
    documents: Documents = Documents(),
    passages: Passages = Passages(),
    reading: TableReading = Reading(),
    prune: Annotated[bool, option("Delete documents that are no longer in PATH.")] = False,
    engine: Annotated[Literal["local", "ray"], option("Encode here, or on a Ray cluster.")] = "local",
    workers: Annotated[
        int | None,
        option("Number of Ray actors that encode.", "N", shown="one per CPU slot", min=1),
    ] = None,
    opening: ModelOpening = Opening(),
    dtype: IndexDtype = None,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Add the documents of a file or folder to an index; the index is created if it does not exist.

    Rows of CSV, TSV, JSON Lines and parquet, sections of Markdown and whole text files are one document each;
    long documents are split at sentences. Only new and changed documents are encoded, so that the same
    command resumes a build that was stopped.
    """
    if workers is not None and engine == "local":
        raise usage_error("--workers needs --engine ray.", "--workers")
    from munjang.search.index import Index

    source = documents.source(path, reading)
    with Index.open(
        location,
        model=opening.model,
        dtype=dtype,
        fields=list(documents.columns) or None,
        embedded=passages.embed,
        offline=opening.offline,
        **passages.arguments(),
    ) as index:
        workers_engine = _ray_engine(workers) if engine == "ray" else None
        built = _build(index, source, prune=prune, engine=workers_engine, progress=progress)
        count, name = len(index), index.location
    done = f"{built.written:,} written, {built.unchanged:,} unchanged, {built.deleted:,} deleted"
    lines = [f"{name}: {count:,} documents ({done})"]
    if built.skipped:
        skipped = ", ".join(f"{number:,} {reason}" for reason, number in built.skipped.items())
        lines.append(f"left out of the folder: {skipped}")
    print_result(as_json, {"index": name, "documents": count, **asdict(built)}, *lines)


def _ray_engine(workers: int | None) -> Engine:
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


@command(
    'munjang index add faq.munjang "도서관은 몇 시에 닫아요?" --id 900 --metadata \'{"lang": "ko"}\'',
    "munjang index add faq.munjang --replace < documents.jsonl",
)
def add(
    location: Location,
    text: Annotated[
        list[str] | None, argument("Texts of the first field; without any, standard input.", "TEXT")
    ] = None,
    id: Annotated[  # noqa: A002 -- named like its option
        str | None, option("The id, for one text.", "ID", shown="made of the text")
    ] = None,
    metadata: Annotated[str | None, option("An object to store with the text.", "JSON")] = None,
    replace: Annotated[bool, option("Replace documents that exist already.")] = False,
    opening: ModelOpening = Opening(),
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Add single documents to an existing index.

    Each line of standard input is a document as JSON, such as {"id": 7, "text": "...", "metadata": {...}}
    with the index's own fields, or a text.
    """
    if not text and not is_piped():
        raise usage_error("Write texts, or pipe documents in.", "TEXT")
    if len(text or ()) != 1:
        refuse("without exactly one TEXT", "id", "metadata")
    with open_index(location, opening.model, offline=opening.offline, readonly=False) as index:
        documents = _from_arguments(index, text, id, metadata) if text else _from_stdin()
        with tracked(progress, len(documents), "Adding") as advance:
            written = (index.upsert if replace else index.add)(documents, advance=advance)
        count, name = len(index), index.location
    values = {"index": name, "written": written, "documents": count}
    print_result(as_json, values, f"{name}: {written:,} written, {count:,} documents")


def _from_arguments(index: Index, texts: list[str], id_: str | None, metadata: str | None) -> list[Any]:
    if id_ is None and metadata is None:
        return list(texts)
    from munjang.search.documents import content_id

    identifier = content_id(texts[0]) if id_ is None else read_id(id_)
    values = _json(metadata or "{}", "--metadata")
    return [{"id": identifier, index.settings.fields[0]: texts[0], "metadata": values}]


def _from_stdin() -> list[Any]:
    lines = [line for line in lines_of_stdin() if line.strip()]
    return [
        _json(line, f"standard input, line {number}") if line.lstrip().startswith("{") else line
        for number, line in enumerate(lines, 1)
    ]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataFileError(f"{where}: not JSON: {error}.") from None


def read_id(text: str) -> DocumentId:
    """Return an id: an integer for an integer, a string for a quoted string and for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | str) and not isinstance(value, bool) else text
