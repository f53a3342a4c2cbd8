"""``munjang next-sentence``: whether a sentence follows another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Offline, TaskModel, argument
from munjang.cli.common.output import clean, new_table, print_json, print_table
from munjang.cli.common.texts import answered, lines_of_stdin, model_options, usage_error
from munjang.data.files import STDIN

if TYPE_CHECKING:
    from munjang.tasks.next_sentence import NextSentence


@command(
    'munjang next-sentence "극장에 갔다." "재미있는 영화를 보았다."',
    'munjang next-sentence "The sky is blue." "I love pizza." --json --model bert-base-uncased',
)
def next_sentence(
    a: Annotated[str, argument("A sentence; - for each line of standard input.", "A")],
    b: Annotated[str, argument("Another sentence; - for each line of standard input.", "B")],
    model: TaskModel = "klue/bert-base",  # has this head; the models of the catalogue have not
    offline: Offline = None,
    as_json: AsJson = False,
) -> None:
    """Predict whether the sentence B follows the sentence A: label 0 if it does, 1 if they are unrelated."""
    if a == b == STDIN:
        raise usage_error("Only one of the two can be standard input.", "A")
    lines = lines_of_stdin() if STDIN in (a, b) else [a]
    pairs = [(a, line) if b == STDIN else (line, b) for line in lines]
    from munjang.tasks.next_sentence import NextSentencePrediction
    from munjang.tasks.results import next_sentence_to_dict

    predict = NextSentencePrediction(model, options=model_options(offline))
    with answered(pairs, predict) as results:
        if as_json:
            for _, result in results:
                print_json(None if result is None else next_sentence_to_dict(result))
        else:
            _print_table([(pair, result) for pair, result in results if result is not None], model)


def _print_table(results: list[tuple[tuple[str, str], NextSentence]], model: str) -> None:
    table = new_table(None, ">label", ">follows", ">unrelated", "sentences", lines=True)
    for pair, result in results:
        label = "0, follows" if result["label"] == 0 else "1, unrelated"
        sentences = "\n".join(map(clean, pair))
        table.add_row(label, f"{result['follows']:.4f}", f"{result['unrelated']:.4f}", sentences)
    print_table(table, model)
