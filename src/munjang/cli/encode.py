"""``munjang encode``: texts to vectors, shown or written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from munjang.choices import Precision
from munjang.cli.common.commands import command
from munjang.cli.common.errors import tell
from munjang.cli.common.options import AsJson, Progress, argument, option
from munjang.cli.common.output import clean, new_table, print_result, print_table, vector_cell, write_line
from munjang.cli.common.texts import Opening, Prompting, Reading, is_piped, refuse, usage_error
from munjang.data.files import STDIN
from munjang.errors import InputError
from munjang.progress import tracked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from munjang.bulk.encoding import BulkEncoding
    from munjang.sentence.transformer import SentenceTransformer

_PRECISION = f"The type of the stored numbers: {', '.join(get_args(Precision))}."


@command(
    'munjang encode "오늘은 날씨가 참 좋네요." "It is a fine day." --json',
    "munjang encode --file examples/everyday_questions.csv --prompt-name document --output questions.npy",
    "munjang encode -f examples/everyday_questions.csv -o small.parquet --normalize --precision int8",
)
def encode(
    texts: Annotated[list[str] | None, argument("Texts; - for the lines of standard input.", "TEXT")] = None,
    file: Annotated[str | None, option("A file of texts; - for standard input.", "FILE", "-f")] = None,
    output: Annotated[
        Path | None, option("The file to write: a name with .npy, .jsonl or .parquet.", "OUT", "-o")
    ] = None,
    restart: Annotated[bool, option("Discard the saved progress of a stopped run.")] = False,
    normalize: Annotated[bool, option("Scale each vector to length 1.")] = False,
    precision: Annotated[Precision, option(_PRECISION, "KIND")] = "float32",
    truncate_dim: Annotated[
        int | None, option("Keep only the first D numbers of each vector.", "D", min=1, shown="all")
    ] = None,
    batch_size: Annotated[
        int | None,
        option("Approximate number of texts of 32 tokens in one request.", "N", min=1, shown="automatic"),
    ] = None,
    reading: Reading = Reading(),
    opening: Opening = Opening(),
    prompting: Prompting = Prompting(),
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Turn texts into vectors: show the vectors of a few texts, or write those of a file of any length.

    Row k of the output belongs to row k of the file, empty rows included. After an interruption, the same
    command resumes. The finished file appears in one step. Memory does not grow with the file.
    """
    if texts and file is not None:
        raise usage_error("Use either texts or --file.", "TEXT")
    if output is not None and texts and texts != [STDIN]:
        raise usage_error("--output needs --file.", "--output")
    if not texts and file is None and not is_piped():
        raise usage_error("Write some texts or --file.", "TEXT")
    prompts = prompting.arguments()
    if texts and texts != [STDIN]:
        refuse("on texts of the command line", "column", "encoding", "no_quoting", "no_header")
    if output is None:
        refuse("without --output", "restart", "progress")
    from munjang.bulk.encoding import BulkEncoding, BulkOptions
    from munjang.bulk.writers import json_numbers

    settings = {**prompts, "truncate_dim": truncate_dim, "precision": precision, "batch_size": batch_size}
    source = reading.file(file or STDIN, ids=output is not None)
    if output is not None:
        options = BulkOptions(normalize=normalize, **settings)
        work = BulkEncoding(source, output, options, restart=restart)
        try:
            with work:
                _make_file(work, opening.sentence_model(), opening.name, progress)
        except KeyboardInterrupt:
            tell(_resume_hint(work))
            raise
        made = {"output": str(output), "rows": work.rows, "dimension": work.width}
        print_result(as_json, made, f"{output}: {work.rows:,} vectors of {work.width} numbers")
        return
    given = texts if texts and texts != [STDIN] else [row.text for row in source]
    if precision in ("int8", "uint8") and len(given) < 2:
        raise InputError(f"precision={precision} needs the range of several vectors, not of a single vector.")
    vectors = opening.sentence_model().encode(given, normalize_embeddings=normalize, **settings)
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


def _print_table(texts: list[str], vectors: NDArray[Any]) -> None:
    table = new_table(None, ">#", "text")
    table.add_column("vector", no_wrap=True)
    for number, (text, vector) in enumerate(zip(texts, vectors.tolist(), strict=True)):
        table.add_row(str(number), clean(text), vector_cell(vector))
    width = vectors.shape[1]
    print_table(table, f"{width} numbers each; --json prints all of them, --output writes a file")
