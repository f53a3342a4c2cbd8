"""``munjang answer``: the parts of a text that answer a question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, argument, option
from munjang.cli.common.output import clean, joined, new_table, print_json, print_table
from munjang.cli.common.texts import TaskOpening, usage_error
from munjang.errors import DataFileError

if TYPE_CHECKING:
    from munjang.tasks.question_answering import Answer

# The catalogue has no model with this head. This one knows Korean, and questions without an answer.
_MODEL = "deepset/xlm-roberta-base-squad2"


@command(
    'munjang answer "한국의 수도는 어디인가?" --context "한국의 수도는 서울이다."',
    'munjang answer "Who wrote it?" --context-file article.txt --top 3 --json',
)
def answer(
    question: Annotated[str, argument("The question.", "QUESTION")],
    context: Annotated[str | None, option("The text that contains the answer.", "TEXT", "-c")] = None,
    context_file: Annotated[Path | None, option("A file with that text, in UTF-8.", "FILE", "-f")] = None,
    top: Annotated[int, option("Number of answers.", "K", "-k", min=1)] = 1,
    no_answer: Annotated[
        bool, option("Allow the result that the text has no answer: an empty answer.")
    ] = False,
    trim_particles: Annotated[bool, option("Remove Korean particles: 서울에서 becomes 서울.")] = False,
    max_answer_len: Annotated[int, option("Maximum number of tokens of an answer.", "N", min=1)] = 30,
    opening: TaskOpening = TaskOpening(model=_MODEL),
    as_json: AsJson = False,
) -> None:
    """Find the part of a text that answers a question; the text may be of any length.

    With --top above 1, JSON is a list of answers, best first.
    """
    text = _context(context, context_file)
    from munjang.tasks.question_answering import QuestionAnswering
    from munjang.tasks.results import answer_to_dict

    result: Any = opening.open(QuestionAnswering)(
        question,
        text,
        top_k=top,
        handle_impossible_answer=no_answer,
        trim_particles=trim_particles,
        max_answer_len=max_answer_len,
    )
    if as_json:
        print_json(answer_to_dict(result) if top == 1 else [answer_to_dict(each) for each in result])
    else:
        _print_answers([result] if top == 1 else result, opening.model)


def _context(context: str | None, file: Path | None) -> str:
    if (context is None) == (file is None):
        raise usage_error("Use either --context or --context-file.", "--context")
    if file is None:
        return context or ""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFileError(f"{file} is not UTF-8 (at byte {error.start}); save it as UTF-8 first.") from None
    except OSError as error:
        raise DataFileError(f"{file} can't be read: {error.strerror or error}.") from None


def _print_answers(answers: list[Answer], model: str) -> None:
    table = new_table(None, ">score", "answer", ">characters")
    for each in answers:
        place = f"{each['start']}-{each['end']}" if each["answer"] else ""
        table.add_row(f"{each['score']:.4f}", clean(each["answer"]) or "(no answer)", place)
    print_table(table, joined((model, f"no answer {answers[0]['null_score']:.4f}")))
