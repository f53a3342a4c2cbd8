"""Training a sentence encoder: the texts of an example go through the model, a loss sees their vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.errors import InputError
from munjang.sentence.program import SENTENCE_EMBEDDING
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization import nfc
from munjang.tokenization.encoding import TokenIds
from munjang.training.cached_gradients import accumulate_in_parts
from munjang.training.encoder_objective import EncoderObjective
from munjang.training.network import Network
from munjang.training.objective import Loss, Tally, cut_into_parts, require_examples
from munjang.training.options import TrainingOptions
from munjang.training.sentence_losses import Batch, InputExample, SentenceLoss, columns_of
from munjang.training.starting import checksum, fingerprint_of_texts, used_ids

__all__ = ["Measure", "SentenceObjective"]

Measure = Callable[[SentenceTransformer, Mapping[str, Tensor]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Tokenised:
    texts: tuple[TokenIds, ...]
    numbers: tuple[int, ...]  # equal for equal texts, in the whole data set
    label: NDArray[np.float32]


class SentenceObjective(EncoderObjective[_Tokenised]):
    """A loss on the vectors of sentences.

    Args:
        model: a `SentenceTransformer` with the backend ``torch``.
        examples: all with the same number of texts.
        loss: what is minimised.
        options: of the run.
        measure: measures the model on held-out data, given the tensors of the loss too.
        metric: which of its values decides what is best.
        prompts: put before the first text of an example, and before its other texts.
        description: more to know the run by.

    Raises `InputError` for examples that do not suit the loss.
    """

    name = "sentences"

    def __init__(
        self,
        model: SentenceTransformer,
        examples: Sequence[InputExample],
        loss: SentenceLoss,
        options: TrainingOptions,
        *,
        measure: Measure | None = None,
        metric: str | None = None,
        prompts: tuple[str, str] = ("", ""),
        description: Mapping[str, str | int | float] | None = None,
    ) -> None:
        _check(examples, loss, options)
        loss.check(examples, model.width)
        super().__init__(model, prompts)
        self._loss, self._measure = loss, measure
        self.metric = metric if measure is not None else None
        self.whole_batches = loss.looks_at_batch
        self._options = options
        self.examples = self._tokenised(examples)
        if loss.in_batch_negatives:
            self.conflicts = np.array([example.numbers for example in self.examples], dtype=np.intp)
        self._description = {
            "model": model.tokenizer.name_or_path,
            "model checksum": checksum(model.model.weights),
            "loss": loss.describe(),
            "examples": len(examples),
            "data checksum": fingerprint_of_texts(
                (*example.texts, np.asarray(example.label, dtype=np.float32).tobytes())
                for example in examples
            ),
            "pooling": "+".join(model.pooling.modes),
            "longest text in tokens": model.max_seq_length,
            "texts that were cut": self._count_cut(),
            "prompt": " and ".join(dict.fromkeys(map(repr, prompts))),
            **(description or {}),
        }
        ids = used_ids(text for example in self.examples for text in example.texts)
        own = loss.tensors(model.width, options.seed)
        self.network = Network(model.model, options, used_ids=ids, more=own)
        self._program = model.program()

    @property
    def memory_setting(self) -> str:
        """A cached loss needs memory for one part of a batch only."""
        return "token_budget" if self._loss.cached else super().memory_setting

    def _tokenised(self, examples: Sequence[InputExample]) -> list[_Tokenised]:
        columns = [
            self.tokenised(column, self._prompts[min(place, 1)])
            for place, column in enumerate(zip(*(example.texts for example in examples), strict=True))
        ]
        numbers: dict[str, int] = {}
        return [
            _Tokenised(
                row,
                tuple(numbers.setdefault(nfc(text), len(numbers)) for text in example.texts),
                np.asarray(example.label, dtype=np.float32),
            )
            for row, example in zip(zip(*columns, strict=True), examples, strict=True)
        ]

    def _count_cut(self) -> int:
        return sum(text.truncated > 0 for example in self.examples for text in example.texts)

    def embed(self, texts: Sequence[TokenIds]) -> Tensor:
        """The vectors of some texts, ``[n, d]``, with gradients."""
        return self.network.forward(self._program, self.packed(texts))[SENTENCE_EMBEDDING].float()

    def loss(self, examples: Sequence[_Tokenised], rng: np.random.Generator) -> Loss:  # noqa: ARG002
        """The loss on the vectors of all texts, which go through the model at once."""
        return Loss(self._loss_of(self.embed(_all_texts(examples)), examples), len(examples))

    def accumulate(self, examples: Sequence[_Tokenised], rng: np.random.Generator) -> Tally:
        """Add the gradients of the loss; those of a cached loss in parts of the token budget."""
        if not self._loss.cached:
            return super().accumulate(examples, rng)
        texts = _all_texts(examples)
        lengths = np.array([len(text.input_ids) for text in texts], dtype=np.intp)
        parts = list(cut_into_parts(np.arange(len(texts)), lengths, self._options.token_budget))
        total = accumulate_in_parts(
            self.embed,
            lambda vectors: self._loss_of(vectors, examples),
            texts,
            parts,
            rng,
            self.network.precision,
        )
        return Tally(total, len(examples))

    def _loss_of(self, vectors: Tensor, examples: Sequence[_Tokenised]) -> Tensor:
        labels = np.stack([example.label for example in examples])
        batch = Batch(
            columns=columns_of(vectors, len(examples)),
            labels=torch.from_numpy(labels).to(vectors.device),
            texts=np.array([example.numbers for example in examples], dtype=np.intp).T,
            own=self.network.more,
        )
        with torch.autocast(vectors.device.type, enabled=False):  # similarities need all their digits
            return self._loss(batch)

    def evaluate(self) -> Mapping[str, float]:
        """What ``measure`` says."""
        return {} if self._measure is None else self._measure(self.model, self.network.more)


def _all_texts(examples: Sequence[_Tokenised]) -> list[TokenIds]:
    """The first texts of all examples, then their second ones, ..."""
    columns: list[Any] = list(zip(*(example.texts for example in examples), strict=True))
    return [text for column in columns for text in column]


def _check(examples: Sequence[InputExample], loss: SentenceLoss, options: TrainingOptions) -> None:
    require_examples(examples)
    counts = sorted({len(example.texts) for example in examples})
    if len(counts) > 1:
        raise InputError(
            f"Examples must have the same number of texts each; there are some with {counts[0]} and some "
            f"with {counts[-1]}."
        )
    if (loss.columns and counts[0] != loss.columns) or counts[0] < loss.fewest_columns:
        wanted = loss.columns or f"{loss.fewest_columns} or more"
        raise InputError(f"{loss.describe()} needs {wanted} texts in each example, got {counts[0]}.")
    alone = loss.in_batch_negatives and counts[0] > 2  # then an example brings its own negatives
    size = len(examples) if options.batch_tokens is not None else min(options.batch_size, len(examples))
    if loss.looks_at_batch and size < 2 and not alone:
        raise InputError(
            f"{loss.describe()} compares the examples of a batch, but there is one: give more examples and a "
            "larger batch_size."
        )
