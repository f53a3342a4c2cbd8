"""``munjang evaluate language-model``: perplexity, and pseudo-perplexity of masked models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import Bundle
from munjang.cli.common.texts import Reading, TaskOpening
from munjang.cli.evaluate.report import Data, Report

if TYPE_CHECKING:
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration


@command("munjang evaluate language-model sentences.txt --limit 200 --model MODEL")
def language_model(
    data: Data,
    opening: TaskOpening,
    reading: Annotated[Reading, Bundle(without=("no_quoting", "no_header"))] = Reading(),
    report: Report = Report(),
) -> None:
    """Measure how well a model predicts texts: the perplexity of a causal model, or a pseudo-perplexity.

    The pseudo-perplexity is that of a masked model such as BERT, which sees both sides of a token; it needs
    a run of the model for each token. The file is text with one entry per line, or a table with a column of
    texts.
    """
    encoding = reading.arguments(data)["encoding"]
    from munjang.data import read_texts
    from munjang.evaluation.language_models import evaluate_language_model

    texts = report.sampled(list(read_texts(data, column=reading.column, encoding=encoding)))
    report.run(data, evaluate_language_model, _opened(opening), texts)


def _opened(opening: TaskOpening) -> TextGeneration | FillMask:
    from munjang.checkpoints import open_checkpoint
    from munjang.models.registry import CAUSAL_LM, architecture_of
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration

    checkpoint = open_checkpoint(opening.model, offline=opening.offline)
    if CAUSAL_LM in architecture_of(checkpoint.config()).heads:
        return opening.open(TextGeneration)
    return opening.open(FillMask)
