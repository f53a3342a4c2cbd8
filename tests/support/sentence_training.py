"""Losses and gradients of munjang and sentence-transformers for the same weights and texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from munjang import SentenceTransformer
from munjang.training.losses.base import InputExample, SentenceLoss
from munjang.training.options import TrainingOptions
from munjang.training.sentences.objective import SentenceObjective
from support.sentences import make_sentence_folder, modify_json

__all__ = [
    "LABELS",
    "TEXTS",
    "assert_same_gradients",
    "encoder_without_dropout",
    "examples_of",
    "objective_on",
]

LABELS = [0.9, 0.1, 0.5, 0.5, 0.0]
TEXTS = [
    ("A man is eating food.", "A man eats.", "The girl is carrying a baby"),
    ("오늘 하루 어떻게 보냈나요?", "오늘은 어땠나요", "한국의 수도는 서울이다."),
    ("two men pushed carts through the woods", "Two men push carts.", "Some more words to make this longer."),
    ("축구는 정말 재미있는 일이다.", "축구가 재미있다.", "a"),
    ("Have you seen my cat?", "a red cat", "The longest of all the texts here, with 123 pieces and more."),
]


def encoder_without_dropout(folder: Path) -> Path:
    """Save a random sentence encoder without dropout."""
    make_sentence_folder("bert", folder)
    modify_json(folder / "config.json", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return folder


def examples_of(columns: int, labels: Sequence[Any] | None = None) -> list[InputExample]:
    """Return examples with a number of texts each, with or without labels."""
    chosen: Sequence[Any] = [0.0] * len(TEXTS) if labels is None else labels
    return [InputExample(texts[:columns], label) for texts, label in zip(TEXTS, chosen, strict=True)]


def objective_on(
    folder: Path, examples: Sequence[InputExample], loss: SentenceLoss, **settings: Any
) -> SentenceObjective:
    """Return munjang's objective for an encoder's folder; the settings are those of the run."""
    model = SentenceTransformer(folder, backend="torch")
    return SentenceObjective(model, examples, loss, TrainingOptions(**{"device": "cpu", **settings}))


def assert_same_gradients(
    folder: Path,
    peer_loss: Any,
    examples: Sequence[InputExample],
    objective: SentenceObjective,
    *,
    tolerance: float = 1e-5,
) -> None:
    """Compare the loss of all examples as one batch, and the gradient of every parameter."""
    tally = objective.accumulate(objective.examples, np.random.default_rng(0))
    peer = peer_loss.model
    peer.eval()  # no dropout, as in munjang's
    features = [peer.preprocess(list(column)) for column in zip(*(e.texts for e in examples), strict=True)]
    labels = torch.tensor(np.array([np.asarray(e.label) for e in examples]))
    value = peer_loss(features, labels.float() if labels.is_floating_point() else labels)
    value.backward()
    assert abs(tally.total / tally.count - value.item()) < tolerance * max(1.0, abs(value.item()))
    ours = gradients(objective, tally.count)
    wanted = {n: p.grad.numpy() for n, p in peer[0].model.named_parameters() if p.grad is not None}
    assert sum(bool(gradient.any()) for gradient in wanted.values()) > 40
    # The gradient of the keys' biases is 0 except for rounding errors, which are as large as other gradients.
    scale = max(1.0, *(float(np.abs(gradient).max()) for gradient in wanted.values()))
    assert set(ours) == {name for name in wanted if not name.startswith("pooler")}
    for name, gradient in ours.items():
        np.testing.assert_allclose(gradient / scale, wanted[name] / scale, atol=tolerance, err_msg=name)


def gradients(objective: SentenceObjective, count: float) -> dict[str, NDArray[Any]]:
    """Return the gradients of the mean loss by the model's parameters, with all rows of the embeddings."""
    found = {}
    for name, value in objective.network.trained.items():
        if value.grad is None or name in objective.network.more:
            continue
        gradient = value.grad.numpy() / count
        if name.endswith("word_embeddings.weight"):
            whole = np.zeros(objective.model.model.weights[name].shape)
            used = sorted({i for e in objective.examples for text in e.texts for i in text.input_ids})
            whole[used] = gradient
            gradient = whole
        found[name] = gradient
    return found
