"""The program ``munjang``: all groups of commands, and their common behaviour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from munjang.cli import (
    chat,
    encode,
    evaluate,
    explain,
    index,
    labels,
    models,
    search,
    similarity,
    tokenize,
    train,
    words,
    writing,
)
from munjang.cli.common.commands import Commands, Group, described
from munjang.cli.common.errors import explained
from munjang.cli.common.options import examples

__all__ = ["app"]

_LOOK = "Look at text"
_COMPARE = "Compare and search"
_ASK = "Ask a model"
_VECTORS = "Vectors"
_MODELS = "Models"


class Program(Group):
    """The group of all commands; errors of all commands are handled in one place."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with explained():
            return super().invoke(ctx)


app = Commands(
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        'munjang search "밤에 잠들기가 어려워요" --file examples/everyday_questions.csv',
        'munjang similarity "축구가 재미있어요." "I like football."',
        "munjang search --help",
    ),
)


def _add(command: Callable[..., None], panel: str, epilog: str) -> None:
    """Add a command."""
    name = command.__name__.replace("_", "-")
    app.command(name, help=described(command), epilog=epilog, rich_help_panel=panel)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from munjang import __version__

        typer.echo(f"munjang {__version__}")
        raise typer.Exit


@app.callback()
def munjang(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit."),
    ] = False,
) -> None:
    """Korean and English sentences, understood on an ordinary CPU."""


_add(tokenize.tokenize, _LOOK, tokenize.EXAMPLES)
_add(explain.explain, _LOOK, explain.EXAMPLES)
_add(similarity.similarity, _COMPARE, similarity.SIMILARITY_EXAMPLES)
_add(similarity.pairs, _COMPARE, similarity.PAIRS_EXAMPLES)
_add(search.search, _COMPARE, search.SEARCH_EXAMPLES)
_add(search.rerank, _COMPARE, search.RERANK_EXAMPLES)
_add(words.fill_mask, _ASK, words.FILL_MASK_EXAMPLES)
_add(words.next_sentence, _ASK, words.NEXT_SENTENCE_EXAMPLES)
_add(labels.classify, _ASK, labels.CLASSIFY_EXAMPLES)
_add(labels.tag, _ASK, labels.TAG_EXAMPLES)
_add(labels.relate, _ASK, labels.RELATE_EXAMPLES)
_add(writing.answer, _ASK, writing.ANSWER_EXAMPLES)
_add(writing.generate, _ASK, writing.GENERATE_EXAMPLES)
_add(chat.chat, _ASK, chat.EXAMPLES)
_add(encode.encode, _VECTORS, encode.EXAMPLES)
_add(words.features, _VECTORS, words.FEATURES_EXAMPLES)
app.add_typer(index.app, name="index", rich_help_panel=_COMPARE)
app.add_typer(models.app, name="models", rich_help_panel=_MODELS)
app.add_typer(evaluate.app, name="evaluate", rich_help_panel=_MODELS)
app.add_typer(train.app, name="train", rich_help_panel=_MODELS)
