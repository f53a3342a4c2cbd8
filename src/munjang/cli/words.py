"""``munjang fill-mask``, ``next-sentence`` and ``features``: BERT's pre-training tasks and its vectors."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from munjang.cli.common.options import DEFAULT_MODEL, AsJson, Model, Offline, TaskModel, examples
from munjang.cli.common.output import clean, console, joined, new_table, print_json
from munjang.cli.common.texts import answered, lines_of_stdin, text_or_lines, usage_error
from munjang.data.files import STDIN

if TYPE_CHECKING:
    from munjang.tasks.features import Combine, Features, Layers
    from munjang.tasks.fill_mask.fill_mask import Fill
    from munjang.tasks.loading import ModelOptions
    from munjang.tasks.next_sentence import NextSentence

__all__ = [
    "FEATURES_EXAMPLES",
    "FILL_MASK_EXAMPLES",
    "NEXT_SENTENCE_EXAMPLES",
    "features",
    "fill_mask",
    "next_sentence",
]

FILL_MASK_EXAMPLES = examples(
    'munjang fill-mask "축구는 정말 재미있는 [MASK]다."',
    'munjang fill-mask "나는 [MASK]에서 [MASK]를 먹었다." --top 3 --json',
    'munjang fill-mask "Soccer is a really fun [MASK]." --target sport --target game -m bert-base-uncased',
)
NEXT_SENTENCE_EXAMPLES = examples(
    'munjang next-sentence "극장에 갔다." "재미있는 영화를 보았다."',
    'munjang next-sentence "The sky is blue." "I love pizza." --json --model bert-base-uncased',
)
FEATURES_EXAMPLES = examples(
    'munjang features "축구는 정말 재미있다." --level word',
    'munjang features "I love Paris" --pad-to 7 --layers all --json -m all-MiniLM-L6-v2',
    'munjang features "I love Paris" --combine concat_last_four --level mean --json',
)
_SHOWN = 4  # numbers of a vector in a table

# BERT with both of its pre-training heads; the models of the catalogue have none.
_DEFAULT = "klue/bert-base"


class Level(StrEnum):
    """The unit that a vector represents."""

    TOKEN = "token"  # noqa: S105 -- not a password
    WORD = "word"
    CLS = "cls"
    MEAN = "mean"
    POOLER = "pooler"


def fill_mask(
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="A text with [MASK] in it; - for the lines of standard input."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", "-k", metavar="K", min=1, show_default="5, or every target", help="How many."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", "-t", metavar="WORD", help="Consider only this word; may be repeated."),
    ] = None,
    beam: Annotated[
        int, typer.Option("--beam", metavar="N", min=1, help="With several masks: how many fills to follow.")
    ] = 10,
    model: TaskModel = _DEFAULT,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Say which words a model would put in the place of [MASK].

    Write the mask as the model does: [MASK], or <mask> for RoBERTa. Several masks are filled together, from
    left to right, and the score is the probability of all of them.
    """
    texts = text_or_lines(text, "TEXT")
    from munjang.tasks.fill_mask.fill_mask import FillMask

    fill = FillMask(model, options=_options(offline))
    with answered(texts, lambda some: fill(list(some), top, target or None, beam=beam)) as found:
        for _, fills in found:
            if as_json:
                print_json(None if fills is None else [_fill_as_dict(each) for each in fills])
            elif fills is not None:
                _print_fills(fills, model)


def _fill_as_dict(fill: Fill) -> dict[str, Any]:
    found: dict[str, Any] = {**fill, "score": _short(fill["score"])}
    if "scores" in fill:
        found["scores"] = [_short(score) for score in fill["scores"]]
    del found["withheld"]  # the same in each: shown as the table's footnote
    return found


def _print_fills(fills: list[Fill], model: str) -> None:
    table = new_table()
    table.add_column("score", justify="right")
    table.add_column("fill")
    table.add_column("text", overflow="fold")
    for fill in fills:
        word = fill.get("token_str") or " + ".join(fill.get("token_strs", []))
        table.add_row(f"{fill['score']:.4f}", clean(word), clean(fill["sequence"]))
    out = console()
    out.print(table)
    withheld = f"{fills[0]['withheld']:.4f} went to pieces that are never offered" if fills else ""
    out.print(joined((model, withheld)), style="dim")


def next_sentence(
    a: Annotated[str, typer.Argument(metavar="A", help="A sentence; - for each line of standard input.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another; - for each line of standard input.")],
    model: TaskModel = _DEFAULT,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Say whether the sentence B follows the sentence A: label 0 if it does, 1 if they are unrelated."""
    if a == b == STDIN:
        raise usage_error("Only one of the two can be standard input.", "A")
    lines = lines_of_stdin() if STDIN in (a, b) else [a]
    pairs = [(a, line) if b == STDIN else (line, b) for line in lines]
    from munjang.tasks.next_sentence import NextSentencePrediction

    judge = NextSentencePrediction(model, options=_options(offline))
    with answered(pairs, judge) as found:
        if as_json:
            for _, each in found:
                print_json(None if each is None else _judgement_as_dict(each))
        else:
            _print_judgements([(pair, each) for pair, each in found if each is not None], model)


def _judgement_as_dict(found: NextSentence) -> dict[str, Any]:
    return {**found, "follows": _short(found["follows"]), "unrelated": _short(found["unrelated"])}


def _print_judgements(found: list[tuple[tuple[str, str], NextSentence]], model: str) -> None:
    table = new_table(lines=True)
    for name in ("label", "follows", "unrelated"):
        table.add_column(name, justify="right")
    table.add_column("sentences", overflow="fold")
    for pair, each in found:
        said = "0, follows" if each["label"] == 0 else "1, unrelated"
        shown = "\n".join(map(clean, pair))
        table.add_row(said, f"{each['follows']:.4f}", f"{each['unrelated']:.4f}", shown)
    out = console()
    out.print(table)
    out.print(model, style="dim")


def features(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="A text; - for the lines of standard input.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            metavar="WHICH",
            show_default="last",
            help="last, all, or numbers, as in 0,-1: 0 is the embedding output, -1 the last layer.",
        ),
    ] = None,
    combine: Annotated[
        str | None,
        typer.Option(
            "--combine",
            metavar="HOW",
            help="Make one of several layers: second_to_last, sum_last_four, concat_last_four, mean_all, or "
            "a weight for the embedding output and each layer, as in 0,0,1,1.",
        ),
    ] = None,
    level: Annotated[
        Level, typer.Option("--level", help="A vector for each token or word, or one for the text.")
    ] = Level.TOKEN,
    pad_to: Annotated[
        int | None,
        typer.Option(
            "--pad-to", metavar="N", min=1, help="Exactly N tokens: zeros are added, or some cut off."
        ),
    ] = None,
    model: Model = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Show the vectors that a model makes of a text: of any layer, per token, per word or of the whole."""
    texts = text_or_lines(text, "TEXT")
    chosen_layers, chosen_combine = _layers(layers), _combine(combine)
    from munjang.tasks.features import FeatureExtraction

    extract = FeatureExtraction(DEFAULT_MODEL if model is None else model, options=_options(offline))
    names = _names_of_layers(chosen_layers, extract.model.config.num_hidden_layers)
    with answered(
        texts,
        lambda some: extract.features(list(some), chosen_layers, chosen_combine, level.value, pad_to),
    ) as answers:
        for _, found in answers:
            if as_json:
                print_json(None if found is None else _features_as_dict(found))
            elif found is not None:
                _print_features(found, names)


def _names_of_layers(layers: Layers | None, count: int) -> list[str]:
    """Return the names of the layers that are shown separately; empty if there is only one."""
    if layers == "all":
        layers = list(range(count + 1))
    if not isinstance(layers, list):
        return []
    numbers = [layer % (count + 1) for layer in layers if -count - 1 <= layer <= count]
    return [f"layer {number}" if number else "layer 0, the embedding output" for number in numbers]


def _layers(text: str | None) -> Layers | None:
    """Parse ``last``, ``all``, ``3`` or ``0,-1``."""
    names: dict[str | None, Layers | None] = {None: None, "last": "last", "all": "all"}
    if text in names:
        return names[text]
    try:
        numbers = [int(part) for part in str(text).split(",")]
    except ValueError:
        raise usage_error("Give last, all, a number, or numbers with commas between.", "--layers") from None
    return numbers if len(numbers) > 1 else numbers[0]


def _combine(text: str | None) -> Combine | None:
    """Parse a name, or comma-separated weights."""
    if text is None or "," not in text:
        return text  # type: ignore[return-value] # the task reports an invalid name
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise usage_error("Weights are numbers with commas between.", "--combine") from None


def _features_as_dict(found: Features) -> dict[str, Any]:
    return {
        "tokens": found.tokens,
        "offsets": found.offsets,
        "shape": list(found.values.shape),
        "values": found.values.tolist(),
    }


def _print_features(found: Features, names: Sequence[str]) -> None:
    out = console()
    # One table for each separate layer, one row for each vector.
    rows = found.values.reshape(-1, len(found.tokens) or 1, found.values.shape[-1])
    for number, layer in enumerate(rows):
        table = new_table(names[number] if names else None)
        table.add_column("token")
        table.add_column("vector", no_wrap=True)
        for token, vector in zip(found.tokens or ["(all)"], layer, strict=True):
            some = "  ".join(f"{value:7.4f}" for value in vector[:_SHOWN])
            table.add_row(clean(token), f"{some}  ...")
        out.print(table)
    shape = " x ".join(map(str, found.values.shape))
    out.print(f"{shape} numbers; --json prints all of them", style="dim")


def _options(offline: bool | None) -> ModelOptions:
    from munjang.tasks.loading import ModelOptions

    return ModelOptions(offline=offline or None)


def _short(probability: float) -> float:
    """Round to six significant digits; a joint probability may be small."""
    return float(f"{probability:.6g}")
