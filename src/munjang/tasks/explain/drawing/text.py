"""An explanation as tables for a terminal; rich handles the double width of Korean letters."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from munjang.tasks.explain.drawing.parts import visible
from munjang.tasks.explain.steps import (
    Array,
    Decision,
    Embeddings,
    Explained,
    Layer,
    Rows,
    Step,
    cosines,
    norms,
)

_SHADES = " ░▒▓█"
_NARROWEST = 80
_BESIDE_A_STRIP = 42  # columns that a table of attention needs for its words
_FIRST = 3
_LONGEST_TOKEN = 12


def as_text(explanation: Explained, *, layer: int | None, head: int | None, width: int) -> str:
    """Return the tables as text without colour, at most ``width`` columns wide."""
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, emoji=False, highlight=False, no_color=True)
    console.print(drawing(explanation, layer=layer, head=head, width=width))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def heat(shares: Iterable[float]) -> str:
    """Return a strip of blocks, one for each share from 0 to 1."""
    most = len(_SHADES) - 1
    return "".join(_SHADES[min(int(max(share, 0) * most + 0.5), most)] for share in shares)


def drawing(
    explanation: Explained, *, layer: int | None = None, head: int | None = None, width: int = _NARROWEST
) -> RenderableType:
    """Return every step as a table, with the attention of one layer (the last) and head (the mean of all)."""
    parts: list[RenderableType] = [_tokens(explanation.rows)]
    rows = explanation.rows
    if explanation.embeddings is not None:
        parts.append(_embeddings(explanation.embeddings, rows))
    if explanation.layers:
        chosen = explanation.layers[-1 if layer is None else layer]
        parts += [
            _layers(explanation.layers, rows),
            _heads(explanation.layers),
            _attention(chosen, head, rows, width),
        ]
    if explanation.sentence is not None:
        pooling = " and ".join(explanation.sentence.pooling)
        parts.append(_steps(f"One vector for the sentence: {pooling} pooling", explanation.sentence.steps))
    if explanation.steps:
        title = "Into the head" if explanation.decisions else "The pooler"
        parts.append(_steps(title, explanation.steps))
    parts += [_decision(each, rows) for each in explanation.decisions]
    return Group(*parts)


def _titled(title: str, table: Table) -> RenderableType:
    """Return a table with a title, which may be wider than the table."""
    return Group(Text(title, style="bold"), table)


def _table(*columns: str, left: Sequence[str] = ()) -> Table:
    table = Table(
        header_style="bold cyan",
        border_style="dim",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True, overflow="ellipsis")
    return table


def _token(rows: Rows, i: int) -> Text:
    name = Text(visible(rows.tokens[i]), style="dim" if rows.special_tokens_mask[i] else "")
    name.truncate(_LONGEST_TOKEN, overflow="ellipsis")
    return name


def _tokens(rows: Rows) -> RenderableType:
    columns = ("#", "token", "id", "position", "segment", "mask", "characters")
    table = _table(*columns, left=("token", "characters"))
    for i in range(len(rows)):
        table.add_row(
            str(i),
            _token(rows, i),
            str(rows.input_ids[i]),
            _at(rows.position_ids, i),
            _at(rows.token_type_ids, i),
            str(rows.attention_mask[i]),
            Text(visible(rows.characters[i])),
        )
    return _titled("Tokens", table)


def _at(row: Sequence[int] | None, i: int) -> str:
    return "-" if row is None else str(row[i])


def _embeddings(embeddings: Embeddings, rows: Rows) -> RenderableType:
    names = {"token_type": "segment"}
    columns = {names.get(name, name): norms(part) for name, part in embeddings.parts.items()}
    columns |= {"sum": norms(embeddings.added), "to layer 0": norms(embeddings.result)}
    table = _table("#", "token", *columns, "first numbers", left=("token", "first numbers"))
    for i in range(len(rows)):
        lengths = (f"{each[i]:.2f}" for each in columns.values())
        table.add_row(str(i), _token(rows, i), *lengths, _numbers(embeddings.result[i]))
    return _titled("Embeddings: the lengths of the vectors that are added", table)


def _numbers(vector: Array) -> str:
    return " ".join(f"{value:6.2f}" for value in vector[:_FIRST])


def _layers(layers: Sequence[Layer], rows: Rows) -> RenderableType:
    cos = np.stack([layer.cos_to_before for layer in layers], axis=1)
    alike = cosines(layers[-1].vectors)
    np.fill_diagonal(alike, -2)
    before, after = norms(layers[0].before), norms(layers[-1].vectors)
    columns = ("#", "token", "turned", "least cos", "length", "at the end like", "cos")
    table = _table(*columns, left=("token", "turned", "at the end like"))
    for i in range(len(rows)):
        nearest = int(alike[i].argmax())
        table.add_row(
            str(i),
            _token(rows, i),
            heat(np.sqrt(1 - cos[i]).tolist()),
            f"{cos[i].min():.2f}",
            f"{before[i]:.1f} > {after[i]:.1f}",
            *((_token(rows, nearest), f"{alike[i, nearest]:.2f}") if len(rows) > 1 else ("", "")),
        )
    return _titled(f"Layers 0 to {len(layers) - 1}: how far each turned a token's vector (dark: far)", table)


def _heads(layers: Sequence[Layer]) -> RenderableType:
    table = _table("layer", "heads", "sharpest", left=("heads",))
    for layer in layers:
        sharpest = int(layer.focus.argmax())
        strip = heat(np.repeat(layer.focus, 2).tolist())
        table.add_row(str(layer.number), strip, f"{sharpest:>2} ({layer.focus[sharpest]:.2f})")
    return _titled("Heads: how sharply each looks, from all tokens alike (blank) to one alone (█)", table)


def _attention(layer: Layer, head: int | None, rows: Rows, width: int) -> RenderableType:
    weights = layer.weights(head)
    cells = max(0, min(2, (width - _BESIDE_A_STRIP) // max(len(rows), 1)))
    header = "".join(f"{i % 10:<{cells}}" for i in range(len(rows))) if cells else ""
    left = ("token", header, "looks most at")
    table = _table("#", "token", *([header] if cells else []), "looks most at", "share", left=left)
    for link in layer.strongest(head):
        strip = heat(np.repeat(weights[link.source] / weights.max(), cells).tolist())
        table.add_row(
            str(link.source),
            _token(rows, link.source),
            *([strip] if cells else []),
            Text.assemble(f"{link.target} ", _token(rows, link.target)),
            f"{link.weight:.2f}",
        )
    whose = "mean of all heads" if head is None else f"head {head}"
    return _titled(f"Attention in layer {layer.number}, {whose}: each row is a token that looks", table)


def _steps(title: str, steps: Sequence[Step]) -> RenderableType:
    table = _table("vector", "numbers", "length", "first numbers", left=("vector", "first numbers"))
    for step in steps:
        length = f"{float(np.linalg.norm(step.vector)):.3f}"
        table.add_row(step.name, str(len(step.vector)), length, _numbers(step.vector))
    return _titled(title, table)


def _decision(decision: Decision, rows: Rows) -> RenderableType:
    score = decision.function if decision.function != "none" else "score"
    table = _table("answer", "id", "logit", score, "", left=("answer", ""))
    for choice in decision.choices:
        strip = "█" * round(20 * choice.score) if decision.function != "none" else ""
        label = Text(visible(choice.label))
        table.add_row(label, str(choice.id), f"{choice.logit:.3f}", f"{choice.score:.4f}", strip)
    return _titled(_summary(decision, rows), table)


def _summary(decision: Decision, rows: Rows) -> str:
    where = "" if decision.place is None else f" at {decision.place} {visible(rows.tokens[decision.place])}"
    logits = decision.logits
    summary = f"Answer{where}: {len(logits):,} logits, {logits.min():.2f} to {logits.max():.2f}"
    return f"{summary}; special pieces had {decision.withheld:.4f}" if decision.withheld else summary
