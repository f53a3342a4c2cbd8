"""``munjang generate``: text generation from a prompt."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from munjang.choices import Weights
from munjang.cli.common.commands import command
from munjang.cli.common.options import MODEL, AsJson, Bundle, argument, option
from munjang.cli.common.output import clean, new_table, print_json, print_table, write_line
from munjang.cli.common.texts import TaskOpening, refuse
from munjang.rounding import rounded_items

if TYPE_CHECKING:
    from munjang.tasks.generation.text_generation import Candidate


@command(
    'munjang generate "The cat sat on the" --max-new-tokens 20 --seed 1',
    'munjang generate "옛날 옛적에" --model skt/kogpt2-base-v2 --top-p 0.9 --repetition-penalty 1.2',
    'munjang generate "The cat sat on the" --candidates --top-k 5 --top-p 0.8',
)
def generate(
    prompt: Annotated[str, argument("The beginning of the text.", "PROMPT")],
    max_new_tokens: Annotated[
        int | None, option("Maximum number of generated tokens.", "N", min=1, shown="50")
    ] = None,
    do_sample: Annotated[
        bool | None,
        option(
            "Draw each token by its probability, or take the most probable token.",
            "--sample/--greedy",
            shown="sample if any of the options below is given",
        ),
    ] = None,
    temperature: Annotated[float, option("Below 1, probable tokens become more probable.", "T")] = 1.0,
    top_k: Annotated[int | None, option("Draw among the K most probable tokens.", "K", shown="all")] = None,
    top_p: Annotated[
        float | None,
        option("Draw among the fewest tokens with this total probability.", "P", shown="all"),
    ] = None,
    seed: Annotated[int | None, option("The same seed draws the same text again.", "N")] = None,
    repetition_penalty: Annotated[float, option("Above 1, repetitions become less probable.", "X")] = 1.0,
    stop: Annotated[list[str] | None, option("End before this text; may be repeated.", "TEXT")] = None,
    candidates: Annotated[bool, option("Show the most probable next tokens, and generate nothing.")] = False,
    weights: Annotated[Weights, option("int8 is faster and slightly less exact.", panel=MODEL)] = "float32",
    # The catalogue has no such model.
    opening: Annotated[TaskOpening, Bundle(without=("dtype",))] = TaskOpening(model="openai-community/gpt2"),
    as_json: AsJson = False,
) -> None:
    """Continue a prompt with a GPT-2 model; the text is printed while it is generated.

    With --candidates, show the most probable next tokens, and which of them --top-k and --top-p keep.
    """
    if candidates:
        refuse("beside --candidates", "do_sample", "max_new_tokens", "repetition_penalty", "stop", "seed")
    elif do_sample is False:
        refuse("beside --greedy", "temperature", "top_k", "top_p", "seed")
    from munjang.tasks.generation.text_generation import TextGeneration

    generator = opening.open(TextGeneration, weights=weights)
    if candidates:
        rows = generator.candidates(prompt, top_k=top_k, top_p=top_p, temperature=temperature)
        if as_json:
            print_json([rounded_items(row) for row in rows])
        else:
            _print_candidates(rows)
        return
    pieces = generator.stream(
        prompt,
        max_new_tokens=max_new_tokens,
        do_sample=do_sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        stop=stop or None,
        seed=seed,
    )
    if as_json:
        print_json([{"generated_text": "".join(pieces)}])
    else:
        _print_pieces(pieces)


def _print_pieces(pieces: Iterator[str]) -> None:
    """Write each piece immediately; always end with a line break, also after an error."""
    try:
        for piece in pieces:
            # A text may have several lines; other control characters are escaped.
            sys.stdout.write("\n".join(map(clean, piece.split("\n"))))
            sys.stdout.flush()
    finally:
        write_line("")


def _print_candidates(rows: list[Candidate]) -> None:
    table = new_table(None, ">token", "text", ">probability", ">cumulative", ">top-k", ">top-p")
    for row in rows:
        kept = ("kept" if flag else "" for flag in (row["kept_by_top_k"], row["kept_by_top_p"]))
        shares = (f"{row['probability']:.4f}", f"{row['cumulative']:.4f}")
        table.add_row(str(row["token"]), repr(clean(row["token_str"])), *shares, *kept)
    print_table(table)
