"""``munjang evaluate language-model``: perplexity, and pseudo-perplexity of masked models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import Bundle, Offline, TaskModel
from munjang.cli.common.texts import Reading, model_options
from munjang.cli.evaluate.report import Data, Limit, Report, sampled

if TYPE_CHECKING:
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration


@command("munjang evaluate language-model sentences.txt --limit 200 --model MODEL")
def language_model(
    data: Data,
    model: TaskModel,
    reading: Annotated[Reading, Bundle(without=("no_quoting", "no_header"))] = Reading(),
    limit: Limit = None,
    offline: Offline = None,
    report: Report = Report(),
) -> None:
    """Measure how well a model foresees texts: the perplexity of GPT-2's kind, or a pseudo-perplexity.

    The pseudo-perplexity is that of a masked model such as BERT, which sees both sides of a token; it takes a
    run for each token. The file is text with one entry per line, or a table with a column of texts.
    """
    encoding = reading.arguments(data)["encoding"]
    from munjang.data import read_texts
    from munjang.evaluation.language_models import evaluate_language_model

    texts = sampled(list(read_texts(data, column=reading.column, encoding=encoding)), limit)
    report.run(data, evaluate_language_model, _opened(model, offline), texts)


def _opened(name: str, offline: bool | None) -> TextGeneration | FillMask:
    from munjang.checkpoints import open_checkpoint
    from munjang.models.registry import CAUSAL_LM, architecture_of
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration

    options = model_options(offline)
    checkpoint = open_checkpoint(name, offline=options.offline)
    if CAUSAL_LM in architecture_of(checkpoint.config()).heads:
        return TextGeneration(name, options=options)
    return FillMask(name, options=options)
