"""``munjang tokenize``: the tokens and model inputs of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Text, option
from munjang.cli.common.output import clean, joined, new_table, print_table
from munjang.cli.common.texts import ModelOpening, Opening, print_answers, text_or_lines

if TYPE_CHECKING:
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
