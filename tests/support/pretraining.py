"""Small corpora for pre-training, and the reference's loss and gradients for the same masked tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import munjang
from munjang import Tokenizer
from munjang.training.loop.watchers import read_log
from munjang.training.options import NewModel, PretrainingTask, TrainingOptions, VocabularyTask
from munjang.training.pretraining.masked import InitialModel, Pretraining
from munjang.training.pretraining.masking import Masked, Packed
from munjang.training.vocabulary.train import train_wordpiece
from support.learning import with_task

__all__ = [
    "DOCUMENTS",
    "OPTIONS",
    "SIZES",
    "assert_same_gradients",
    "judged_outputs",
    "labels_of",
    "logits_here",
    "losses",
    "make_tokenizer",
    "padded",
    "roughen",
    "run_of",
    "saved",
    "scattered",
    "start_of",
    "write_documents",
]

OPTIONS = TrainingOptions(epochs=8, batch_size=16, learning_rate=5e-3, warmup_ratio=0, device="cpu")
SIZES: Mapping[str, Any] = {"layers": 2, "width": 32, "heads": 4, "intermediate": 48, "max_length": 24}
_WHERE = ("서울에서", "부산까지", "오늘 아침", "at home")
_WHAT = ("기차를 탔다.", "영화를 보았다.", "빵을 먹었다.", "we love tea.")
DOCUMENTS = [[f"{_WHERE[(i + k) % 4]} {_WHAT[(i * 3 + k) % 4]}" for k in range(2 + i % 3)] for i in range(32)]


def write_documents(path: Path, documents: Sequence[Sequence[str]] = DOCUMENTS) -> Path:
    """Write one sentence per line, with blank lines between documents."""
    path.write_text("\n\n".join("\n".join(document) for document in documents) + "\n", encoding="utf-8")
    return path


def make_tokenizer(folder: Path) -> Tokenizer:
    """Train a vocabulary on the documents."""
    texts = [line for document in DOCUMENTS for line in document]
    return train_wordpiece(None, folder, texts=texts, task=VocabularyTask(vocab_size=90))


def run_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as arguments of `train_masked_language_model`."""
    return with_task(NewModel, with_task(PretrainingTask, settings), "new_model")


def start_of(raw: Mapping[str, Any], tokenizer: Tokenizer, weights: Any = None) -> InitialModel:
    """Return the start of pre-training with a config, from random weights by default."""
    return InitialModel(raw, weights, tokenizer)


def roughen(objective: Pretraining[Any], seed: int = 0) -> None:
    """Set biases and norms, whose initial 0 and 1 would hide mistakes, and matrices to larger values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in objective.network.trained.values():
            value.mul_(5 if value.ndim > 1 else 1)
            value.add_(torch.randn(value.shape, generator=generator) * 0.1)


def saved(objective: Pretraining[Any], folder: Path, class_name: str, part: str = "") -> Any:
    """Save a model; return it as loaded by `transformers`, in training mode."""
    objective.save(folder)
    found, about = getattr(transformers, class_name).from_pretrained(
        folder / part, output_loading_info=True, attn_implementation="eager"
    )
    assert not about["missing_keys"], about
    assert not about["unexpected_keys"], about
    return found.train()


def padded(packed: Packed, ids: NDArray[Any] | None = None) -> dict[str, torch.Tensor]:
    """Pad packed texts as `transformers` expects them."""
    ids = packed.ids if ids is None else ids
    mask = scattered(packed, np.arange(len(ids)), np.ones(len(ids), dtype=np.int64), 0)
    whole = scattered(packed, np.arange(len(ids)), ids, 0)
    found = {"input_ids": whole, "attention_mask": mask}
    if packed.types is not None:
        found["token_type_ids"] = scattered(packed, np.arange(len(ids)), packed.types, 0)
    return found


def scattered(packed: Packed, places: NDArray[Any], values: NDArray[Any], rest: int) -> torch.Tensor:
    """Return an array ``[B, L]`` with values at the packed positions and a fill value elsewhere."""
    found = np.full((len(packed.lengths), int(packed.lengths.max())), rest, dtype=np.int64)
    text = np.repeat(np.arange(len(packed.lengths)), packed.lengths)
    column = np.arange(len(packed.ids)) - packed.starts[text]
    found[text[places], column[places]] = values
    return torch.from_numpy(found)


def labels_of(packed: Packed, masked: Masked) -> torch.Tensor:
    """Return the original ids at masked positions, -100 elsewhere."""
    return scattered(packed, masked.positions, masked.labels, -100)


def judged_outputs(packed: Packed, places: NDArray[Any], logits: torch.Tensor) -> torch.Tensor:
    """Return the packed positions of padded outputs ``[B, L]``."""
    chosen = scattered(packed, places, np.ones(len(places), dtype=np.int64), 0)
    return logits[chosen == 1]


def assert_same_gradients(
    ours: Mapping[str, torch.Tensor], count: float, peer: Mapping[str, torch.Tensor]
) -> None:
    """Compare the gradients of a mean with the reference's, for every tensor of the reference."""
    assert set(peer) == {name for name, value in ours.items() if value.grad is not None}
    scale = max(1.0, *(float(gradient.abs().max()) for gradient in peer.values()))
    for name, gradient in peer.items():
        own = ours[name].grad
        assert own is not None
        np.testing.assert_allclose(own / count / scale, gradient / scale, atol=1e-5, err_msg=name)


def losses(folder: Path) -> list[float]:
    """Return the loss of each update of a run."""
    return [line["loss"] for line in read_log(folder / "log.jsonl") if "loss" in line]


def logits_here(folder: Path, head: str, given: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
    """Return the outputs of a saved model on the default backend."""
    arrays: dict[str, Any] = {name: value.numpy() for name, value in given.items()}
    found = munjang.Model.from_pretrained(folder, head=head)(**arrays).logits
    assert found is not None
    return found
