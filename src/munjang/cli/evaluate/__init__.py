"""``munjang evaluate``: how good a model is, on the user's data or on published data."""

from munjang.cli.common.commands import Commands
from munjang.cli.common.options import examples
from munjang.cli.evaluate.answers import answers
from munjang.cli.evaluate.classification_relations import classification, relations
from munjang.cli.evaluate.entities import entities
from munjang.cli.evaluate.language_model import language_model
from munjang.cli.evaluate.retrieval import retrieval
from munjang.cli.evaluate.similarity_reranking import reranking, similarity

__all__ = ["app"]

app = Commands(no_args_is_help=True)


@app.callback(
    epilog=examples(
        "munjang evaluate similarity sts-test.tsv",
        "munjang evaluate classification reviews.tsv --model MODEL --markdown",
    )
)
def evaluate() -> None:
    """Measure how good a model is, on data of yours or on published data."""


app.add(
    None,
    retrieval,
    similarity,
    reranking,
    classification,
    entities,
    relations,
    answers,
    language_model,
)
