"""``munjang train``: its commands."""

from __future__ import annotations

from collections.abc import Callable

from munjang.cli.common.commands import Commands, described
from munjang.cli.common.options import examples
from munjang.cli.train import distill as train_distill
from munjang.cli.train import labels as train_labels
from munjang.cli.train import language_model as train_language
from munjang.cli.train import mine as train_mining
from munjang.cli.train import sentences as train_sentences
from munjang.cli.train import texts as train_texts
from munjang.cli.train import vocabulary as train_vocabulary

__all__ = ["app"]

_TASKS = "Train a model"
_WORDS = "Pieces and data"

app = Commands(no_args_is_help=True)


@app.callback(
    epilog=examples(
        "munjang train classification --data reviews.tsv --dev-share 0.1 --output my-sentiment",
        'munjang train sentences --data sts-train.tsv --dev sts-dev.tsv --prompt "query: " -o my-encoder',
    )
)
def train() -> None:
    """Train a model on data of yours; needs PyTorch (the extra train).

    The same command, given again, goes on where it was stopped.
    """


def _add(command: Callable[..., None], panel: str, epilog: str) -> None:
    """Add a command."""
    name = command.__name__.replace("_", "-")
    app.command(name, help=described(command), epilog=epilog, rich_help_panel=panel)(command)


_add(train_labels.classification, _TASKS, train_labels.CLASSIFICATION_EXAMPLES)
_add(train_labels.entities, _TASKS, train_labels.ENTITIES_EXAMPLES)
_add(train_labels.relations, _TASKS, train_labels.RELATIONS_EXAMPLES)
_add(train_texts.answers, _TASKS, train_texts.ANSWERS_EXAMPLES)
_add(train_texts.reranker, _TASKS, train_texts.RERANKER_EXAMPLES)
_add(train_sentences.sentences, _TASKS, train_sentences.SENTENCES_EXAMPLES)
_add(train_language.language_model, _TASKS, train_language.LANGUAGE_MODEL_EXAMPLES)
app.add_typer(train_distill.app, name="distill", rich_help_panel=_TASKS)
_add(train_mining.mine, _WORDS, train_mining.MINE_EXAMPLES)
_add(train_vocabulary.vocabulary, _WORDS, train_vocabulary.VOCABULARY_EXAMPLES)
_add(train_vocabulary.trim, _WORDS, train_vocabulary.TRIM_EXAMPLES)
_add(train_vocabulary.suggest_tokens, _WORDS, train_vocabulary.SUGGEST_TOKENS_EXAMPLES)
_add(train_vocabulary.add_tokens, _WORDS, train_vocabulary.ADD_TOKENS_EXAMPLES)
