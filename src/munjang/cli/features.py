"""``munjang features``: the vectors that a model makes of the tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from munjang.choices import Level
from munjang.cli.common.commands import command
from munjang.cli.common.options import AsJson, Text, option
from munjang.cli.common.output import clean, console, new_table, print_table, vector_cell
from munjang.cli.common.texts import (
    ModelOpening,
    Opening,
    model_options,
    print_answers,
    text_or_lines,
    usage_error,
)

if TYPE_CHECKING:
    from munjang.tasks.features import Combine, Features, Layers

_LAYERS = "last, all, or numbers, as in 0,-1: 0 is the embedding output, -1 the last layer."
_COMBINE = (
    "Combine several layers: second_to_last, sum_last_four, concat_last_four, mean_all, or a weight for the "
    "embedding output and each layer, as in 0,0,1,1."
)


@command(
    'munjang features "축구는 정말 재미있다." --level word',
    'munjang features "I love Paris" --pad-to 7 --layers all --json -m all-MiniLM-L6-v2',
    'munjang features "I love Paris" --combine concat_last_four --level mean --json',
)
def features(
    text: Text = None,
    layers: Annotated[str | None, option(_LAYERS, "WHICH", shown="last")] = None,
    combine: Annotated[str | None, option(_COMBINE, "HOW")] = None,
    level: Annotated[Level, option("A vector for each token, for each word, or one for the text.")] = "token",
    pad_to: Annotated[
        int | None, option("Return exactly N tokens: pad with zeros, or truncate.", "N", min=1)
    ] = None,
    opening: ModelOpening = Opening(),
    as_json: AsJson = False,
) -> None:
    """Show the vectors of a text: of any layer, per token, per word or of the whole text."""
    texts = text_or_lines(text)
    chosen_layers, chosen_combine = _layers(layers), _combine(combine)
    from munjang.tasks.features import FeatureExtraction

    extract = FeatureExtraction(opening.name, options=model_options(opening.offline))
    names = _names_of_layers(chosen_layers, extract.model.config.num_hidden_layers)
    print_answers(
        texts,
        lambda some: extract.features(list(some), chosen_layers, chosen_combine, level, pad_to),
        as_json,
        lambda result: result.to_dict(),
        lambda _, result: _print_features(result, names),
    )


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
        raise usage_error("Must be last, all, or numbers separated by commas.", "--layers") from None
    return numbers if len(numbers) > 1 else numbers[0]


def _combine(text: str | None) -> Combine | None:
    """Parse a name, or comma-separated weights."""
    if text is None or "," not in text:
        return text  # type: ignore[return-value] # the task reports an invalid name
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise usage_error("Weights must be numbers separated by commas.", "--combine") from None


def _print_features(result: Features, names: Sequence[str]) -> None:
    # One table for each separate layer, one row for each vector.
    rows = result.values.reshape(-1, len(result.tokens) or 1, result.values.shape[-1])
    for number, layer in enumerate(rows):
        table = new_table(names[number] if names else None, "token")
        table.add_column("vector", no_wrap=True)
        for token, vector in zip(result.tokens or ["(all)"], layer, strict=True):
            table.add_row(clean(token), vector_cell(vector))
        print_table(table)
    shape = " x ".join(map(str, result.values.shape))
    console().print(f"{shape} numbers; --json prints all of them", style="dim")
