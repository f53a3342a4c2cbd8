"""``munjang fill-mask``: the most probable words in the place of a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Offline, TaskModel, argument, option
from munjang.cli.common.output import clean, joined, new_table, print_table
from munjang.cli.common.texts import model_options, print_answers, text_or_lines

if TYPE_CHECKING:
    from munjang.tasks.fill_mask.fill_mask import Fill


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
    model: TaskModel = "klue/bert-base",  # has this head; the models of the catalogue have not
    offline: Offline = None,
    as_json: AsJson = False,
) -> None:
    """Predict the words in the place of [MASK].

    Write the mask as the model does: [MASK], or <mask> for RoBERTa. Several masks are filled together, from
    left to right, and the score is the probability of all of them.
    """
    texts = text_or_lines(text)
    from munjang.tasks.fill_mask.fill_mask import FillMask
    from munjang.tasks.results import fill_to_dict

    fill = FillMask(model, options=model_options(offline))
    print_answers(
        texts,
        lambda some: fill(list(some), top, target or None, beam=beam),
        as_json,
        lambda fills: [fill_to_dict(each) for each in fills],
        lambda _, fills: _print_fills(fills, model),
    )


def _print_fills(fills: list[Fill], model: str) -> None:
    table = new_table(None, ">score", "fill", "text")
    for fill in fills:
        word = fill.get("token_str") or " + ".join(fill.get("token_strs", []))
        table.add_row(f"{fill['score']:.4f}", clean(word), clean(fill["sequence"]))
    withheld = f"{fills[0]['withheld']:.4f} went to pieces that are never offered" if fills else ""
    print_table(table, joined((model, withheld)))
