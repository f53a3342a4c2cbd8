"""``munjang evaluate entities``: taggers of entities."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from munjang.choices import Grouping
from munjang.cli.common.commands import command
from munjang.cli.common.options import Offline, TaskModel, option
from munjang.cli.common.texts import model_options
from munjang.cli.evaluate.report import Data, Limit, Report, sampled


@command(
    "munjang evaluate entities klue-ner.tsv --model MODEL",
    "munjang evaluate entities klue-ner.tsv --limit 500 --markdown --model MODEL",
)
def entities(
    data: Data,
    model: TaskModel,
    strategy: Annotated[
        Grouping,
        option("How tokens become entities: simple, first, average, max.", "NAME"),
    ] = "simple",
    limit: Limit = None,
    offline: Offline = None,
    report: Report = Report(),
) -> None:
    """Measure a tagger of entities: F1, precision and recall of whole entities, and F1 of their characters.

    The file is in the format of KLUE-NER, Naver NER or CoNLL, or JSON Lines with text and entities.
    """
    from munjang.data import read_tagged_texts
    from munjang.evaluation.entities import evaluate_entities
    from munjang.tasks.token_classification import TokenClassification

    examples = sampled(read_tagged_texts(data), limit)
    tagger = TokenClassification(model, options=model_options(offline))
    report.run(data, partial(evaluate_entities, strategy=strategy), tagger, examples)
