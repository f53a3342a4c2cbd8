"""``munjang index``: documents that are stored in a file or a database, and searched."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.choices import DType
from munjang.cli.common.commands import Commands, command
from munjang.cli.common.errors import tell
from munjang.cli.common.hits import SearchOptions, open_index, search_index
from munjang.cli.common.options import AsJson, Bundle, Offline, Progress, argument, option
from munjang.cli.common.output import clean, joined, new_table, print_json, print_result, print_table
from munjang.cli.common.texts import ModelOpening, Opening, queries_of, refuse
from munjang.cli.index.build import IndexDtype, Location, Passages, add, build, read_id
from munjang.errors import InputError
from munjang.progress import tracked
from munjang.search.stores import open_store, redact_password

if TYPE_CHECKING:
    from munjang.search.documents import DocumentId
    from munjang.search.index import Index

__all__ = ["app"]


@command(
    'munjang index search faq.munjang "여권을 잃어버렸어요"',
    'munjang index search faq.munjang "lost my passport" --mode semantic --filter lang=en --json',
)
def search(
    location: Location,
    query: Annotated[str, argument("The query; - for each line of standard input.", "QUERY")],
    options: SearchOptions = SearchOptions(),
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Find documents of an index; the same as `munjang search QUERY --index INDEX`."""
    queries = queries_of(query)
    with open_index(location, opening.model, offline=opening.offline) as index:
        search_index(index, queries, options, offline=opening.offline, as_json=as_json)


@command("munjang index info faq.munjang")
def info(location: Location, as_json: AsJson = False) -> None:
    """Show the contents of an index, its size, and the settings that it was made with."""
    with open_index(location, None, offline=True) as index:
        values = index.info()
    if as_json:
        print_json(values)
        return
    table = new_table(clean(values["location"]), "what", "value")
    for name in ("documents", "passages", "vectors"):
        table.add_row(name, f"{values[name]:,}")
    for name, size in values["bytes"].items():
        table.add_row(clean(name), f"{size / 1e6:,.1f} MB")
    for name, value in {**values["settings"], **values["details"]}.items():
        if value is not None:
            table.add_row(clean(name), clean(_as_text(value)))
    print_table(table)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return joined(f"{name}: {text!r}" for name, text in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@command("munjang index check faq.munjang")
def check(location: Location, as_json: AsJson = False) -> None:
    """Look for damage in an index, and report what can be saved; exit with status 1 if there is damage.

    Every document is read and compared with what was written.
    """
    with open_index(location, None, offline=True) as index:
        problems = index.check()
        count = None if problems else len(index)  # may be unreadable in a damaged index
        name = index.location
    lines = [clean(problem) for problem in problems] or [f"{count:,} documents, no damage"]
    values = {"index": name, "documents": count, "problems": problems}
    print_result(as_json, values, *(f"{name}: {line}" for line in lines))
    if problems:
        raise typer.Exit(1)


@command("munjang index export faq.munjang documents.jsonl")
def export(
    location: Location,
    file: Annotated[str, argument("The file to write, JSON Lines.", "FILE")],
    as_json: AsJson = False,
) -> None:
    """Write the documents of an index, even of a damaged index, to a file.

    `munjang index add` reads them from its standard input. Documents that can't be read are left out and
    counted; the command then exits with status 1.
    """
    from munjang.checkpoints.files import replacing

    written = unreadable = 0
    store = open_store(location, create=False, readonly=True, busy_timeout=30)
    with closing(store), store.snapshot() as reader, replacing(Path(file)) as output:
        for row in reader.salvage():
            if row is None:
                unreadable += 1
                continue
            document, _ = row
            line = {"id": document.id, **document.fields, "metadata": document.metadata}
            output.write(f"{json.dumps(line, ensure_ascii=False)}\n".encode())
            written += 1
    name = redact_password(location)
    values = {"index": name, "file": file, "written": written, "unreadable": unreadable}
    print_result(as_json, values, f"{file}: {written:,} documents written, {unreadable:,} can't be read")
    if unreadable:
        raise typer.Exit(1)


@command(
    "munjang index migrate faq.munjang --model all-MiniLM-L6-v2",
    "munjang index migrate faq.munjang --analyzer hangul-bigrams --json",
)
def migrate(
    location: Location,
    passages: Annotated[Passages, Bundle(without=("embed",))] = Passages(),
    abandon: Annotated[bool, option("Delete a migration that was stopped, instead of resuming it.")] = False,
    model: Annotated[str | None, option("The new model.", "NAME", "-m", shown="the index's own")] = None,
    dtype: IndexDtype = None,
    offline: Offline = None,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Encode the documents of an index with another model, or with other passages or words.

    Searches use the old vectors and words until the migration is complete. The same command resumes a
    migration that was stopped.
    """
    if abandon:
        refuse("beside --abandon", "model", "dtype", "analyzer", "chunk_tokens", "chunk_overlap")
    with open_index(location, None, offline=offline, readonly=False) as index:
        encoded = 0
        if abandon:
            index.abandon_migration()
        else:
            encoded = _migrate(index, model, dtype, passages, progress)
        settings, name = index.settings, index.location
    values = {"index": name, "encoded": encoded, "model": settings.model, "analyzer": settings.analyzer}
    line = f"{name}: {encoded:,} documents encoded; {settings.model}, {settings.analyzer}"
    print_result(as_json, values, line)


def _migrate(
    index: Index, model: str | None, dtype: DType | None, passages: Passages, progress: bool | None
) -> int:
    try:
        with tracked(progress, max(1, len(index)), "Encoding") as advance:
            return index.migrate(model, dtype=dtype, advance=advance, **passages.arguments())
    except KeyboardInterrupt:
        tell("Stopped. The same command resumes the migration, and --abandon deletes it.")
        raise


@command("munjang index rebuild faq.munjang")
def rebuild(location: Location, as_json: AsJson = False) -> None:
    """Rebuild all derived data of an index, and free the space of deleted data.

    With the extra ann installed, an index of 500,000 vectors or more gets a graph for approximate search;
    `munjang index info` shows its recall. Useful after large changes, and when check finds errors in derived
    data. Searches are not blocked.
    """
    with open_index(location, None, offline=True, readonly=False) as index:
        before = sum(index.info()["bytes"].values())
        index.rebuild()
        after = sum(index.info()["bytes"].values())
        count, name = len(index), index.location
    values = {"index": name, "documents": count, "bytes_before": before, "bytes": after}
    line = f"{name}: {count:,} documents, {before / 1e6:,.1f} MB → {after / 1e6:,.1f} MB"
    print_result(as_json, values, line)


@command("munjang index delete faq.munjang ko-001 ko-002 --json")
def delete(
    location: Location,
    ids: Annotated[
        list[str],
        argument("Ids; a whole number is a number, unless the index has it only as a text.", "ID"),
    ],
    as_json: AsJson = False,
) -> None:
    """Delete documents from an index by their ids; unknown ids are an error."""
    with open_index(location, None, offline=True, readonly=False) as index:
        deleted = index.delete([_existing_id(index, text) for text in ids])
        count, name = len(index), index.location
    values = {"index": name, "deleted": deleted, "documents": count}
    print_result(as_json, values, f"{name}: {deleted:,} deleted, {count:,} documents")


def _existing_id(index: Index, text: str) -> DocumentId:
    for identifier in (read_id(text), text):
        if identifier in index:
            return identifier
    raise InputError(f"The index has no document with the id {text!r}.")


app = Commands(
    "munjang index build faq.munjang examples/everyday_questions.csv --field question --field answer",
    'munjang index search faq.munjang "여권을 잃어버렸어요"',
    help="Keep documents in an index, and find them by meaning and by word.",
    no_args_is_help=True,
)
app.add(None, build, add, search, info, check, export, migrate, rebuild, delete)
