"""Pre-training: masked words, with next sentences if the corpus has them (arXiv:1810.04805)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import ModelProgram
from munjang.models.registry import MASKED_LM
from munjang.runtime.batches import pack_arrays
from munjang.runtime.model import Model
from munjang.tokenization import Tokenizer
from munjang.training.corpus import TokenCorpus
from munjang.training.masking import MaskingVocabulary, mask_tokens
from munjang.training.network import Network
from munjang.training.new_heads import with_head
from munjang.training.new_models import new_encoder
from munjang.training.objective import Loss, Objective
from munjang.training.options import TrainingOptions
from munjang.training.word_starts import word_starts

__all__ = ["MaskedLanguageObjective", "MaskedTexts"]

_LOGITS = "masked"
_EVALUATED_TOKENS = 8192  # at once


class MaskedTexts(Sequence[NDArray[np.int32]]):
    """The texts of a corpus with the special tokens around each, read when asked for."""

    def __init__(self, corpus: TokenCorpus, tokenizer: Tokenizer, *, max_length: int) -> None:
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            raise InputError(f"The vocabulary of {tokenizer.name_or_path!r} lacks the tokens around a text.")
        self._ends = np.array([[tokenizer.cls_token_id], [tokenizer.sep_token_id]], dtype=np.int32)
        self._tokens = corpus.tokens
        self._spans = corpus.spans(max_length - 2)

    def __len__(self) -> int:
        """Count the texts; one that is too long counts once for each of its parts."""
        return len(self._spans)

    def __getitem__(self, index: Any) -> Any:
        """The ids of a text, ``[L]``."""
        first, last = self._spans[index]
        return np.concatenate([self._ends[0], self._tokens[first:last].astype(np.int32), self._ends[1]])

    def lengths(self) -> NDArray[np.intp]:
        """The tokens of each text, ``[n]``."""
        return (self._spans[:, 1] - self._spans[:, 0] + 2).astype(np.intp)


@dataclass(frozen=True)
class _Masked:
    """The model up to the scores of the masked places."""

    model: ModelProgram

    @property
    def taps(self) -> frozenset[str]:
        """Nothing beside the outputs."""
        return frozenset()

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Score the vocabulary at ``batch.rows``."""
        base = self.model.architecture.base(root)
        config = self.model.config
        x = self.model.architecture.encode(ops, base, config, batch, only_rows=True)
        return {_LOGITS: self.model.chosen_head.function(ops, root, base, config, x)}


class MaskedLanguageObjective(Objective[NDArray[np.int32]]):
    """Cross-entropy of the hidden tokens; others are hidden each time a text is seen.

    Args:
        raw_config: of the model, as `new_config` writes it or a checkpoint has it.
        weights: of the model; ``None`` to begin from nothing.
        corpus: the texts to learn from.
        tokenizer: the one that the corpus was built with.
        held_out: texts to measure on, always with the same tokens hidden.
        options: of the run.
        max_length: tokens of a text, special ones included; a longer text is cut into parts.
        whole_words: hide all pieces of a word together (arXiv:1906.08101).
        probability: the part of the tokens that is hidden.

    Raises `InputError` for a vocabulary without a mask token or special tokens, and for a corpus that
    another tokenizer made.
    """

    name = "masked-language-model"
    lower_is_better = True

    def __init__(
        self,
        raw_config: Mapping[str, Any],
        weights: Mapping[str, NDArray[Any]] | None,
        corpus: TokenCorpus,
        tokenizer: Tokenizer,
        held_out: TokenCorpus | None,
        options: TrainingOptions,
        *,
        max_length: int = 128,
        whole_words: bool = False,
        probability: float = 0.15,
        description: Mapping[str, str | int | float] | None = None,
    ) -> None:
        start = new_encoder(raw_config, seed=options.seed) if weights is None else weights
        raw, tensors = with_head(raw_config, start, MASKED_LM, seed=options.seed)
        self.model = Model(raw, tensors, head=MASKED_LM, backend="torch")
        self.tokenizer = tokenizer
        self._vocabulary = MaskingVocabulary.of(tokenizer)
        self._probability = probability
        self._word_starts = word_starts(tokenizer) if whole_words else None
        length = min(max_length, self.model.config.max_length)
        self._texts = MaskedTexts(corpus, tokenizer, max_length=length)
        self.examples = self._texts
        self._held_out = None if held_out is None else MaskedTexts(held_out, tokenizer, max_length=length)
        self.metric = None if held_out is None else "loss"
        self._description = {
            "texts": len(self.examples),
            "tokens": int(self._texts.lengths().sum()),
            "held-out texts": 0 if self._held_out is None else len(self._held_out),
            "longest text in tokens": length,
            "hidden": f"{probability:g} of the tokens" + (", whole words" if whole_words else ""),
            **{name: raw[name] for name in _SIZES},
            **(description or {}),
        }
        self.network = Network(self.model, options)
        self._program = _Masked(self.model.program(frozenset({"logits"})))

    def costs(self) -> NDArray[np.intp]:
        """The tokens of each text."""
        return self._texts.lengths()

    def loss(self, examples: Sequence[NDArray[np.int32]], rng: np.random.Generator) -> Loss:
        """Cross-entropy, summed over the hidden tokens."""
        logits, labels = self._scores(examples, rng, training=True)
        return Loss(functional.cross_entropy(logits, labels, reduction="sum"), len(labels))

    def _scores(
        self, examples: Sequence[NDArray[np.int32]], rng: np.random.Generator, *, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Scores ``[M, V]`` and what stood at the hidden places ``[M]``."""
        ids = np.concatenate(list(examples))
        lengths = np.array([len(text) for text in examples], dtype=np.int32)
        masked = mask_tokens(
            ids,
            self._vocabulary.maskable(ids),
            rng,
            vocabulary=self._vocabulary,
            probability=self._probability,
            word_starts=None if self._word_starts is None else self._word_starts[ids],
            lengths=lengths.astype(np.int64),
        )
        batch = self._batch(masked.input_ids, lengths, masked.positions)
        logits = self.network.forward(self._program, batch, training=training)[_LOGITS].float()
        return logits, torch.from_numpy(masked.labels.astype(np.int64)).to(logits.device)

    def _batch(
        self, ids: NDArray[Any], lengths: NDArray[np.int32], rows: NDArray[Any]
    ) -> TokenBatch[NDArray[Any]]:
        starts = np.cumsum(lengths) - lengths
        positions = np.arange(len(ids)) - np.repeat(starts, lengths) + self.model.config.position_offset
        batch = pack_arrays(
            ids.astype(np.int32), np.zeros(len(ids), dtype=np.int32), positions.astype(np.int32), lengths
        )
        return replace(batch, rows=rows.astype(np.int32))

    def evaluate(self) -> Mapping[str, float]:
        """The mean cross-entropy of the hidden tokens, and how many are guessed right."""
        assert self._held_out is not None  # or there is no metric
        total = right = count = 0.0
        for number, part in enumerate(_parts(self._held_out.lengths())):
            rng = np.random.default_rng([0, number])
            with torch.inference_mode(), self.network.precision():
                logits, labels = self._scores([self._held_out[i] for i in part], rng, training=False)
            total += float(functional.cross_entropy(logits, labels, reduction="sum"))
            right += float((logits.argmax(dim=-1) == labels).sum())
            count += len(labels)
        return {"loss": total / count, "accuracy": right / count}

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer."""
        self.model.set_weights(self.network.weights())
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def describe(self) -> Mapping[str, str | int | float]:
        """Name the texts and the model's size."""
        return self._description

    def usage(self, folder: Path) -> str:
        """Show how to fill a mask."""
        return (
            "import munjang\n\n"
            f'fill = munjang.pipeline("fill-mask", "{folder}")\n'
            f'fill("... {self.tokenizer.mask_token} ...")'
        )


_SIZES = ("model_type", "num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")


def _parts(lengths: NDArray[np.intp]) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    used = 0
    for i, length in enumerate(lengths.tolist()):
        if used + length > _EVALUATED_TOKENS and parts[-1]:
            parts.append([])
            used = 0
        parts[-1].append(i)
        used += length
    return parts
