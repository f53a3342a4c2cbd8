"""An explanation as a self-contained HTML page without a script, in light and dark colours."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from munjang.tasks.explain.drawing.attention import attention_section
from munjang.tasks.explain.drawing.parts import as_html, bar, cell, section, signed, table, token
from munjang.tasks.explain.steps import Array, Decision, Embeddings, Explained, Layer, Rows, Step, norms

_FIRST = 4
# The page shows its own content only, and loads nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(explanation: Explained, *, layer: int | None = None, head: int | None = None) -> str:
    """Return the page."""
    title = as_html(explanation.text[:80])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title} · munjang explain</title>\n"
        "<style>body { margin: 0; } @media (prefers-color-scheme: dark) { body { background: #12161d; } }"
        " @media (prefers-color-scheme: light) { body { background: #f5f6f9; } }</style>\n"
        f"</head>\n<body>\n{_body(explanation, 'munjang', layer, head)}\n</body>\n</html>\n"
    )


def fragment(explanation: Explained) -> str:
    """Return the explanation for a notebook, which may contain several."""
    return _body(explanation, f"munjang-{secrets.token_hex(4)}", None, None)


@cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def _body(explanation: Explained, prefix: str, layer: int | None, head: int | None) -> str:
    sections = list(_sections(explanation, prefix, layer, head))
    numbered = (section(number, *each) for number, each in enumerate(sections, start=1))
    return "\n".join(
        [f'<div class="munjang"><style>{_style()}</style>', _header(explanation), *numbered, "</div>"]
    )


def _sections(
    explanation: Explained, prefix: str, layer: int | None, head: int | None
) -> Iterable[tuple[str, str, str]]:
    rows = explanation.rows
    yield _tokens(rows)
    if explanation.embeddings is not None:
        yield _embeddings(explanation.embeddings, rows)
    if explanation.layers:
        yield _layers(explanation.layers, rows)
        yield attention_section(explanation.layers, rows, prefix, layer, head)
    if explanation.sentence is not None:
        pooling = " and ".join(explanation.sentence.pooling)
        text = f"The vectors of all tokens become one; this model's pooling: {as_html(pooling)}."
        steps = explanation.sentence.steps
        yield "One vector for the sentence", text, _steps(steps) + _strip(steps[-1].vector)
    if explanation.decisions:
        text = "The head turns a vector into one logit for each possible answer, and those into shares."
        yield "The answer", text, _steps(explanation.steps) + "".join(_decisions(explanation))
    elif explanation.steps:
        yield "The pooler", "What the model offers as a vector of the text.", _steps(explanation.steps)


def _header(explanation: Explained) -> str:
    pair = "" if explanation.pair is None else f"<small><bdi>{as_html(explanation.pair)}</bdi></small>"
    facts = [explanation.model, explanation.model_type, explanation.task, f"{len(explanation.rows)} tokens"]
    line = " · ".join(as_html(fact) for fact in facts if fact)
    return f"<header><h1><bdi>{as_html(explanation.text)}</bdi>{pair}</h1><p>{line}</p></header>"


def _tokens(rows: Rows) -> tuple[str, str, str]:
    chips = "".join(
        f'<li class="{_kind(rows, i)}"><bdi>{as_html(piece)}</bdi><small>{rows.input_ids[i]}</small></li>'
        for i, piece in enumerate(rows.tokens)
    )
    head = ["#", "token", "id", "position", "segment", "mask", "characters"]
    lines = [
        f'<td>{i}</td><th class="t">{token(rows, i)}</th><td>{rows.input_ids[i]}</td>'
        f"<td>{_at(rows.position_ids, i)}</td><td>{_at(rows.token_type_ids, i)}</td>"
        f'<td>{rows.attention_mask[i]}</td><td class="t"><bdi>{as_html(rows.characters[i])}</bdi></td>'
        for i in range(len(rows))
    ]
    body = table(head, lines, left=("token", "characters"))
    text = "The text is split into pieces of the vocabulary, each with an id."
    rest = f"<details><summary>The input arrays of the model</summary>{body}</details>"
    return "Tokens", text, f'<ol class="tokens">{chips}</ol>{rest}'


def _kind(rows: Rows, i: int) -> str:
    if rows.special_tokens_mask[i]:
        return "special"
    return "s1" if rows.sequence_ids[i] == 1 else "s0"


def _at(row: Sequence[int] | None, i: int) -> str:
    return "–" if row is None else str(row[i])


def _embeddings(embeddings: Embeddings, rows: Rows) -> tuple[str, str, str]:
    names = {"token_type": "segment"}
    columns = {names.get(name, name): part for name, part in embeddings.parts.items()}
    columns["their sum"] = embeddings.added
    lengths = {name: norms(part) for name, part in columns.items()}
    longest = max(float(each.max()) for each in lengths.values())
    bars = {name: (each, longest or 1.0) for name, each in lengths.items()}
    # The first layer's input may be normalised, so its lengths have another scale.
    result = norms(embeddings.result)
    bars["enters layer 0"] = (result, float(result.max()) or 1.0)
    columns["enters layer 0"] = embeddings.result
    text = (
        f"Each token gets the sum of {len(embeddings.parts)} vectors, looked up by its id, its position"
        f"{' and its segment' if 'token_type' in embeddings.parts else ''}. The bars are their lengths."
    )
    rest = f"<details><summary>Their first numbers</summary>{_first_numbers(columns, rows)}</details>"
    return "Embeddings", text, _bars(bars, rows) + rest


def _bars(columns: Mapping[str, tuple[Array, float]], rows: Rows) -> str:
    lines = [
        f'<th class="t">{token(rows, i)}</th>'
        + "".join(bar(float(each[i]) / scale, f"{each[i]:.2f}") for each, scale in columns.values())
        for i in range(len(rows))
    ]
    return table(["token", *columns], lines, left=("token", *columns))


def _first_numbers(columns: Mapping[str, Array], rows: Rows) -> str:
    lines = [
        f'<th class="t">{token(rows, i)}</th>'
        + "".join(f"<td>{_first(part[i])}</td>" for part in columns.values())
        for i in range(len(rows))
    ]
    return table(["token", *columns], lines, left=("token",))


def _first(vector: Array) -> str:
    return " ".join(f"{value:.3f}" for value in vector[:_FIRST]).replace("-", "−") + " …"


def _layers(layers: Sequence[Layer], rows: Rows) -> tuple[str, str, str]:
    turned = np.stack([layer.cos_to_before for layer in layers], axis=1)
    lengths = np.stack([norms(layers[0].before), *(norms(layer.vectors) for layer in layers)], axis=1)
    text = (
        "Each layer updates the vector of a token with the vectors of the others. The deeper the colour, the "
        "more the direction changed; the number is the cosine with the vector of the layer before."
    )
    numbers = [str(layer.number) for layer in layers]
    first = _heat(rows, numbers, turned, 1 - turned)
    second = _heat(rows, ["in", *numbers], lengths, np.asarray(lengths / lengths.max(), dtype=np.float32))
    rest = f"<details><summary>Lengths of the vectors</summary>{second}</details>"
    return "Layers", text, first + rest


def _heat(rows: Rows, columns: Sequence[str], values: Array, shares: Array) -> str:
    lines = [
        f'<th class="t">{token(rows, i)}</th>'
        + "".join(
            cell(float(share), f"{value:.2f}") for value, share in zip(values[i], shares[i], strict=True)
        )
        for i in range(len(rows))
    ]
    return table(["layer", *columns], lines, left=("layer",), kind="heat")


def _steps(steps: Sequence[Step]) -> str:
    items = "".join(
        f"<dt>{as_html(step.name)}</dt><dd>{len(step.vector)} numbers, length "
        f"{float(np.linalg.norm(step.vector)):.3f}: {_first(step.vector)}</dd>"
        for step in steps
    )
    return f"<dl>{items}</dl>" if items else ""


def _strip(vector: Array) -> str:
    most = float(np.abs(vector).max()) or 1.0
    return (
        f'<div class="strip" role="img" aria-label="All {len(vector)} numbers of the vector" '
        f"style=\"--m:url('{signed(vector[None, :] / most)}')\"></div>"
        '<p class="note">All its numbers, one stripe each: blue above zero, orange below.</p>'
    )


def _decisions(explanation: Explained) -> Iterable[str]:
    rows = explanation.rows
    for decision in explanation.decisions:
        best = decision.choices[0] if decision.choices else None
        where = "" if decision.place is None else f"at token {decision.place}, {token(rows, decision.place)}"
        if best is not None:
            yield (
                f'<p class="answer"><bdi>{as_html(best.label)}</bdi>'
                f"<small>{_score(decision, best.score)} {where}</small></p>"
            )
        lines = [
            f'<td class="name"><bdi>{as_html(choice.label)}</bdi></td><td>{choice.id}</td>'
            f"<td>{choice.logit:.3f}</td>"
            + bar(_share(decision, choice.score), _score(decision, choice.score), kind=" wide")
            for choice in decision.choices
        ]
        yield table(
            ["answer", "id", "logit", _function(decision)], lines, left=("answer", _function(decision))
        )
        yield f'<p class="note">{_note(decision)}</p>'


def _function(decision: Decision) -> str:
    return {"softmax": "after softmax", "sigmoid": "after sigmoid"}.get(decision.function, "score")


def _share(decision: Decision, score: float) -> float:
    most = float(np.abs(decision.scores).max()) or 1.0
    return score if decision.function != "none" else abs(score) / most


def _score(decision: Decision, score: float) -> str:
    return f"{score:.3f}" if decision.function == "none" else f"{100 * score:.2f}%"


def _note(decision: Decision) -> str:
    logits = decision.logits
    note = f"{len(logits):,} logits, from {float(logits.min()):.2f} to {float(logits.max()):.2f}."
    if decision.withheld:
        note += f" {100 * decision.withheld:.2f}% went to special and unknown pieces, which are no answer."
    return note
