"""``munjang evaluate answers``: answers that are parts of a text."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from munjang.choices import Normalization
from munjang.cli.common.commands import command
from munjang.cli.common.options import Offline, TaskModel, option
from munjang.cli.common.texts import model_options
from munjang.cli.evaluate.report import Data, Limit, Report, sampled


@command(
    "munjang evaluate answers korquad.json --limit 500 --model MODEL",
    "munjang evaluate answers korquad.json --normalization squad --trim-particles --model MODEL",
)
def answers(
    data: Data,
    model: TaskModel,
    normalization: Annotated[
        Normalization,
        option("Whose rules make answers comparable: korquad (characters) or squad (words).", "NAME"),
    ] = "korquad",
    trim_particles: Annotated[bool, option("Take Korean particles off: 서울에서 becomes 서울.")] = False,
    limit: Limit = None,
    offline: Offline = None,
    report: Report = Report(),
) -> None:
    """Measure how well a model finds answers in texts: exact match and F1, as KorQuAD or SQuAD count them.

    The file is in the layout of SQuAD, which KorQuAD has too.
    """
    from munjang.data import read_questions
    from munjang.evaluation.answers import evaluate_answers
    from munjang.tasks.question_answering import QuestionAnswering

    questions = sampled(read_questions(data), limit)
    answerer = QuestionAnswering(model, options=model_options(offline))
    evaluate = partial(evaluate_answers, normalization=normalization, trim_particles=trim_particles)
    report.run(data, evaluate, answerer, questions)
