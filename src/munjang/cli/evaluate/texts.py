"""``munjang evaluate answers`` and ``language-model``: how well a model finds answers, and foresees texts."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from munjang.cli.common.options import AsJson, Column, Encoding, Offline, Progress, TaskModel, examples
from munjang.cli.common.texts import refuse_reading
from munjang.cli.evaluate.common import (
    AsMarkdown,
    Data,
    Limit,
    chosen_form,
    model_options,
    report,
    sampled,
)

if TYPE_CHECKING:
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration

__all__ = ["ANSWERS_EXAMPLES", "LANGUAGE_MODEL_EXAMPLES", "answers", "language_model"]

ANSWERS_EXAMPLES = examples(
    "munjang evaluate answers korquad.json --limit 500 --model MODEL",
    "munjang evaluate answers korquad.json --normalization squad --trim-particles --model MODEL",
)
LANGUAGE_MODEL_EXAMPLES = examples(
    "munjang evaluate language-model sentences.txt --limit 200 --model MODEL",
)


class NormalForm(StrEnum):
    """Whose rules make answers comparable."""

    KORQUAD = "korquad"
    SQUAD = "squad"


def answers(
    data: Data,
    model: TaskModel,
    normalization: Annotated[
        NormalForm,
        typer.Option(
            "--normalization",
            metavar="NAME",
            help="Whose rules make answers comparable: korquad (characters) or squad (words).",
        ),
    ] = NormalForm.KORQUAD,
    trim_particles: Annotated[
        bool, typer.Option("--trim-particles", help="Take Korean particles off: 서울에서 becomes 서울.")
    ] = False,
    limit: Limit = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Measure how well a model finds answers in texts: exact match and F1, as KorQuAD or SQuAD count them.

    The file is in the layout of SQuAD, which KorQuAD has too.
    """
    form = chosen_form(as_json, as_markdown)
    from munjang.data import read_questions
    from munjang.evaluation.answers import evaluate_answers
    from munjang.tasks.question_answering import QuestionAnswering

    some = sampled(read_questions(data), limit)
    answerer = QuestionAnswering(model, options=model_options(offline))
    report(
        lambda advance: evaluate_answers(
            answerer,
            some,
            normalization=normalization.value,
            trim_particles=trim_particles,
            advance=advance,
        ),
        data,
        len(some),
        form,
        progress,
    )


def language_model(
    data: Data,
    model: TaskModel,
    column: Column = None,
    encoding: Encoding = "utf-8",
    limit: Limit = None,
    offline: Offline = False,
    progress: Progress = None,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Measure how well a model foresees texts: the perplexity of GPT-2's kind, or a pseudo-perplexity.

    The pseudo-perplexity is that of a masked model such as BERT, which sees both sides of a token; it takes a
    run for each token. The file is text with one entry per line, or a table with a column of texts.
    """
    form = chosen_form(as_json, as_markdown)
    refuse_reading(data)
    from munjang.data import read_texts
    from munjang.evaluation.language_models import evaluate_language_model

    some = sampled(list(read_texts(data, column=column, encoding=encoding)), limit)
    opened = _language_model(model, offline)
    report(
        lambda advance: evaluate_language_model(opened, some, advance=advance),
        data,
        len(some),
        form,
        progress,
    )


def _language_model(name: str, offline: bool | None) -> TextGeneration | FillMask:
    from munjang.checkpoints import open_checkpoint
    from munjang.models.registry import CAUSAL_LM, architecture_of
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.generation.text_generation import TextGeneration

    options = model_options(offline)
    checkpoint = open_checkpoint(name, offline=options.offline)
    if CAUSAL_LM in architecture_of(checkpoint.config()).heads:
        return TextGeneration(name, options=options)
    return FillMask(name, options=options)
