"""``munjang tokenize`` and ``explain``: the tokens of a text, and a model's computation step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from munjang.choices import Task
from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Text, argument, option
from munjang.cli.common.output import clean, console, joined, new_table, print_json, print_table, write_line
from munjang.cli.common.texts import (
    ModelOpening,
    Opening,
    model_options,
    print_answers,
    refuse,
    text_or_lines,
)

if TYPE_CHECKING:
    from munjang.tasks.explain.explain import Explanation
    from munjang.tokenization import Encoding, Tokenizer


@command(
    'munjang tokenize "축구는 정말 재미있다."',
    'munjang tokenize "Where is the cat?" --pair "On the mat." --model all-MiniLM-L6-v2',
    'munjang tokenize "I love Paris" --pad-to 8 --json',
)
def tokenize(
    text: Text = None,
    pair: Annotated[str | None, option("A second text.", "TEXT")] = None,
    pad_to: Annotated[
        int | None,
        option("Return exactly N tokens: pad, or truncate and report the number of cut tokens.", "N", min=1),
    ] = None,
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Show the tokens of a text, and the numbers that are the input of the model.

    Each token has its id in the vocabulary, its segment (0 for the first text, 1 for the second), its mask (0
    for padding) and its characters in the text.
    """
    texts = text_or_lines(text)
    from munjang.tokenization import Tokenizer

    tokenizer = Tokenizer.from_pretrained(opening.name, offline=opening.offline)

    def encode(some: Sequence[str]) -> Sequence[Encoding]:
        return tokenizer(
            [each if pair is None else (each, pair) for each in some],
            padding="max_length" if pad_to else False,
            truncation=True,
            max_length=pad_to,
        ).encodings

    print_answers(
        texts,
        encode,
        as_json,
        lambda encoding: encoding.to_dict(),
        lambda line, encoding: _print_table(encoding, (line, pair or ""), tokenizer),
    )


def _print_table(encoding: Encoding, texts: tuple[str, str], tokenizer: Tokenizer) -> None:
    table = new_table(None, ">#", "token", ">id", ">segment", ">mask", ">place", "characters")
    for number, token in enumerate(encoding.tokens):
        table.add_row(
            str(number),
            clean(token),
            str(encoding.input_ids[number]),
            str(encoding.token_type_ids[number]),
            str(encoding.attention_mask[number]),
            *_covered(encoding, number, texts),
            style="dim" if encoding.special_tokens_mask[number] else None,
        )
    print_table(table, _summary(encoding, tokenizer))


def _covered(encoding: Encoding, number: int, texts: tuple[str, str]) -> tuple[str, str]:
    """Return the offsets of a token's characters in their text, and the characters."""
    sequence = encoding.sequence_ids[number]
    if sequence is None:
        return "", ""
    start, end = encoding.offsets[number]
    return f"{start}-{end}", clean(texts[sequence][start:end])


def _summary(encoding: Encoding, tokenizer: Tokenizer) -> str:
    count = sum(encoding.attention_mask)
    padding = len(encoding) - count
    return joined(
        (
            tokenizer.name_or_path,
            f"{count} tokens, special ones included",
            f"{padding} of padding" if padding else "",
            f"{encoding.truncated} cut off" if encoding.truncated else "nothing cut off",
        )
    )


@command(
    'munjang explain "축구는 정말 재미있는 스포츠다."',
    'munjang explain "I love Paris" --model all-MiniLM-L6-v2 --layer 3 --head 7',
    'munjang explain "축구는 정말 재미있는 [MASK]다." -m klue/bert-base --html steps.html',
)
def explain(
    text: Annotated[str, argument("A text.", "TEXT")],
    pair: Annotated[str | None, option("A second text.", "TEXT")] = None,
    task: Annotated[Task | None, option("The task to explain.", shown="the model's own")] = None,
    layer: Annotated[int | None, option("Layer of the shown attention, from 0.", "N", shown="last")] = None,
    head: Annotated[int | None, option("Head of the shown attention, from 0.", "N", shown="mean")] = None,
    top: Annotated[int, option("Number of answers.", "K", "-k", min=1)] = 5,
    html: Annotated[Path | None, option("Write a self-contained HTML page with all steps.", "FILE")] = None,
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Show every step of a model for a text: tokens, embeddings, layers, attention, answer.

    The page of --html is one file that opens in any browser, without a connection.
    """
    from munjang.tasks.explain.explain import explain as explanation_of

    options = model_options(opening.offline)
    explanation = explanation_of(text, pair, opening.name, task, top=top, options=options)
    if explanation.task in ("tokenize", "features"):
        refuse(f"on the task {explanation.task}, which has no answers", "top")
    explanation.check(layer, head)
    if html is not None:
        html.write_text(explanation.to_html(layer=layer, head=head), encoding="utf-8")
    if as_json:
        print_json(explanation.to_dict(layer=layer, head=head))
    elif html is not None:
        write_line(f"{html}: {len(explanation.rows)} tokens, {len(explanation.layers)} layers")
    else:
        _print_explanation(explanation, layer, head)


def _print_explanation(explanation: Explanation, layer: int | None, head: int | None) -> None:
    from munjang.tasks.explain.drawing.text import drawing

    out = console()
    out.print(drawing(explanation, layer=layer, head=head, width=out.width))
    facts = (explanation.model, explanation.model_type, explanation.task, f"{len(explanation.rows)} tokens")
    out.print(joined((*facts, "--html FILE shows more")), style="dim")
