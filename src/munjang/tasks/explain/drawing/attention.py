"""Attention by layer and head in HTML, without a script.

Layers are `<details>`; the heads of a layer are radio buttons, each followed by its label and its panel, and
a style sheet shows the panel of the selected head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from munjang.tasks.explain.drawing.parts import strengths, token
from munjang.tasks.explain.steps import Array, Layer, Rows, cosines

_MOST_PIXELS = 2_000_000  # of all heads; above this, a page shows the means, and the heads of one layer only
_MANY_TOKENS = 40
_Panel = tuple[str, Array, Array, str]  # its label, its numbers, the strength of each, its last column


def attention_section(
    layers: Sequence[Layer], rows: Rows, prefix: str, layer: int | None, head: int | None
) -> tuple[str, str, str]:
    """Return the title, text and body; open at a layer (the last by default) and a head (the mean)."""
    opened = layers[-1].number if layer is None else layer
    every_head = sum(each.attention.size for each in layers) <= _MOST_PIXELS
    text = (
        "In each layer, each head distributes the attention of every token over all tokens: a row is the "
        "query token, a column the key token, and each row adds up to 1. The deeper the colour, the more "
        "attention (the square root of its ratio to the head's largest, so that small values are visible)."
    )
    if not every_head:
        text += f" The text is long: only layer {opened} has a matrix for each head."
    body = "".join(
        _layer(each, rows, f"{prefix}-{each.number}", each.number == opened, every_head, head)
        for each in layers
    )
    return "Attention", text, body


def _layer(layer: Layer, rows: Rows, prefix: str, opened: bool, every_head: bool, head: int | None) -> str:
    heads = range(len(layer.attention)) if every_head or opened else range(0)
    panels = list(_panels(layer, heads))
    chosen = 0 if head is None or not opened else head + 1
    tabs = "".join(
        _tab(panel, rows, f"{prefix}-{number}", prefix, number == chosen)
        for number, panel in enumerate(panels)
    )
    sharpest = int(layer.focus.argmax())
    return (
        f'<details class="layer"{" open" if opened else ""}><summary>Layer {layer.number}'
        f"<small>{len(layer.attention)} heads, the sharpest is {sharpest}</small></summary>"
        f'<div class="heads">{tabs}</div></details>'
    )


def _panels(layer: Layer, heads: Iterable[int]) -> Iterable[_Panel]:
    mean = layer.weights()
    yield "mean", mean, _drawn(mean), "looks most at"
    for head in heads:
        weights = layer.weights(head)
        yield f"head {head}", weights, _drawn(weights), "looks most at"
    similar = cosines(layer.vectors)
    least = float(similar.min())
    drawn = (similar - least) / max(1 - least, 1e-6)
    yield "alike", np.where(np.eye(len(similar), dtype=bool), -2, similar), drawn, "is most like"


def _drawn(weights: Array) -> Array:
    return np.asarray(np.sqrt(weights / weights.max()), dtype=np.float32)


def _tab(panel: _Panel, rows: Rows, identity: str, group: str, chosen: bool) -> str:
    label, numbers, drawn, last = panel
    matrix = _matrix(rows, numbers, last)
    # The picture is written once, and used in the label and in the panel.
    return (
        f'<div class="head" style="--m:url(\'{strengths(drawn)}\')">'
        f'<input type="radio" name="{group}" id="{identity}"{" checked" if chosen else ""}>'
        f'<label for="{identity}"><i></i>{label}</label><div class="panel scroll">{_caption(label)}{matrix}'
        "</div></div>"
    )


def _caption(label: str) -> str:
    if label != "alike":
        return ""
    return "<p>How alike the tokens' vectors are after this layer: the cosine of each two.</p>"


def _matrix(rows: Rows, numbers: Array, last: str) -> str:
    count = len(rows)
    columns = "".join(f"<span>{token(rows, i)}</span>" for i in range(count))
    lines = "".join(
        f'<tr><th class="t">{token(rows, i)}</th>'
        f"{_map(count) if i == 0 else ''}{_most(rows, numbers[i])}</tr>"
        for i in range(count)
    )
    small = " small" if count > _MANY_TOKENS else ""
    return (
        f'<table class="matrix{small}"><thead><tr><th></th><th><div class="columns">{columns}</div></th>'
        f'<th class="most">{last}</th></tr></thead><tbody>{lines}</tbody></table>'
    )


def _map(count: int) -> str:
    return (
        f'<td class="cell" rowspan="{count}"><div class="map" role="img" style="--n:{count}" '
        f'aria-label="{count} by {count} numbers as colours; beside it, the largest of each row">'
        "</div></td>"
    )


def _most(rows: Rows, numbers: Array) -> str:
    best = int(numbers.argmax())
    if numbers[best] < -1:
        return '<td class="most"></td>'
    return f'<td class="most"><b>{token(rows, best)}</b> {numbers[best]:.2f}</td>'
