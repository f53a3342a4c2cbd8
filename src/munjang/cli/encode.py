"""``munjang encode``: texts to vectors, shown or written to a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.errors import tell
from munjang.cli.common.options import (
    DEFAULT_MODEL,
    AsJson,
    Column,
    Encoding,
    Model,
    NoHeader,
    NoQuoting,
    Offline,
    Pooling,
    Progress,
    Prompt,
    PromptName,
    examples,
)
from munjang.cli.common.output import clean, console, new_table, print_json, write_line
from munjang.cli.common.texts import data_file, is_piped, refuse, sentence_model, usage_error
from munjang.data.files import STDIN
from munjang.progress import tracked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from munjang.bulk.encoding import BulkEncoding, BulkOptions
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["EXAMPLES", "encode"]

EXAMPLES = examples(
    'munjang encode "오늘은 날씨가 참 좋네요." "It is a fine day." --json',
    "munjang encode --file examples/everyday_questions.csv --prompt-name document --output questions.npy",
    "munjang encode -f examples/everyday_questions.csv -o small.parquet --normalize --precision int8",
)
_SHOWN = 4  # numbers of a vector in the table


class Precision(StrEnum):
    """The storage type of a vector's numbers."""

    FLOAT32 = "float32"
    INT8 = "int8"
    UINT8 = "uint8"
    BINARY = "binary"
    UBINARY = "ubinary"


def encode(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts; - for the lines of standard input."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE", help="A file of texts; - for standard input."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Where to write: a name with .npy, .jsonl or .parquet."
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard what an earlier run that was stopped has left.")
    ] = False,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale each vector to length 1.")] = False,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision", metavar="KIND", help=f"What a number is stored as: {', '.join(Precision)}."
        ),
    ] = Precision.FLOAT32,
    truncate_dim: Annotated[
        int | None,
        typer.Option(
            "--truncate-dim",
            metavar="D",
            min=1,
            show_default="all",
            help="Keep only the first D numbers of each vector.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            show_default="what suits the machine",
            help="How many texts of 32 tokens go into one request, about.",
        ),
    ] = None,
    column: Column = None,
    encoding: Encoding = "utf-8",
    no_quoting: NoQuoting = False,
    no_header: NoHeader = False,
    model: Model = None,
    offline: Offline = False,
    pooling: Pooling = None,
    prompt_name: PromptName = None,
    prompt: Prompt = None,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Turn texts into vectors: show those of a few, or write those of a file of any length.

    Row k of the output belongs to row k of the file, empty ones included. What was killed goes on when the
    same command is given again, and the finished file appears in one step. Memory does not grow with the
    file.
    """
    if texts and file is not None:
        raise usage_error("Give texts or --file, not both.", "TEXT")
    if output is not None and texts and texts != [STDIN]:
        raise usage_error("--output goes with --file.", "--output")
    if not texts and file is None and not is_piped():
        raise usage_error("Give some texts or --file.", "TEXT")
    if prompt is not None:
        refuse("beside --prompt", "prompt_name")
    if texts and texts != [STDIN]:
        refuse("on texts of the command line", "column", "encoding", "no_quoting", "no_header")
    if output is None:
        refuse("without --output", "restart", "progress")
    from munjang.bulk.encoding import BulkEncoding, BulkOptions
    from munjang.bulk.writers import json_numbers

    options = BulkOptions(
        prompt_name=prompt_name,
        prompt=prompt,
        normalize=normalize,
        truncate_dim=truncate_dim,
        precision=precision.value,
        batch_size=batch_size,
    )
    source = data_file(file or STDIN, column, encoding, no_quoting=no_quoting, no_header=no_header)
    if output is not None:
        work = BulkEncoding(source, output, options, restart=restart)
        try:
            with work:
                encoder = sentence_model(model, offline=offline, pooling=pooling)
                _make_file(work, encoder, DEFAULT_MODEL if model is None else model, progress)
        except KeyboardInterrupt:
            tell(_resume_hint(work))
            raise
        _print_made(output, work, as_json)
        return
    given = texts if texts and texts != [STDIN] else [row.text for row in source]
    vectors = _vectors(sentence_model(model, offline=offline, pooling=pooling), given, options)
    if as_json:
        write_line(f"[{', '.join(json_numbers(vector) for vector in vectors)}]")
    else:
        _print_table(given, vectors)


def _make_file(work: BulkEncoding, encoder: SentenceTransformer, name: str, progress: bool | None) -> None:
    done = work.start(encoder, name)
    if done:
        tell(f"Resuming at row {done:,} of {work.rows:,}.")
    with tracked(progress, work.rows, "Encoding") as advance:
        advance(done)
        work.run(advance)
    with tracked(progress, work.rows, "Writing") as advance:
        work.finish(advance)


def _resume_hint(work: BulkEncoding) -> str:
    if work.done:
        return f"Stopped. The same command resumes at row {work.done:,} of {work.rows:,}."
    return "Stopped before any row was saved. The same command starts at the first row."


def _print_made(output: Path, work: BulkEncoding, as_json: bool) -> None:
    if as_json:
        print_json({"output": str(output), "rows": work.rows, "dimension": work.width})
    else:
        write_line(f"{output}: {work.rows:,} vectors of {work.width} numbers")


def _vectors(encoder: SentenceTransformer, texts: list[str], options: BulkOptions) -> NDArray[Any]:
    vectors: NDArray[Any] = encoder.encode(
        texts,
        prompt_name=options.prompt_name,
        prompt=options.prompt,
        batch_size=options.batch_size,
        precision=options.precision,
        normalize_embeddings=options.normalize,
        truncate_dim=options.truncate_dim,
    )
    return vectors


def _print_table(texts: list[str], vectors: NDArray[Any]) -> None:
    table = new_table()
    table.add_column("#", justify="right")
    table.add_column("text", overflow="fold")
    table.add_column("vector", no_wrap=True)
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        some = "  ".join(
            f"{value:7.4f}" if vector.dtype.kind == "f" else f"{value:4d}" for value in vector[:_SHOWN]
        )
        table.add_row(str(number), clean(text), f"{some}  ...")
    out = console()
    out.print(table)
    out.print(
        f"{vectors.shape[1]} numbers each; --json prints all of them, --output writes a file", style="dim"
    )
