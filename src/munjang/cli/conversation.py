"""A conversation at a terminal: what a person types, what is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.cli.output import clean, console, new_table
from munjang.errors import InputError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from munjang.chat import ChatBot, Neighbour, Turn

__all__ = ["converse", "show_neighbours"]

_HELP = """\
/why      the stored questions behind the last answer by similarity; → is the one that answered
/top K    how many of them to show
/new      forget the conversation
/help     this
/quit     the end; Ctrl-D and Ctrl-C do the same"""
_OFFERED = 3


def converse(bot: ChatBot, name: str) -> None:
    """Ask and answer until the person leaves."""
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
    """Answer; a question that can't be asked, such as one of megabytes, does not end the conversation."""
    try:
        show(bot.ask(question))
    except InputError as error:
        console().print(str(error), style="yellow")


def _session() -> PromptSession[str]:
    """Make the prompt; it remembers what was typed from one conversation to the next."""
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
    """Show an answer, or what is nearest to a question that has none."""
    screen = console()
    screen.print(clean(turn.answer), style="bold" if turn.known else "yellow")
    if not turn.known and turn.neighbours:
        screen.print("Near to it / 가까운 질문:", style="dim")
        for neighbour in turn.neighbours[:_OFFERED]:
            screen.print(f"  · {clean(neighbour.question)}", style="dim")


def _command(bot: ChatBot, line: str) -> bool:
    """Do what a line that begins with ``/`` says; false to end."""
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
    """Show neighbours in the order of their similarity; the first of them is marked, the one that counts."""
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
