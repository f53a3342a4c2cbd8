"""``munjang fill-mask`` and ``next-sentence``: the tasks of BERT's pre-training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, argument, option
from munjang.cli.common.output import clean, joined, new_table, print_json, print_table
from munjang.cli.common.texts import TaskOpening, answered, line_pairs, print_answers, text_or_lines

if TYPE_CHECKING:
    from munjang.tasks.fill_mask.fill_mask import Fill
    from munjang.tasks.next_sentence import NextSentence

_MODEL = "klue/bert-base"  # has both heads; the models of the catalogue have neither


@command(
    'munjang fill-mask "축구는 정말 재미있는 [MASK]다."',
    'munjang fill-mask "나는 [MASK]에서 [MASK]를 먹었다." --top 3 --json',
    'munjang fill-mask "Soccer is a really fun [MASK]." --target sport --target game -m bert-base-uncased',
)
def fill_mask(
    text: Annotated[
        str | None, argument("A text with [MASK] in it; - for the lines of standard input.", "TEXT")
    ] = None,
    top: Annotated[
        int | None, option("Number of results.", "K", "-k", min=1, shown="5, or every target")
    ] = None,
    target: Annotated[
        list[str] | None, option("Consider only this word; may be repeated.", "WORD", "-t")
    ] = None,
    beam: Annotated[int, option("With several masks: width of the beam search.", "N", min=1)] = 10,
    opening: TaskOpening = TaskOpening(model=_MODEL),
    as_json: AsJson = False,
) -> None:
    """Predict the words in the place of [MASK].

    Write the mask as the model does: [MASK], or <mask> for RoBERTa. Several masks are filled together, from
    left to right, and the score is the probability of all of them.
    """
    texts = text_or_lines(text)
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.results import fill_to_dict

    fill = opening.open(FillMask)
    print_answers(
        texts,
        lambda some: fill(list(some), top, target or None, beam=beam),
        as_json,
        lambda fills: [fill_to_dict(each) for each in fills],
        lambda _, fills: _print_fills(fills, opening.model),
    )


def _print_fills(fills: list[Fill], model: str) -> None:
    table = new_table(None, ">score", "fill", "text")
    for fill in fills:
        word = fill.get("token_str") or " + ".join(fill.get("token_strs", []))
        table.add_row(f"{fill['score']:.4f}", clean(word), clean(fill["sequence"]))
    withheld = f"{fills[0]['withheld']:.4f} went to pieces that are never offered" if fills else ""
    print_table(table, joined((model, withheld)))


@command(
    'munjang next-sentence "극장에 갔다." "재미있는 영화를 보았다."',
    'munjang next-sentence "The sky is blue." "I love pizza." --json --model bert-base-uncased',
)
def next_sentence(
    a: Annotated[str, argument("A sentence; - for each line of standard input.", "A")],
    b: Annotated[str, argument("Another sentence; - for each line of standard input.", "B")],
    opening: TaskOpening = TaskOpening(model=_MODEL),
    as_json: AsJson = False,
) -> None:
    """Predict whether the sentence B follows the sentence A: label 0 if it does, 1 if they are unrelated."""
    pairs = line_pairs(a, b)
    from munjang.tasks.next_sentence import NextSentencePrediction
    from munjang.tasks.results import next_sentence_to_dict

    with answered(pairs, opening.open(NextSentencePrediction)) as results:
        if as_json:
            for _, result in results:
                print_json(None if result is None else next_sentence_to_dict(result))
        else:
            _print_pairs([(pair, result) for pair, result in results if result is not None], opening.model)


def _print_pairs(results: list[tuple[tuple[str, str], NextSentence]], model: str) -> None:
    table = new_table(None, ">label", ">follows", ">unrelated", "sentences", lines=True)
    for pair, result in results:
        label = "0, follows" if result["label"] == 0 else "1, unrelated"
        sentences = "\n".join(map(clean, pair))
        table.add_row(label, f"{result['follows']:.4f}", f"{result['unrelated']:.4f}", sentences)
    print_table(table, model)
