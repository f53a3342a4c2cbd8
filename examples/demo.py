"""Search everyday questions by meaning, in Korean and English; `make demo` runs this.

There are no shared words to go by in most of these: the model compares what is meant.
"""

import csv
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

import munjang
from munjang.util import semantic_search

QUESTIONS = Path(__file__).parent / "everyday_questions.csv"
QUERIES = (
    "밤에 잠들기가 어려워요",
    "여권을 도둑맞았어요",
    "my puppy swallowed a chocolate bar",
    "Where is the elevator for a wheelchair in the metro station?",
)
NEXT = (
    ("Put munjang on this terminal's path", "source .venv/bin/activate"),
    ("Ask your own question", 'munjang search "노트북이 너무 굼떠요" -f examples/everyday_questions.csv'),
    ("Compare two sentences, across languages", 'munjang similarity "축구가 재미있어요." "I like football."'),
    ("See what the model sees", 'munjang tokenize "축구는 정말 재미있다."'),
    ("Find near-duplicates", "munjang pairs examples/everyday_questions.csv --top 5"),
    ("Keep the vectors", "munjang encode -f examples/everyday_questions.csv -o questions.npy"),
    ("Everything else", "munjang --help"),
)


def show(console: Console, query: str, hits: list[tuple[float, dict[str, str]]]) -> None:
    """Print one query's nearest questions with their scores, and the answer of the first."""
    table = Table(box=box.ROUNDED, border_style="dim", header_style="bold cyan", width=console.width)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("question, and answer", ratio=1)
    for place, (score, row) in enumerate(hits):
        answer = f"\n[dim]{row['answer']}[/dim]" if place == 0 else ""
        table.add_row(f"{score:.3f}", f"{row['question']}{answer}", style="bold" if place == 0 else "")
    console.print(f"\n[bold green]?[/bold green] [bold]{query}[/bold]")
    console.print(table)


def main() -> None:
    """Encode the questions once, then look up each query."""
    console = Console(highlight=False)
    console.width = min(console.width, 100)
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    model = munjang.SentenceTransformer()  # multilingual-e5-small
    console.print(f"Reading {len(rows)} questions ...")
    documents = model.encode_document([row["question"] for row in rows])  # [378, 384]
    found = semantic_search(model.encode_query(list(QUERIES)), documents, top_k=3)

    for query, hits in zip(QUERIES, found, strict=True):
        show(console, query, [(hit["score"], rows[hit["corpus_id"]]) for hit in hits])

    console.print("\n[bold]What to type next[/bold]")
    for what, command in NEXT:
        console.print(f"  [dim]{what}:[/dim]\n    [green]{command}[/green]", soft_wrap=True)


if __name__ == "__main__":
    main()
