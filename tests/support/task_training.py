"""Training of heads compared with `transformers`: loss, gradients, and the outputs of the saved model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import munjang
from munjang.training.loop.watchers import read_log
from munjang.training.options import TrainingOptions
from munjang.training.tasks.base import TaskObjective

__all__ = [
    "LEARNING",
    "assert_cutting_changes_nothing",
    "assert_learned",
    "assert_same_gradients",
    "assert_same_logits",
    "padded",
    "saved",
]

LEARNING = TrainingOptions(
    epochs=30, batch_size=4, learning_rate=3e-3, warmup_ratio=0, evaluation_steps=1000, device="cpu"
)


def saved(objective: TaskObjective[Any], folder: Path, class_name: str) -> Any:
    """Save a model before training; return it as loaded by `transformers`."""
    objective.save(folder)
    return getattr(transformers, class_name).from_pretrained(folder).train()


def padded(objective: TaskObjective[Any], examples: Sequence[Any] | None = None) -> dict[str, torch.Tensor]:
    """Return the texts of examples as `transformers` expects them."""
    config = objective.loaded.model.config
    texts = [text for one in examples or objective.examples for text in one.texts]
    length = max(len(text.input_ids) for text in texts)
    ids = torch.full((len(texts), length), config.pad_token_id)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, text in enumerate(texts):
        size = len(text.input_ids)
        ids[row, :size], mask[row, :size] = torch.tensor(text.input_ids), 1
        if text.token_type_ids is not None and config.type_vocab_size > 1:
            types[row, :size] = torch.tensor(text.token_type_ids)
    given = {"input_ids": ids, "attention_mask": mask}
    return given if config.model_type == "distilbert" else {**given, "token_type_ids": types}


def assert_same_gradients(
    objective: TaskObjective[Any], peer: Any, loss: Callable[[], torch.Tensor], *, tolerance: float = 1e-5
) -> None:
    """Compare the mean loss of all examples, and its gradients by every parameter of the peer."""
    tally = objective.accumulate(objective.examples, np.random.default_rng(0))
    value = loss()
    value.backward()  # type: ignore[no-untyped-call]
    assert abs(tally.total / tally.count - value.item()) < tolerance * max(1.0, abs(value.item()))
    wanted = {name: p.grad.numpy() for name, p in peer.named_parameters() if p.grad is not None}
    assert sum(bool(gradient.any()) for gradient in wanted.values()) > 40
    # The gradient of the keys' biases is 0 except for rounding errors, which are as large as other gradients.
    scale = max(1.0, *(float(np.abs(gradient).max()) for gradient in wanted.values()))
    ours = _gradients(objective, tally.count)
    assert set(wanted) <= set(ours)
    for name, gradient in wanted.items():
        np.testing.assert_allclose(ours[name] / scale, gradient / scale, atol=tolerance, err_msg=name)


def _gradients(objective: TaskObjective[Any], count: float) -> dict[str, NDArray[Any]]:
    """Return the gradients of the mean loss, with all rows of the embeddings."""
    found = {}
    for name, value in objective.network.trained.items():
        if value.grad is None:
            continue
        gradient = value.grad.numpy() / count
        if name.endswith("word_embeddings.weight"):
            whole = np.zeros(objective.loaded.model.weights[name].shape)
            whole[sorted({i for e in objective.examples for text in e.texts for i in text.input_ids})] = (
                gradient
            )
            gradient = whole
        found[name] = gradient
    return found


def assert_cutting_changes_nothing(objective: TaskObjective[Any]) -> None:
    """Assert that a batch in parts has the loss and the gradients of the whole batch."""
    rng = np.random.default_rng(0)
    whole = objective.accumulate(objective.examples, rng)
    wanted = _gradients(objective, whole.count)
    for value in objective.network.trained.values():
        value.grad = None
    parts = [objective.accumulate([one], rng) for one in objective.examples]
    assert sum(part.count for part in parts) == whole.count
    assert abs(sum(part.total for part in parts) - whole.total) < 1e-4 * abs(whole.total)
    for name, gradient in _gradients(objective, whole.count).items():
        np.testing.assert_allclose(gradient, wanted[name], atol=1e-5 * max(1, np.abs(gradient).max()))


def assert_learned(folder: Path) -> None:
    """Assert that a run at least halves the loss."""
    losses = [line["loss"] for line in read_log(folder / "log.jsonl") if "loss" in line]
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3]), losses


def assert_same_logits(objective: TaskObjective[Any], folder: Path, head: str, class_name: str) -> None:
    """Assert that the saved model has the same logits in `transformers` and in munjang's default backend."""
    inputs = padded(objective)
    peer = getattr(transformers, class_name).from_pretrained(folder).eval()
    with torch.no_grad():
        found = peer(**inputs)
    wanted = (
        found.logits if "logits" in found else torch.stack([found.start_logits, found.end_logits], dim=-1)
    )
    model = munjang.Model.from_pretrained(folder, head=head)
    given: dict[str, Any] = {name: value.numpy() for name, value in inputs.items()}
    ours = model(**given).logits
    assert ours is not None
    seen = inputs["attention_mask"].numpy() != 0 if ours.ndim == 3 else slice(None)
    np.testing.assert_allclose(ours[seen], wanted.numpy()[seen], atol=2e-5)
