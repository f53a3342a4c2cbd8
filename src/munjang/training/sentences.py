"""Training a sentence encoder: texts of an example go through the model together, a loss sees their vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.errors import InputError
from munjang.runtime.batches import pack
from munjang.sentence.program import SENTENCE_EMBEDDING
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization.encoding import TokenIds
from munjang.training.network import Network
from munjang.training.objective import Loss, Objective
from munjang.training.options import TrainingOptions
from munjang.training.sentence_losses import SentenceLoss
from munjang.training.starting import checksum, fingerprint_of_texts, used_ids

__all__ = ["SentenceExample", "SentenceObjective"]

Measure = Callable[[SentenceTransformer], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class SentenceExample:
    """Texts that belong together, and what the loss wants of them: a score or a label's number."""

    texts: tuple[str, ...]
    target: float = 0.0


@dataclass(frozen=True, slots=True)
class _Tokenised:
    texts: tuple[TokenIds, ...]
    target: float


class SentenceObjective(Objective[_Tokenised]):
    """A loss on the vectors of sentences.

    Args:
        model: a `SentenceTransformer` with the backend ``torch``.
        examples: all with the same number of texts.
        loss: what is minimised.
        options: of the run.
        measure: measures the model on held-out data; its first value decides what is best.
        prompt: put before every text.

    Raises `InputError` for examples that do not suit the loss.
    """

    name = "sentences"

    def __init__(
        self,
        model: SentenceTransformer,
        examples: Sequence[SentenceExample],
        loss: SentenceLoss,
        options: TrainingOptions,
        *,
        measure: Measure | None = None,
        metric: str | None = None,
        prompt: str = "",
        description: Mapping[str, str | int | float] | None = None,
    ) -> None:
        self._check(examples, loss)
        self.model, self._loss, self._measure = model, loss, measure
        self.metric = metric if measure is not None else None
        self.whole_batches = loss.looks_at_batch
        self._prompt = prompt
        self._prompt_length = self._tokens_of_prompt()
        self._description = {
            "model": model.tokenizer.name_or_path,
            "model checksum": checksum(model.model.weights),
            "loss": loss.describe(),
            "examples": len(examples),
            "data checksum": fingerprint_of_texts(examples),
            "pooling": "+".join(model.pooling.modes),
            "longest text in tokens": model.max_seq_length,
            "prompt": repr(prompt),
            **(description or {}),
        }
        self.examples = self._tokenised(examples)
        ids = used_ids(text for example in self.examples for text in example.texts)
        own = loss.tensors(model.width, options.seed)
        self.network = Network(model.model, options, used_ids=ids, more=own)
        self._program = model.program()

    def _check(self, examples: Sequence[SentenceExample], loss: SentenceLoss) -> None:
        if not examples:
            raise InputError("There are no examples to learn from.")
        counts = {len(example.texts) for example in examples}
        if len(counts) > 1 or (loss.columns and counts != {loss.columns}):
            wanted = loss.columns or "the same number of"
            raise InputError(
                f"{loss.describe()} needs {wanted} texts in each example, got {sorted(counts)}."
            )

    def _tokens_of_prompt(self) -> int:
        if not self._prompt:
            return 0
        return len(self.model.tokenizer.encode(self._prompt)) - 1  # without the token that ends a text

    def _tokenised(self, examples: Sequence[SentenceExample]) -> list[_Tokenised]:
        columns = [
            self.model.tokenizer.encode_ids(
                [self._prompt + text for text in column], truncation=True, max_length=self.model.max_seq_length
            )
            for column in zip(*(example.texts for example in examples), strict=True)
        ]
        rows = zip(*columns, strict=True)
        return [_Tokenised(row, example.target) for row, example in zip(rows, examples, strict=True)]

    def costs(self) -> NDArray[np.intp]:
        """The tokens of each example, all its texts together."""
        return np.array(
            [sum(len(text.input_ids) for text in example.texts) for example in self.examples], dtype=np.intp
        )

    def embed(self, texts: Sequence[TokenIds]) -> Tensor:
        """The vectors of some texts, ``[n, d]``, with gradients."""
        batch = self.model.pooling.prepare(pack(texts, self.model.model.runner.layout), self._prompt_length)
        return self.network.forward(self._program, batch)[SENTENCE_EMBEDDING].float()

    def loss(self, examples: Sequence[_Tokenised], rng: np.random.Generator) -> Loss:  # noqa: ARG002
        """The loss on the vectors of all texts, which go through the model at once."""
        columns = list(zip(*(example.texts for example in examples), strict=True))
        vectors = self.embed([text for column in columns for text in column])
        return Loss(
            self._loss(vectors.split(len(examples)), self.targets(examples), self.network.more), len(examples)
        )

    def targets(self, examples: Sequence[_Tokenised]) -> Tensor:
        """The targets of some examples, ``[B]``."""
        return torch.tensor([example.target for example in examples], device=self.network.device)

    def evaluate(self) -> Mapping[str, float]:
        """What ``measure`` says."""
        return {} if self._measure is None else self._measure(self.model)

    def save(self, folder: Path) -> None:
        """Write the model so that this library and `sentence-transformers` load it."""
        self.model.model.set_weights(self.network.weights())
        self.model.save_pretrained(folder)

    def describe(self) -> Mapping[str, str | int | float]:
        """Name the data, the model and the loss."""
        return self._description

    def usage(self, folder: Path) -> str:
        """Show how to encode."""
        prompt = f", prompt={self._prompt!r}" if self._prompt else ""
        return (
            "import munjang\n\n"
            f'model = munjang.SentenceTransformer("{folder}")\n'
            f'vectors = model.encode(["...", "..."]{prompt})'
        )
