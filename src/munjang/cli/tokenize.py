"""``munjang tokenize``: the tokens and model inputs of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.options import DEFAULT_MODEL, AsJson, Model, Offline, examples
from munjang.cli.common.output import clean, console, joined, new_table, print_json
from munjang.cli.common.texts import answered, text_or_lines

if TYPE_CHECKING:
    from munjang.tokenization import Encoding, Tokenizer

__all__ = ["EXAMPLES", "tokenize"]

EXAMPLES = examples(
    'munjang tokenize "축구는 정말 재미있다."',
    'munjang tokenize "Where is the cat?" --pair "On the mat." --model all-MiniLM-L6-v2',
    'munjang tokenize "I love Paris" --pad-to 8 --json',
)
_COLUMNS = ("#", "token", "id", "segment", "mask", "place", "characters")
_LEFT = ("token", "characters")


def tokenize(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="A text; - for the lines of standard input.")
    ] = None,
    pair: Annotated[str | None, typer.Option("--pair", metavar="TEXT", help="A second text.")] = None,
    pad_to: Annotated[
        int | None,
        typer.Option(
            "--pad-to", metavar="N", min=1, help="Make it exactly N tokens: fill up, or cut off and say so."
        ),
    ] = None,
    model: Model = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Show the tokens of a text, and the rows of numbers that a model is fed.

    Each token has its number in the vocabulary, its segment (0 for the first text, 1 for the second), its
    mask (0 for padding) and the characters that it covers.
    """
    texts = text_or_lines(text, "TEXT")
    from munjang.tokenization import Tokenizer

    tokenizer = Tokenizer.from_pretrained(DEFAULT_MODEL if model is None else model, offline=offline or None)
    with answered(texts, lambda some: _encode(tokenizer, some, pair, pad_to)) as found:
        for each, encoding in found:
            if as_json:
                print_json(None if encoding is None else _as_dict(encoding))
            elif encoding is not None:
                _print_table(encoding, (each, pair or ""), tokenizer)


def _encode(
    tokenizer: Tokenizer, texts: Sequence[str], pair: str | None, pad_to: int | None
) -> Sequence[Encoding]:
    return tokenizer(
        [text if pair is None else (text, pair) for text in texts],
        padding="max_length" if pad_to else False,
        truncation=True,
        max_length=pad_to,
    ).encodings


def _as_dict(encoding: Encoding) -> dict[str, Any]:
    return {
        "tokens": encoding.tokens,
        "input_ids": encoding.input_ids,
        "token_type_ids": encoding.token_type_ids,
        "attention_mask": encoding.attention_mask,
        "offsets": encoding.offsets,
        "truncated": encoding.truncated,
    }


def _print_table(encoding: Encoding, texts: tuple[str, str], tokenizer: Tokenizer) -> None:
    table = new_table()
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in _LEFT else "right")
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
    out = console()
    out.print(table)
    out.print(_summary(encoding, tokenizer), style="dim")


def _covered(encoding: Encoding, number: int, texts: tuple[str, str]) -> tuple[str, str]:
    """Return the offsets of a token's characters in their text, and the characters."""
    sequence = encoding.sequence_ids[number]
    if sequence is None:
        return "", ""
    start, end = encoding.offsets[number]
    return f"{start}-{end}", clean(texts[sequence][start:end])


def _summary(encoding: Encoding, tokenizer: Tokenizer) -> str:
    fed = sum(encoding.attention_mask)
    padding = len(encoding) - fed
    return joined(
        (
            tokenizer.name_or_path,
            f"{fed} tokens, special ones included",
            f"{padding} of padding" if padding else "",
            f"{encoding.truncated} cut off" if encoding.truncated else "nothing cut off",
        )
    )
