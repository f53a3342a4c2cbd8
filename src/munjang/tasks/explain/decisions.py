"""From a head's logits to its answer, with every intermediate number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.models.program import LOGITS, POOLER_OUTPUT
from munjang.runtime.model import Model
from munjang.tasks.explain.steps import Choice, Decision, Step
from munjang.tasks.fill_mask.pieces import Pieces
from munjang.tasks.scores import Function, choose_function, scores_of
from munjang.tokenization import Tokenizer

Array = NDArray[Any]
_ON_THE_WAY = (POOLER_OUTPUT, "classifier.dense")
_NEXT_SENTENCE = {0: "follows", 1: "unrelated"}


def head_steps(values: Mapping[str, Array], tokens: Sequence[int] | None) -> tuple[Step, ...]:
    """Return the vectors between the last layer and the logits, for each of the tokens or for the text."""
    last = values["last_hidden_state"]
    if tokens is not None:
        return tuple(Step(f"last_hidden_state[{token}]", last[token]) for token in tokens)
    steps = tuple(Step(name, values[name][0]) for name in _ON_THE_WAY if name in values)
    return (Step("last_hidden_state[0]", last[0]), *steps) if steps or LOGITS in values else ()


def decide(
    task: str,
    values: Mapping[str, Array],
    model: Model,
    tokenizer: Tokenizer,
    tokens: Sequence[int] | None,
    top: int,
) -> tuple[Decision, ...]:
    """Return the decisions from a head's logits; none for a task without a head."""
    if LOGITS not in values:
        return ()
    logits = values[LOGITS]
    if tokens is not None:
        pieces = logits.shape[-1]
        mask = task == "fill-mask"
        offered = Pieces(tokenizer, pieces).offered if mask else _ordinary(tokenizer, pieces)
        return tuple(
            _piece(row, token, tokenizer, offered, top) for row, token in zip(logits, tokens, strict=True)
        )
    labels = _NEXT_SENTENCE if task == "next-sentence" else model.config.labels.id2label
    function = "softmax" if task == "next-sentence" else choose_function(model.config.labels, None)
    return (_label(logits[0], labels, function),)


def _label(logits: Array, labels: Mapping[int, str], function: Function) -> Decision:
    [scores] = scores_of(function, logits[None, :])
    order = np.argsort(-scores, kind="stable").tolist()
    choices = tuple(Choice(i, labels[i], float(logits[i]), float(scores[i])) for i in order)
    return Decision(None, logits, scores, function, choices)


def _ordinary(tokenizer: Tokenizer, pieces: int) -> NDArray[np.bool_]:
    """Mark the pieces that can be generated, parts of characters included, but not special or unused rows."""
    offered = np.arange(pieces) < len(tokenizer)
    special = [i for i in tokenizer.all_special_ids if i < pieces]
    offered[special] = False
    return offered


def _piece(logits: Array, token: int, tokenizer: Tokenizer, offered: NDArray[np.bool_], top: int) -> Decision:
    [scores] = scores_of("softmax", logits[None, :])
    order = np.argsort(-np.where(offered, scores, -1), kind="stable")[: min(top, int(offered.sum()))]
    choices = tuple(
        Choice(i, tokenizer.decode([i]), float(logits[i]), float(scores[i])) for i in order.tolist()
    )
    return Decision(token, logits, scores, "softmax", choices, float(scores[~offered].sum()))
