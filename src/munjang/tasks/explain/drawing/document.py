"""An explanation as plain values, for JSON.

The stable keys: ``text``, ``pair``, ``model``, ``model_type``, ``task``; ``tokens``, ``input_ids``,
``token_type_ids``, ``attention_mask``, ``position_ids``, ``special_tokens_mask``, ``offsets``,
``sequence_ids``; ``embeddings`` with ``word``, ``position``, ``token_type``, ``sum`` and ``result``, each of
``norms`` and ``first_numbers``; ``layers``, each with ``layer``, ``norms``, ``first_numbers``,
``cos_to_previous``, ``cos_between_tokens``, ``focus``, and ``attention``, a list of ``head``, ``weights`` and
``strongest`` (head ``null`` is the mean of all); ``sentence`` with ``pooling``, ``steps`` and ``vector``;
``steps``; ``decisions``, each with ``place``, ``classes``, ``function``, ``choices`` (``id``, ``label``,
``logit``, ``score``) and ``withheld``. Missing values are ``null`` or empty. Numbers are rounded to six
digits after the point.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.tasks.explain.steps import (
    Decision,
    Embeddings,
    Explained,
    Layer,
    SentenceVector,
    Step,
    cosines,
    norms,
)

FIRST_NUMBERS = 4
_DIGITS = 6


def document(explanation: Explained, *, layer: int | None, head: int | None) -> dict[str, Any]:
    """Return the explanation as plain values, of all layers and heads or only one."""
    rows = explanation.rows
    layers = [each for each in explanation.layers if layer in (None, each.number)]
    return {
        "text": explanation.text,
        "pair": explanation.pair,
        "model": explanation.model,
        "model_type": explanation.model_type,
        "task": explanation.task,
        "tokens": rows.tokens,
        "input_ids": rows.input_ids,
        "token_type_ids": rows.token_type_ids,
        "attention_mask": rows.attention_mask,
        "position_ids": rows.position_ids,
        "special_tokens_mask": rows.special_tokens_mask,
        "offsets": [list(span) for span in rows.offsets],
        "sequence_ids": rows.sequence_ids,
        "embeddings": None if explanation.embeddings is None else _embeddings(explanation.embeddings),
        "layers": [_layer(each, head) for each in layers],
        "sentence": None if explanation.sentence is None else _sentence(explanation.sentence),
        "steps": _steps(explanation.steps),
        "decisions": [_decision(each) for each in explanation.decisions],
    }


def _numbers(values: NDArray[Any] | float) -> Any:
    """Return the values as lists, rounded to the digits of single precision."""
    return np.round(np.asarray(values, dtype=np.float64), _DIGITS).tolist()


def _vectors(vectors: NDArray[Any]) -> dict[str, Any]:
    return {"norms": _numbers(norms(vectors)), "first_numbers": _numbers(vectors[:, :FIRST_NUMBERS])}


def _embeddings(embeddings: Embeddings) -> dict[str, Any]:
    parts = {name: embeddings.parts.get(name) for name in ("word", "position", "token_type")}
    return {
        **{name: None if part is None else _vectors(part) for name, part in parts.items()},
        "sum": _vectors(embeddings.added),
        "result": _vectors(embeddings.result),
    }


def _layer(layer: Layer, head: int | None) -> dict[str, Any]:
    heads: list[int | None] = [None, *range(len(layer.attention))] if head is None else [head]
    return {
        "layer": layer.number,
        **_vectors(layer.vectors),
        "cos_to_previous": _numbers(layer.cos_to_before),
        "cos_between_tokens": _numbers(cosines(layer.vectors)),
        "focus": _numbers(layer.focus),
        "attention": [_attention(layer, each) for each in heads],
    }


def _attention(layer: Layer, head: int | None) -> dict[str, Any]:
    strongest = [
        {"from": link.source, "to": link.target, "weight": _numbers(link.weight)}
        for link in layer.strongest(head)
    ]
    return {"head": head, "weights": _numbers(layer.weights(head)), "strongest": strongest}


def _steps(steps: Iterable[Step]) -> list[dict[str, Any]]:
    return [
        {
            "name": step.name,
            "numbers": len(step.vector),
            "norm": _numbers(float(np.linalg.norm(step.vector))),
            "first_numbers": _numbers(step.vector[:FIRST_NUMBERS]),
        }
        for step in steps
    ]


def _sentence(sentence: SentenceVector) -> dict[str, Any]:
    return {
        "pooling": list(sentence.pooling),
        "steps": _steps(sentence.steps),
        "vector": _numbers(sentence.vector),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "place": decision.place,
        "classes": len(decision.logits),
        "function": decision.function,
        "choices": [
            {"id": each.id, "label": each.label, "logit": _numbers(each.logit), "score": _numbers(each.score)}
            for each in decision.choices
        ],
        "withheld": _numbers(decision.withheld),
    }
