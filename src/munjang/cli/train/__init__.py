"""``munjang train``: its commands."""

from __future__ import annotations

from munjang.cli.common.commands import Commands
from munjang.cli.train import distill
from munjang.cli.train.language_model import language_model
from munjang.cli.train.mine import mine
from munjang.cli.train.reranker import reranker
from munjang.cli.train.run import TrainingGroup
from munjang.cli.train.sentences import sentences
from munjang.cli.train.tasks import answers, classification, entities, relations
from munjang.cli.train.vocabulary import add_tokens, suggest_tokens, trim, vocabulary

__all__ = ["app"]

app = Commands(
    "munjang train classification --data reviews.tsv --dev-share 0.1 --output my-sentiment",
    'munjang train sentences --data sts-train.tsv --dev sts-dev.tsv --prompt "query: " -o my-encoder',
    cls=TrainingGroup,
    help="Train a model on your own data; needs PyTorch (the extra train).\n\n"
    "The same command resumes a run that was stopped.",
    no_args_is_help=True,
)
app.add("Train a model", classification, entities, relations, answers, reranker, sentences, language_model)
app.add_typer(distill.app, name="distill", rich_help_panel="Train a model")
app.add("Pieces and data", mine, vocabulary, trim, suggest_tokens, add_tokens)
