"""The program ``munjang``: all groups of commands, and their common behaviour."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from munjang import __version__
from munjang.cli import evaluate, index, models, train
from munjang.cli.answer import answer
from munjang.cli.chat import chat
from munjang.cli.classify_relate import classify, relate
from munjang.cli.common.commands import Commands, Group
from munjang.cli.common.errors import explained
from munjang.cli.encode import encode
from munjang.cli.features import features
from munjang.cli.fill_mask_next_sentence import fill_mask, next_sentence
from munjang.cli.generate import generate
from munjang.cli.search_rerank import rerank, search
from munjang.cli.similarity_pairs import pairs, similarity
from munjang.cli.tag import tag
from munjang.cli.tokenize_explain import explain, tokenize


class Program(Group):
    """The group of all commands; errors of all commands are handled in one place."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with explained():
            return super().invoke(ctx)


app = Commands(
    'munjang search "밤에 잠들기가 어려워요" --file examples/everyday_questions.csv',
    'munjang similarity "축구가 재미있어요." "I like football."',
    "munjang search --help",
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
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


app.add("Look at text", tokenize, explain)
app.add("Compare and search", similarity, pairs, search, rerank)
app.add("Ask a model", fill_mask, next_sentence, classify, tag, relate, answer, generate, chat)
app.add("Vectors", encode, features)
app.add_typer(index.app, name="index", rich_help_panel="Compare and search")
app.add_typer(models.app, name="models", rich_help_panel="Models")
app.add_typer(evaluate.app, name="evaluate", rich_help_panel="Models")
app.add_typer(train.app, name="train", rich_help_panel="Models")
