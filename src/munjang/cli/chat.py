"""``munjang chat``: questions at a terminal, answered from a file or an index."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.hits import refuse_given
from munjang.cli.options import AsJson, Model, Offline, Pooling, Progress, examples
from munjang.cli.output import print_json, write_line
from munjang.cli.progress import has_bar
from munjang.cli.texts import cross_encoder, is_piped, usage_error

if TYPE_CHECKING:
    from munjang.chat import ChatBot, Turn

__all__ = ["EXAMPLES", "chat"]

EXAMPLES = examples(
    "munjang chat examples/everyday_questions.csv",
    'munjang chat examples/everyday_questions.csv --once "소포가 어디쯤 왔는지 알고 싶어요" --json',
    "munjang chat qa.csv --question Q --answer A --method nearest --pooling cls --threshold 0",
    "munjang chat faq.munjang --rerank Dongjin-kr/ko-reranker --log turns.jsonl",
)


class Method(StrEnum):
    """How stored questions are found."""

    HYBRID = "hybrid"
    NEAREST = "nearest"


def chat(
    context: typer.Context,
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
        why = "An index is searched as it was made, and by meaning and by word."
        refuse_given(context, why, "model", "pooling", "method")
    reranker = None if rerank is None else cross_encoder(rerank, offline=offline)
    settings: dict[str, Any] = {"rerank": reranker, "threshold": threshold}
    settings |= {"neighbours": top, "seed": seed, "log": log}
    bot = _open(file, question, answer, method, model, pooling, offline, has_bar(progress), settings)
    with bot:
        if once is not None:
            _tell(bot.ask(once), as_json)
        elif is_piped():
            for line in sys.stdin:
                if line.strip():
                    _tell(bot.ask(line), as_json)
        else:
            from munjang.cli.conversation import converse

            converse(bot, file)


def _is_index(file: str) -> bool:
    """Return whether FILE names an index, which is searched as it was made."""
    from munjang.chat.opening import is_index as names_index

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


def _tell(turn: Turn, as_json: bool) -> None:
    if as_json:
        print_json(turn.as_json())
        return
    write_line(turn.answer)
    if not turn.known:
        for neighbour in turn.neighbours[:3]:
            write_line(f"  · {neighbour.question}")
