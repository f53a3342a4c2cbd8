"""``munjang train distill``: its commands."""

from __future__ import annotations

from collections.abc import Callable

from munjang.cli import train_distill_scores, train_distill_students
from munjang.cli.commands import Commands, described
from munjang.cli.options import examples

__all__ = ["app"]

app = Commands(no_args_is_help=True)


@app.callback(
    epilog=examples(
        "munjang train distill sentences --teacher my-encoder --data sts-train.tsv --layers 2 --output small"
    )
)
def distill() -> None:
    """Train a small model to do what a large one does."""


def _add(command: Callable[..., None], epilog: str) -> None:
    """Add a command."""
    app.command(command.__name__, help=described(command), epilog=epilog)(command)


_add(train_distill_students.classification, train_distill_students.CLASSIFICATION_EXAMPLES)
_add(train_distill_students.sentences, train_distill_students.SENTENCES_EXAMPLES)
_add(train_distill_scores.reranker, train_distill_scores.RERANKER_EXAMPLES)
_add(train_distill_scores.scores, train_distill_scores.SCORES_EXAMPLES)
