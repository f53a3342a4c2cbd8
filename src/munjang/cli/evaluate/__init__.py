"""``munjang evaluate``: how good a model is, on the user's data or on published data."""

from munjang.cli.common.commands import Commands
from munjang.cli.evaluate.language_model import language_model
from munjang.cli.evaluate.retrieval import retrieval
from munjang.cli.evaluate.similarity_reranking import reranking, similarity
from munjang.cli.evaluate.tasks import answers, classification, entities, relations

__all__ = ["app"]

app = Commands(
    "munjang evaluate similarity sts-test.tsv",
    "munjang evaluate classification reviews.tsv --model MODEL --markdown",
    help="Measure how good a model is, on your own data or on published data.",
    no_args_is_help=True,
)
app.add(None, retrieval, similarity, reranking, classification, entities, relations, answers, language_model)
