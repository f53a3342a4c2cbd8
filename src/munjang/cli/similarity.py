"""``munjang similarity`` and ``munjang pairs``: the semantic similarity of texts."""

from __future__ import annotations

from typing import Annotated

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
    Prompt,
    PromptName,
    examples,
)
from munjang.cli.common.output import clean, console, new_table, print_json, rounded
from munjang.cli.common.texts import (
    data_file,
    file_or_stdin,
    lines_of_stdin,
    refuse,
    rows_with_text,
    sentence_model,
    usage_error,
)
from munjang.data.files import STDIN, Row
from munjang.progress import has_bar

__all__ = ["PAIRS_EXAMPLES", "SIMILARITY_EXAMPLES", "pairs", "similarity"]

SIMILARITY_EXAMPLES = examples(
    'munjang similarity "축구가 재미있어요." "공차기는 즐거워요."',
    'munjang similarity "This is a red cat with a hat." "Have you seen my red cat?" -m all-MiniLM-L6-v2',
    "printf '우산 챙겨.\\n배고파.\\n' | munjang similarity - \"비가 온대요.\" --json",
)
PAIRS_EXAMPLES = examples(
    "munjang pairs examples/everyday_questions.csv --top 5",
    "cut -d, -f4 examples/everyday_questions.csv | head -40 | munjang pairs --top 3 --json",
)
_MANY = 20_000  # number of rows from which the comparison has its own progress bar


def similarity(
    a: Annotated[str, typer.Argument(metavar="A", help="A text; - for each line of standard input.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another; - for each line of standard input.")],
    model: Model = None,
    offline: Offline = False,
    pooling: Pooling = None,
    prompt_name: PromptName = None,
    prompt: Prompt = None,
    as_json: AsJson = False,
) -> None:
    """Give the cosine similarity of two texts: 1 for the same meaning, near 0 or below for none in common.

    What counts as high differs from model to model; compare scores of one model only.
    """
    if a == b == STDIN:
        raise usage_error("Only one of the two can be standard input.", "A")
    if prompt is not None:
        refuse("beside --prompt", "prompt_name")
    piped = STDIN in (a, b)
    lines = lines_of_stdin() if piped else [a]
    other = a if b == STDIN else b
    from munjang.sentence.similarity import cos_sim

    encoder = sentence_model(model, offline=offline, pooling=pooling)
    vectors = encoder.encode([*lines, other], prompt_name=prompt_name, prompt=prompt)
    scores = [rounded(score) for score in cos_sim(vectors[:-1], vectors[-1:])[:, 0]]
    if as_json:
        for score in scores:
            print_json({"cos_sim": score})
    elif piped:
        _print_scores(scores, lines)
    else:
        console().print(f"cos_sim {scores[0]:.4f}")


def _print_scores(scores: list[float], texts: list[str]) -> None:
    table = new_table()
    table.add_column("cos_sim", justify="right")
    table.add_column("text", overflow="fold")
    for score, text in zip(scores, texts, strict=True):
        table.add_row(f"{score:.4f}", clean(text))
    console().print(table)


def pairs(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A file of texts; - for the lines of standard input.")
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", metavar="K", min=1, help="How many pairs.")] = 10,
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
    """Find the pairs of texts in a file that are most alike in meaning, best first.

    Rows are numbered from 0; empty ones are left out. The file is text with one entry per line, CSV, TSV,
    JSON Lines or parquet, as its name says.
    """
    if prompt is not None:
        refuse("beside --prompt", "prompt_name")
    path = file_or_stdin(file, "FILE")
    rows = rows_with_text(data_file(path, column, encoding, no_quoting=no_quoting, no_header=no_header))
    encoder = sentence_model(model, offline=offline, pooling=pooling)
    from munjang.sentence.mining import paraphrase_mining_embeddings

    shown = has_bar(progress)
    vectors = encoder.encode(
        [row.text for row in rows], prompt_name=prompt_name, prompt=prompt, show_progress_bar=shown
    )
    found = [
        (float(score), rows[int(i)], rows[int(j)])
        for score, i, j in paraphrase_mining_embeddings(
            vectors, max_pairs=top, show_progress_bar=shown and len(rows) > _MANY
        )[:top]
    ]
    if as_json:
        print_json([{"i": i.number, "j": j.number, "score": rounded(score)} for score, i, j in found])
    else:
        _print_pairs(found)


def _print_pairs(found: list[tuple[float, Row, Row]]) -> None:
    table = new_table()
    table.add_column("score", justify="right")
    table.add_column("row", justify="right")
    table.add_column("text", overflow="fold")
    for score, first, second in found:
        table.add_row(f"{score:.4f}", str(first.number), clean(first.text))
        table.add_row("", str(second.number), clean(second.text))
        table.add_section()
    console().print(table)
