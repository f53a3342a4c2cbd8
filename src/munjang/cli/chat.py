"""``munjang chat``: answers to questions at a terminal, from a file or an index."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from munjang.choices import Method
from munjang.cli.common.commands import command
from munjang.cli.common.errors import FAILED, tell
from munjang.cli.common.options import AsJson, Bundle, Progress, argument, option
from munjang.cli.common.output import clean, console, new_table, print_json, print_table, write_line
from munjang.cli.common.texts import Opening, cross_encoder, is_piped, refuse, usage_error
from munjang.data.files import STDIN, shown_name
from munjang.errors import InputError
from munjang.progress import has_bar

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from munjang.chat import ChatBot, Neighbour, Turn
    from munjang.chat.chatbot import ChatArguments

_HELP = """\
/why      the stored questions behind the last answer by similarity; → marks the question that answered
/top K    set the number of questions that /why shows
/new      forget the conversation
/help     show this help
/quit     end the conversation; Ctrl-D and Ctrl-C do the same"""
_OFFERED = 3  # questions that are shown if there is no answer
_THRESHOLD = "The minimum probability that an answer is right; with 0 every question is answered."
_LEARNED = "learned from held-out questions"


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
        try:
            if line.startswith("/"):
                if not _command(bot, line):
                    break
            elif line:
                show(bot.ask(line))
        except InputError as error:  # an invalid question, for example of megabytes
            screen.print(str(error), style="yellow")


def _session() -> PromptSession[str]:
    """Create the prompt session, with an input history that is kept between conversations."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    from munjang.checkpoints import cache_root

    path = Path(cache_root(None)) / "chat_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        return PromptSession(history=FileHistory(str(path)))
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
        screen.print("Similar questions / 가까운 질문:", style="dim")
        for neighbour in turn.neighbours[:_OFFERED]:
            screen.print(f"  · {clean(neighbour.question)}", style="dim")


def _command(bot: ChatBot, line: str) -> bool:
    """Run a command line that begins with ``/``; return False to end the conversation."""
    word, _, rest = line.partition(" ")
    match word:
        case "/quit" | "/exit" | "/q":
            return False
        case "/why":
            _why(bot)
        case "/top":
            _top(bot, rest.strip())
        case "/new":
            bot.reset()
        case "/help":
            console().print(_HELP)
        case _:
            console().print(f"There is no {clean(word)}. {_HELP}")
    return True


def _top(bot: ChatBot, count: str) -> None:
    if not count.isdecimal() or int(count) < 1:
        console().print("Write a number, for example /top 10.", style="yellow")
        return
    if bot.log:
        show_neighbours(bot.nearest(bot.log[-1].searched, int(count)))
    bot.neighbours = int(count)


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
    table = new_table(None, "", ">similarity", "stored question", "answer")
    by_similarity = sorted(
        neighbours, key=lambda each: math.inf if math.isnan(each.similarity) else -each.similarity
    )
    for neighbour in by_similarity:
        mark = "→" if neighbour is neighbours[0] else ""
        similarity = "" if math.isnan(neighbour.similarity) else f"{neighbour.similarity:.3f}"
        answers = " / ".join(map(clean, neighbour.answers))
        table.add_row(mark, similarity, clean(neighbour.question), answers)
    print_table(table)


@command(
    "munjang chat examples/everyday_questions.csv",
    'munjang chat examples/everyday_questions.csv --once "소포가 어디쯤 왔는지 알고 싶어요" --json',
    "munjang chat qa.csv --question Q --answer A --method nearest --pooling cls --threshold 0",
    "munjang chat faq.munjang --rerank Dongjin-kr/ko-reranker --log turns.jsonl",
)
def chat(
    file: Annotated[
        str,
        argument(
            "Questions and answers (.csv, .tsv, .jsonl, .parquet), or an index with these fields.",
            "FILE",
        ),
    ],
    once: Annotated[str | None, option("Answer one question and end.", "QUESTION")] = None,
    question: Annotated[
        str | None, option("The column of the questions.", "NAME", "-q", shown="question, Q, 질문")
    ] = None,
    answer: Annotated[
        str | None, option("The column of the answers.", "NAME", "-a", shown="answer, A, 답변")
    ] = None,
    method: Annotated[
        Method,
        option("By meaning and by word, in an index in the cache; or by the nearest vector alone."),
    ] = "hybrid",
    rerank: Annotated[
        str | None, option("A cross-encoder that reorders the results of the search.", "NAME")
    ] = None,
    threshold: Annotated[float | None, option(_THRESHOLD, "P", min=0, max=1, shown=_LEARNED)] = None,
    top: Annotated[int, option("Number of stored questions that /why shows.", "K", "-k", min=1)] = 5,
    log: Annotated[str | None, option("Add each turn to this file, as JSON Lines.", "FILE")] = None,
    seed: Annotated[int | None, option("Make the choice among several answers repeatable.", "N")] = None,
    opening: Annotated[Opening, Bundle(without=("dtype",))] = Opening(),
    progress: Progress = None,
    as_json: AsJson = False,
) -> None:
    """Chat with a file of questions and answers: the answer of the nearest stored question is shown.

    If no stored question is near enough, the nearest questions are shown instead. In the conversation, /why
    shows the stored questions and scores behind the last answer, /top K sets their number, /help lists the
    commands. Questions may also be piped in, one per line.
    """
    if as_json and once is None and not is_piped():
        raise usage_error("--json needs --once QUESTION, or questions piped in.", "--json")
    from munjang.chat import ChatBot
    from munjang.chat.retrieval import is_index

    in_index = is_index(file)
    if in_index:
        refuse("on an index, which has its own settings", "model", "pooling", "method")
    reranker = None if rerank is None else cross_encoder(rerank, offline=opening.offline)
    options: ChatArguments = {"threshold": threshold, "neighbours": top, "seed": seed, "log": log}
    if in_index:
        bot = ChatBot.from_index(
            file,
            question=question or "question",
            answer=answer or "answer",
            rerank=reranker,
            offline=opening.offline,
            **options,
        )
    else:
        bot = ChatBot.from_file(
            file,
            question=question,
            answer=answer,
            method=method,
            model=opening.model,
            pooling=opening.pooling,
            rerank=reranker,
            offline=opening.offline,
            show_progress_bar=has_bar(progress),
            **options,
        )
    with bot:
        if once is not None:
            _print_turn(bot.ask(once), as_json)
        elif is_piped():
            _answer_lines(bot, sys.stdin, as_json)
        else:
            converse(bot, file)


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
            _print_turn(turn, as_json)
    if refused:
        raise typer.Exit(FAILED)


def _print_turn(turn: Turn, as_json: bool) -> None:
    if as_json:
        print_json(turn.as_json())
        return
    write_line(turn.answer)
    if not turn.known:
        for neighbour in turn.neighbours[:_OFFERED]:
            write_line(f"  · {neighbour.question}")
