"""``munjang index``: documents that are kept in a file or a database, and found again."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.commands import Commands, described
from munjang.cli.common.errors import tell
from munjang.cli.common.hits import SearchOptions, open_index, search_index
from munjang.cli.common.options import (
    AsJson,
    Model,
    Offline,
    Progress,
    examples,
)
from munjang.cli.common.output import clean, console, joined, new_table, print_json, write_line
from munjang.cli.common.texts import queries_of, refuse
from munjang.cli.index.build import ADD_EXAMPLES, BUILD_EXAMPLES, add, build, read_id
from munjang.cli.index.options import Analysis, ChunkOverlap, ChunkTokens, Location
from munjang.errors import InputError
from munjang.progress import tracked
from munjang.search.stores.locations import open_store, shown

if TYPE_CHECKING:
    from munjang.search.documents import DocumentId
    from munjang.search.index import Index

__all__ = ["app"]

app = Commands(
    help="Keep documents in an index, and find them by meaning and by word.",
    no_args_is_help=True,
    epilog=examples(
        "munjang index build faq.munjang examples/everyday_questions.csv --field question --field answer",
        'munjang index search faq.munjang "여권을 잃어버렸어요"',
    ),
)

app.command("build", help=described(build), epilog=BUILD_EXAMPLES)(build)
app.command("add", help=described(add), epilog=ADD_EXAMPLES)(add)


@app.command(
    "search",
    epilog=examples(
        'munjang index search faq.munjang "여권을 잃어버렸어요"',
        'munjang index search faq.munjang "lost my passport" --mode semantic --filter lang=en --json',
    ),
)
def search(
    location: Location,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="What to look for; - for each line of standard input.")
    ],
    options: SearchOptions = SearchOptions(),
    model: Model = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Find documents of an index; the same as `munjang search QUERY --index INDEX`."""
    queries = queries_of(query)
    with open_index(location, model, offline=offline) as index:
        search_index(index, queries, options, offline=offline, as_json=as_json)


@app.command("info", epilog=examples("munjang index info faq.munjang"))
def info(location: Location, as_json: AsJson = False) -> None:
    """Say what is in an index, how large it is, and what it was made with."""
    with open_index(location, None, offline=True) as index:
        found = index.info()
    if as_json:
        print_json(found)
        return
    table = new_table(clean(shown(location)))
    table.add_column("what")
    table.add_column("value", ratio=1)
    for name in ("documents", "passages", "vectors"):
        table.add_row(name, f"{found[name]:,}")
    for name, size in found["bytes"].items():
        table.add_row(clean(name), f"{size / 1e6:,.1f} MB")
    for name, value in {**found["settings"], **found["details"]}.items():
        if value is not None:
            table.add_row(clean(name), clean(_value(value)))
    console().print(table)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return joined(f"{name}: {text!r}" for name, text in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@app.command("check", epilog=examples("munjang index check faq.munjang"))
def check(location: Location, as_json: AsJson = False) -> None:
    """Look for damage in an index, and report what can be saved; ends with 1 if there is any.

    Every document is read and compared with what was written.
    """
    with open_index(location, None, offline=True) as index:
        problems = index.check()
        count = None if problems else len(index)  # which may not be readable
    if as_json:
        print_json({"index": shown(location), "documents": count, "problems": problems})
    elif not problems:
        write_line(f"{shown(location)}: {count:,} documents, all well")
    for problem in problems if not as_json else ():
        write_line(f"{shown(location)}: {clean(problem)}")
    if problems:
        raise typer.Exit(1)


@app.command("export", epilog=examples("munjang index export faq.munjang documents.jsonl"))
def export(
    location: Location,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write, JSON Lines.")],
    as_json: AsJson = False,
) -> None:
    """Write the documents of an index, also of one that is damaged, to a file.

    `munjang index add` reads them from its standard input. Documents that can't be read are left out and
    counted; the command then ends with 1.
    """
    from munjang.checkpoints.files import replacing

    written = lost = 0
    store = open_store(location, create=False, readonly=True, busy_timeout=30)
    with closing(store), store.snapshot() as reader, replacing(Path(file)) as output:
        for found in reader.salvage():
            if found is None:
                lost += 1
                continue
            document = found[0]
            line = {"id": document.id, **document.fields, "metadata": document.metadata}
            output.write(f"{json.dumps(line, ensure_ascii=False)}\n".encode())
            written += 1
    if as_json:
        print_json({"index": shown(location), "file": file, "written": written, "unreadable": lost})
    else:
        write_line(f"{file}: {written:,} documents written, {lost:,} can't be read")
    if lost:
        raise typer.Exit(1)


@app.command(
    "migrate",
    epilog=examples(
        "munjang index migrate faq.munjang --model all-MiniLM-L6-v2",
        "munjang index migrate faq.munjang --analyzer hangul-bigrams --json",
    ),
)
def migrate(
    location: Location,
    analyzer: Analysis = None,
    chunk_tokens: ChunkTokens = None,
    chunk_overlap: ChunkOverlap = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Drop a move that was stopped, instead of going on with it.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME", show_default="the index's own", help="The model to move to."
        ),
    ] = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Encode the documents of an index with another model, or cut or analyse them otherwise.

    Searches see the old until all is ready. What was stopped goes on when the same command is given again.
    """
    if abandon:
        refuse("beside --abandon", "model", "analyzer", "chunk_tokens", "chunk_overlap")
    with open_index(location, None, offline=offline, readonly=False) as index:
        if abandon:
            index.abandon_migration()
            done = 0
        else:
            done = _migrate(index, model, analyzer, chunk_tokens, chunk_overlap, progress)
        settings = index.settings
    if as_json:
        made_with = {"model": settings.model, "analyzer": settings.analyzer}
        print_json({"index": shown(location), "encoded": done, **made_with})
    else:
        write_line(f"{shown(location)}: {done:,} documents encoded; {settings.model}, {settings.analyzer}")


def _migrate(
    index: Index,
    model: str | None,
    analyzer: str | None,
    chunk_tokens: int | None,
    chunk_overlap: int | None,
    progress: bool | None,
) -> int:
    try:
        with tracked(progress, max(1, len(index)), "Encoding") as advance:
            return index.migrate(
                model,
                analyzer=analyzer,
                chunk_tokens=chunk_tokens,
                chunk_overlap=chunk_overlap,
                advance=advance,
            )
    except KeyboardInterrupt:
        tell("Stopped. The same command goes on, and --abandon drops what was prepared.")
        raise


def rebuild(location: Location, as_json: AsJson = False) -> None:
    """Make everything that is derived anew, and give back the space of what was deleted.

    With the extra ann installed, an index of 500,000 vectors or more gets a graph for approximate search;
    `munjang index info` shows its recall. Worth it after large changes, and when check finds something wrong
    with what is derived. Searches go on meanwhile.
    """
    with open_index(location, None, offline=True, readonly=False) as index:
        before = sum(index.info()["bytes"].values())
        index.rebuild()
        after = sum(index.info()["bytes"].values())
        count = len(index)
    if as_json:
        print_json({"index": shown(location), "documents": count, "bytes_before": before, "bytes": after})
    else:
        write_line(f"{shown(location)}: {count:,} documents, {before / 1e6:,.1f} MB → {after / 1e6:,.1f} MB")


app.command("rebuild", help=described(rebuild), epilog=examples("munjang index rebuild faq.munjang"))(rebuild)


@app.command("delete", epilog=examples("munjang index delete faq.munjang ko-001 ko-002 --json"))
def delete(
    location: Location,
    ids: Annotated[
        list[str],
        typer.Argument(metavar="ID", help="Ids; a whole number is a number, unless only a text is there."),
    ],
    as_json: AsJson = False,
) -> None:
    """Take documents out of an index, by their ids; ids that are not there are an error."""
    with open_index(location, None, offline=True, readonly=False) as index:
        chosen = [_there(index, one) for one in ids]
        done = index.delete(chosen)
        count = len(index)
    if as_json:
        print_json({"index": shown(location), "deleted": done, "documents": count})
    else:
        write_line(f"{shown(location)}: {done:,} deleted, {count:,} documents")


def _there(index: Index, given: str) -> DocumentId:
    found = next((one for one in (read_id(given), given) if one in index), None)
    if found is None:
        raise InputError(f"The index has no document with the id {given!r}.")
    return found
