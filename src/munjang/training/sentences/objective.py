"""The objective for sentence encoders: a loss on the sentence vectors of each example's texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.program import Program
from munjang.runtime.runner import pack
from munjang.sentence.program import SENTENCE_EMBEDDING
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization import nfc
from munjang.tokenization.encoding import TokenIds
from munjang.training.loop.network import Network
from munjang.training.loop.objective import (
    Loss,
    Objective,
    Tally,
    Tokenised,
    costs_of,
    cut_into_parts,
    require_examples,
)
from munjang.training.losses.base import Batch, InputExample, SentenceLoss, columns_of
from munjang.training.models import checksum, fingerprint_of_texts, used_ids
from munjang.training.options import TrainingOptions

T = TypeVar("T")


def accumulate_in_parts(
    embed: Callable[[Sequence[T]], Tensor],
    loss: Callable[[Tensor], Tensor],
    texts: Sequence[T],
    parts: Sequence[NDArray[np.intp]],
    rng: np.random.Generator,
    precision: Callable[[], AbstractContextManager[Any]],
) -> float:
    """Accumulate the gradients of ``loss(embed(texts))`` part by part. Return the loss.

    First the vectors are computed without gradients, and the loss is differentiated with respect to the
    vectors. Then each part goes through the model again, and these gradients are backpropagated (GradCache,
    arXiv:2101.06983). Torch is seeded before each part, so that dropout is the same both times. Only the
    activations of a single part are in memory at a time.
    """
    seeds = [int(seed) for seed in rng.integers(2**62, size=len(parts))]

    def run(number: int) -> Tensor:
        torch.manual_seed(seeds[number])
        with precision():
            return embed([texts[index] for index in parts[number].tolist()])

    with torch.no_grad():
        vectors = torch.cat([run(number) for number in range(len(parts))])
    vectors.requires_grad_(True)
    total = loss(vectors)
    total.backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    start = 0
    for number, part in enumerate(parts):
        run(number).backward(vectors.grad[start : start + len(part)])  # type: ignore[no-untyped-call]
        start += len(part)
    return float(total.detach())


X = TypeVar("X", bound=Tokenised)


class EncoderObjective(Objective[X]):
    """The base class of objectives on the vectors of a sentence encoder.

    Args:
        model: a `SentenceTransformer` with the backend ``torch``.
        prompts: the prefix of the first text of an example, and the prefix of its other texts.

    Raises `InputError` for two different prompts if the model's pooling excludes the prompt.
    """

    def __init__(self, model: SentenceTransformer, prompts: tuple[str, str]) -> None:
        self.model = model
        self._prompts = prompts
        self._prompt_length = self._tokens_of_prompt()

    def _tokens_of_prompt(self) -> int:
        if self.model.pooling.include_prompt or not any(self._prompts):
            return 0
        if len(set(self._prompts)) > 1:
            raise InputError(
                "This model leaves the prompt out when it pools, so both texts need the same prompt."
            )
        return len(self.model.tokenizer.encode(self._prompts[0])) - 1  # without the final special token

    def tokenised(self, texts: Sequence[str], prompt: str) -> list[TokenIds]:
        """Return the ids of texts, with the prompt as a prefix of each."""
        return self.model.tokenizer.encode_ids(
            [prompt + text for text in texts], truncation=True, max_length=self.model.max_seq_length
        )

    def packed(self, texts: Sequence[TokenIds]) -> TokenBatch[NDArray[Any]]:
        """Return the texts as a packed batch, prepared for the model's pooling."""
        return self.model.pooling.prepare(pack(texts, self.model.model.runner.layout), self._prompt_length)

    def costs(self) -> NDArray[np.intp]:
        """Return the total number of tokens in the texts of each example."""
        return costs_of(self.examples)

    def check_learns(self, program: Program) -> None:
        """Raise `InputError` if none of the tensors that determine a vector is trained."""
        shortest = self.examples[int(self.costs().argmin())].texts[:1]
        vectors = self.network.forward(program, self.packed(shortest), training=False)[SENTENCE_EMBEDDING]
        if not vectors.requires_grad:
            frozen = self.network.options.freeze_layers
            raise InputError(
                f"Nothing is left to train: freeze_layers={frozen} freezes all layers; freeze fewer."
            )

    def save(self, folder: Path) -> None:
        """Write the model in the format that this library and `sentence-transformers` load."""
        self.model.model.set_weights(self.network.weights())
        self.model.save_pretrained(folder)

    def usage(self, folder: Path) -> str:
        """Return example code that encodes texts."""
        first, other = self._prompts
        lines = ["import munjang", "", f'model = munjang.SentenceTransformer("{folder}")']
        if first == other:
            prompt = f", prompt={first!r}" if first else ""
            lines.append(f'vectors = model.encode(["...", "..."]{prompt})')
        else:
            lines.append(f'queries = model.encode(["..."], prompt={first!r})')
            lines.append(f'documents = model.encode(["..."], prompt={other!r})')
        return "\n".join(lines)


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
        loss: the loss that is minimised.
        options: the options of the run.
        measure: evaluates the model on held-out data; its arguments are the model and the loss's tensors.
        metric: the value of ``measure`` that selects the best model.
        prompts: the prefix of the first text of an example, and the prefix of its other texts.
        description: further entries of the run's identity.

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
        self.check_learns(self._program)

    @property
    def memory_setting(self) -> str:
        """Return the option that determines the memory; a cached loss needs memory for a single part only."""
        return "token_budget" if self._loss.cached else super().memory_setting

    def _tokenised(self, examples: Sequence[InputExample]) -> list[_Tokenised]:
        columns = [
            self.tokenised(column, self._prompts[min(index, 1)])
            for index, column in enumerate(zip(*(example.texts for example in examples), strict=True))
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
        """Return the vectors of texts, ``[n, d]``, with gradients."""
        return self.network.forward(self._program, self.packed(texts))[SENTENCE_EMBEDDING].float()

    def loss(self, examples: Sequence[_Tokenised], rng: np.random.Generator) -> Loss:  # noqa: ARG002
        """Return the loss on the vectors of all texts, which the model computes in a single batch."""
        return Loss(self._loss_of(self.embed(_all_texts(examples)), examples), len(examples))

    def accumulate(self, examples: Sequence[_Tokenised], rng: np.random.Generator) -> Tally:
        """Accumulate the gradients of the loss; for a cached loss, in parts of the token budget."""
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
        with torch.autocast(vectors.device.type, enabled=False):  # similarities need full precision
            return self._loss(batch)

    def evaluate(self) -> Mapping[str, float]:
        """Return the result of ``measure``."""
        return {} if self._measure is None else self._measure(self.model, self.network.more)


def _all_texts(examples: Sequence[_Tokenised]) -> list[TokenIds]:
    """Return the first texts of all examples, then their second texts, ..."""
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
    alone = loss.in_batch_negatives and counts[0] > 2  # then each example has its own negatives
    size = len(examples) if options.batch_tokens is not None else min(options.batch_size, len(examples))
    if loss.looks_at_batch and size < 2 and not alone:
        raise InputError(
            f"{loss.describe()} compares the examples of a batch, but there is one: give more examples and a "
            "larger batch_size."
        )
