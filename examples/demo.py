"""Make an index of everyday questions and let a chatbot answer from it; `make demo` runs this.

Few words of a question here are those of the stored one that answers it: what counts is what is meant.
"""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

import munjang
from munjang.chat import Turn

QUESTIONS = Path(__file__).parent / "everyday_questions.csv"
INDEX = Path("everyday.munjang")
QUERIES = (
    "밤에 잠들기가 어려워요",
    "여권을 도둑맞았어요",
    "인터넷이 갑자기 너무 느려졌는데 왜 이러죠?",
    "my puppy swallowed a chocolate bar",
)
NEXT = (
    ("Put munjang on this terminal's path", "source .venv/bin/activate"),
    ("Chat, in Korean or English", f"munjang chat {INDEX}"),
    ("Find by meaning and by word", f'munjang search "노트북이 너무 굼떠요" --index {INDEX}'),
    ("The same in a plain file", 'munjang search "laptop is slow" -f examples/everyday_questions.csv'),
    ("Compare two sentences, across languages", 'munjang similarity "축구가 재미있어요." "I like football."'),
    ("See what the model sees", 'munjang tokenize "축구는 정말 재미있다."'),
    ("Make an index of your own documents", "munjang index build notes.munjang docs/"),
    ("Everything else", "munjang --help"),
)


def open_index(console: Console) -> munjang.Index:
    """Open the index, and encode what it does not have yet."""
    index = munjang.Index.open(
        INDEX,
        fields=("question", "answer"),
        embedded=("question",),
        prompts={"document": "query: "},  # questions are compared with questions
    )
    with console.status("Reading the questions ..."):
        built = index.build(QUESTIONS)
    console.print(f"{INDEX} holds {len(index)} questions with answers; {built.written} were new.")
    return index


def show(console: Console, turn: Turn) -> None:
    """Print a question, its answer, and the stored questions nearest to it."""
    console.print(f"\n[bold green]?[/bold green] [bold]{turn.question}[/bold]")
    console.print(f"[bold cyan]→[/bold cyan] {turn.answer}")
    table = Table(box=box.ROUNDED, border_style="dim", header_style="dim", width=console.width)
    table.add_column("similarity", justify="right", no_wrap=True)
    table.add_column("stored question", ratio=1, overflow="fold")
    for neighbour in turn.neighbours:
        style = "dim" if table.row_count else ""
        table.add_row(f"{neighbour.similarity:.3f}", neighbour.question, style=style)
    console.print(table)


def main() -> None:
    """Answer each question, and say what to type next."""
    console = Console(highlight=False)
    console.width = min(console.width, 100)
    with open_index(console) as index, munjang.ChatBot.from_index(index, neighbours=3) as bot:
        with console.status("Finding out when to say that it does not know ..."):
            threshold = bot.threshold
        console.print(f"An answer needs a probability of {threshold:.0%}, learned from held-out questions.")
        for query in QUERIES:
            bot.reset()
            show(console, bot.ask(query))
    console.print("\n[bold]What to type next[/bold]")
    for what, command in NEXT:
        console.print(f"  [dim]{what}:[/dim]\n    [green]{command}[/green]", soft_wrap=True)


if __name__ == "__main__":
    main()
