"""``munjang similarity`` and ``munjang pairs``: the semantic similarity of texts."""

from __future__ import annotations

from typing import Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Progress, argument, option
from munjang.cli.common.output import clean, console, new_table, print_json, print_table
from munjang.cli.common.texts import Opening, Prompting, Reading, file_or_stdin, line_pairs, rows_with_text
from munjang.data.files import STDIN, Row
from munjang.progress import has_bar
from munjang.rounding import rounded

_MANY = 20_000  # number of rows from which the comparison has its own progress bar


@command(
    'munjang similarity "축구가 재미있어요." "공차기는 즐거워요."',
    'munjang similarity "This is a red cat with a hat." "Have you seen my red cat?" -m all-MiniLM-L6-v2',
    "printf '우산 챙겨.\\n배고파.\\n' | munjang similarity - \"비가 온대요.\" --json",
)
def similarity(
    a: Annotated[str, argument("A text; - for each line of standard input.", "A")],
    b: Annotated[str, argument("Another text; - for each line of standard input.", "B")],
    opening: Opening = Opening(),
    prompting: Prompting = Prompting(),
    as_json: AsJson = False,
) -> None:
    """Print the cosine similarity of two texts: 1 for the same meaning, near 0 or below for unrelated texts.

    Typical values differ between models; compare only scores of the same model.
    """
    if b == STDIN:
        a, b = b, a  # the order has no effect
    prompts = prompting.arguments()
    lines = [line for line, _ in line_pairs(a, b)]
    from munjang.sentence.similarity import cos_sim

    vectors = opening.sentence_model().encode([*lines, b], **prompts)
    scores = [rounded(score) for score in cos_sim(vectors[:-1], vectors[-1:])[:, 0]]
    if as_json:
        for score in scores:
            print_json({"cos_sim": score})
    elif a == STDIN:
        table = new_table(None, ">cos_sim", "text")
        for score, text in zip(scores, lines, strict=True):
            table.add_row(f"{score:.4f}", clean(text))
        print_table(table)
    else:
        console().print(f"cos_sim {scores[0]:.4f}")


@command(
    "munjang pairs examples/everyday_questions.csv --top 5",
    "cut -d, -f4 examples/everyday_questions.csv | head -40 | munjang pairs --top 3 --json",
)
def pairs(
    file: Annotated[
        str | None, argument("A file of texts; - for the lines of standard input.", "FILE")
    ] = None,
    top: Annotated[int, option("Number of pairs.", "K", "-k", min=1)] = 10,
    reading: Reading = Reading(),
    opening: Opening = Opening(),
    prompting: Prompting = Prompting(),
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Find the pairs of texts in a file with the most similar meaning, best first.

    Rows are numbered from 0; empty rows are ignored. The file is text with one entry per line, CSV, TSV, JSON
    Lines or parquet, depending on its name.
    """
    prompts = prompting.arguments()
    rows = rows_with_text(reading.file(file_or_stdin(file, "FILE"), ids=False))
    encoder = opening.sentence_model()
    from munjang.sentence.mining import paraphrase_mining_embeddings

    shown = has_bar(progress)
    vectors = encoder.encode([row.text for row in rows], **prompts, show_progress_bar=shown)
    best = paraphrase_mining_embeddings(vectors, max_pairs=top, show_progress_bar=shown and len(rows) > _MANY)
    scored = [(float(score), rows[int(i)], rows[int(j)]) for score, i, j in best[:top]]
    if as_json:
        print_json([{"i": i.number, "j": j.number, "score": rounded(score)} for score, i, j in scored])
    else:
        _print_pairs(scored)


def _print_pairs(scored: list[tuple[float, Row, Row]]) -> None:
    table = new_table(None, ">score", ">row", "text")
    for score, first, second in scored:
        table.add_row(f"{score:.4f}", str(first.number), clean(first.text))
        table.add_row("", str(second.number), clean(second.text))
        table.add_section()
    print_table(table)
