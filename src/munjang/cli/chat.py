"""``munjang chat``: answers to questions at a terminal, from a file or an index."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.errors import FAILED, tell
from munjang.cli.options import AsJson, Model, Offline, Pooling, Progress, examples
from munjang.cli.output import clean, console, new_table, print_json, write_line
from munjang.cli.texts import cross_encoder, is_piped, refuse, usage_error
from munjang.data.files import STDIN, shown_name
from munjang.errors import InputError
from munjang.progress import has_bar

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from munjang.chat import ChatBot, Neighbour, Turn

__all__ = ["EXAMPLES", "chat", "converse", "show_neighbours"]

_HELP = """\
/why      the stored questions behind the last answer by similarity; → is the one that answered
/top K    how many of them to show
/new      forget the conversation
/help     this
/quit     the end; Ctrl-D and Ctrl-C do the same"""
_OFFERED = 3


def converse(bot: ChatBot, name: str) -> None:
    """Read questions and print answers until the user ends the conversation."""
    screen = console()
    screen.print(
        f"{Path(name).name}: answers that are right with a probability of {bot.threshold:.0%} or more. "
        "/help, /why, /quit.",
        style="dim",
    )
    session = _session()
    while (line := _read(session)) is not None:
        if line.startswith("/"):
            if _command(bot, line) is False:
                break
        elif line:
            _ask(bot, line)


def _ask(bot: ChatBot, question: str) -> None:
    """Answer a question; an invalid question, for example of megabytes, does not end the conversation."""
    try:
        show(bot.ask(question))
    except InputError as error:
        console().print(str(error), style="yellow")


def _session() -> PromptSession[str]:
    """Create the prompt session, with an input history that is kept between conversations."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    from munjang.checkpoints import cache_root

    place = Path(cache_root(None)) / "chat_history"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(mode=0o600)
        return PromptSession(history=FileHistory(str(place)))
    except OSError:
        return PromptSession(history=InMemoryHistory())


def _read(session: PromptSession[str]) -> str | None:
    try:
        return session.prompt("> ").strip()
    except (EOFError, KeyboardInterrupt):
        return None


def show(turn: Turn) -> None:
    """Print an answer, or the nearest stored questions if there is no answer."""
    screen = console()
    screen.print(clean(turn.answer), style="bold" if turn.known else "yellow")
    if not turn.known and turn.neighbours:
        screen.print("Near to it / 가까운 질문:", style="dim")
        for neighbour in turn.neighbours[:_OFFERED]:
            screen.print(f"  · {clean(neighbour.question)}", style="dim")


def _command(bot: ChatBot, line: str) -> bool:
    """Run a command line that begins with ``/``; return False to end the conversation."""
    word, _, rest = line.partition(" ")
    if word in ("/quit", "/exit", "/q"):
        return False
    commands: dict[str, Callable[[str], None]] = {
        "/why": lambda _: _why(bot),
        "/top": lambda count: _top(bot, count),
        "/new": lambda _: bot.reset(),
        "/help": lambda _: console().print(_HELP),
    }
    if word in commands:
        commands[word](rest.strip())
    else:
        console().print(f"There is no {clean(word)}. {_HELP}")
    return True


def _top(bot: ChatBot, count: str) -> None:
    if not count.isdecimal() or int(count) < 1:
        console().print("Say how many, for example /top 10.", style="yellow")
        return
    try:
        if bot.log:
            show_neighbours(bot.nearest(bot.log[-1].searched, int(count)))
        bot.neighbours = int(count)
    except InputError as error:
        console().print(str(error), style="yellow")


def _why(bot: ChatBot) -> None:
    if not bot.log:
        console().print("Nothing was asked yet.", style="yellow")
        return
    turn = bot.log[-1]
    if turn.follows_up:
        console().print(f"Searched for: {clean(turn.searched)}", style="dim")
    show_neighbours(turn.neighbours)
    verdict = f"Right with a probability of {turn.confidence:.0%}; an answer needs {turn.threshold:.0%}."
    console().print(verdict, style="dim")


def show_neighbours(neighbours: Sequence[Neighbour]) -> None:
    """Print neighbours in order of similarity; the first, which determines the answer, is marked."""
    table = new_table()
    table.add_column("")
    table.add_column("similarity", justify="right")
    table.add_column("stored question", overflow="fold")
    table.add_column("answer", overflow="fold")
    ordered = sorted(neighbours, key=lambda one: math.inf if math.isnan(one.similarity) else -one.similarity)
    for neighbour in ordered:
        mark = "→" if neighbour is neighbours[0] else ""
        similarity = "" if math.isnan(neighbour.similarity) else f"{neighbour.similarity:.3f}"
        answers = " / ".join(map(clean, neighbour.answers))
        table.add_row(mark, similarity, clean(neighbour.question), answers)
    console().print(table)


EXAMPLES = examples(
    "munjang chat examples/everyday_questions.csv",
    'munjang chat examples/everyday_questions.csv --once "소포가 어디쯤 왔는지 알고 싶어요" --json',
    "munjang chat qa.csv --question Q --answer A --method nearest --pooling cls --threshold 0",
    "munjang chat faq.munjang --rerank Dongjin-kr/ko-reranker --log turns.jsonl",
)


class Method(StrEnum):
    """The search method for stored questions."""

    HYBRID = "hybrid"
    NEAREST = "nearest"


def chat(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Questions and answers (.csv, .tsv, .jsonl, .parquet), or an index that has them as fields.",
        ),
    ],
    once: Annotated[
        str | None, typer.Option("--once", metavar="QUESTION", help="Answer one question and end.")
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(
            "--question", "-q", metavar="NAME", show_default="question, Q, 질문", help="Column of questions."
        ),
    ] = None,
    answer: Annotated[
        str | None,
        typer.Option(
            "--answer", "-a", metavar="NAME", show_default="answer, A, 답변", help="Column of answers."
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="By meaning and by word, in an index kept in the cache; or by the nearest vector alone.",
        ),
    ] = Method.HYBRID,
    rerank: Annotated[
        str | None,
        typer.Option("--rerank", metavar="NAME", help="A cross-encoder that orders what was found anew."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="P",
            min=0,
            max=1,
            show_default="learned from held-out questions",
            help="The least probability of a right answer at which it is shown; 0 always answers.",
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", "-k", metavar="K", min=1, help="How many stored questions /why shows.")
    ] = 5,
    log: Annotated[
        str | None, typer.Option("--log", metavar="FILE", help="Add each turn to this file, as JSON Lines.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Make the choice among several answers repeatable."),
    ] = None,
    model: Model = None,
    pooling: Pooling = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Chat with a file of questions and answers: the nearest stored question gives the answer.

    When nothing stored is near enough, it says so and offers what is nearest. In the conversation, /why shows
    the stored questions and scores behind the last answer, /top K how many of them, /help the rest. Questions
    may also be piped in, one per line.
    """
    if as_json and once is None and not is_piped():
        raise usage_error("--json needs --once QUESTION, or questions piped in.", "--json")
    if _is_index(file):
        refuse("on an index, which is searched as it was made", "model", "pooling", "method")
    reranker = None if rerank is None else cross_encoder(rerank, offline=offline)
    settings: dict[str, Any] = {"rerank": reranker, "threshold": threshold}
    settings |= {"neighbours": top, "seed": seed, "log": log}
    bot = _open(file, question, answer, method, model, pooling, offline, has_bar(progress), settings)
    with bot:
        if once is not None:
            _tell(bot.ask(once), as_json)
        elif is_piped():
            _answer_lines(bot, sys.stdin, as_json)
        else:
            converse(bot, file)


def _is_index(file: str) -> bool:
    """Return whether FILE is an index, which is searched with its own settings."""
    from munjang.chat.retrieval import is_index as names_index

    return names_index(file)


def _open(
    file: str,
    question: str | None,
    answer: str | None,
    method: Method,
    model: str | None,
    pooling: str | None,
    offline: bool,
    shown: bool,
    settings: dict[str, Any],
) -> ChatBot:
    from munjang.chat import ChatBot

    if _is_index(file):
        return ChatBot.from_index(
            file, question=question or "question", answer=answer or "answer", offline=offline, **settings
        )
    return ChatBot.from_file(
        file,
        question=question,
        answer=answer,
        method=method.value,
        model=model,
        pooling=pooling,
        offline=offline,
        show_progress_bar=shown,
        **settings,
    )


def _answer_lines(bot: ChatBot, lines: Iterable[str], as_json: bool) -> None:
    """Answer each line that is not empty; report those that are refused, and end with exit status 1."""
    refused = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            turn = bot.ask(line)
        except InputError as error:
            refused = True
            tell(f"{shown_name(STDIN)}:{number}: {error}")
            if as_json:
                print_json(None)
        else:
            _tell(turn, as_json)
    if refused:
        raise typer.Exit(FAILED)


def _tell(turn: Turn, as_json: bool) -> None:
    if as_json:
        print_json(turn.as_json())
        return
    write_line(turn.answer)
    if not turn.known:
        for neighbour in turn.neighbours[:3]:
            write_line(f"  · {neighbour.question}")
