"""Masked language modelling (arXiv:1810.04805), and the base class of all pre-training objectives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.initialization import Tensors, new_encoder, with_head
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import ModelProgram
from munjang.models.registry import MASKED_LM, architecture_of
from munjang.runtime.model import Model
from munjang.tokenization import Tokenizer
from munjang.training.loop.network import Network
from munjang.training.loop.objective import Loss, Objective, cut_into_parts
from munjang.training.models import checksum, fingerprint_of_texts, longest_of
from munjang.training.options import PretrainingTask, TrainingOptions
from munjang.training.pretraining.corpus import TokenCorpus
from munjang.training.pretraining.masking import Hider, Packed, check_corpora

LONGEST_TEXT = 128  # tokens, unless the task or the model states another maximum
_LOGITS = "masked"
_EVALUATED_TOKENS = 8192  # per part
_SIZES = ("model_type", "num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
E = TypeVar("E")


class MaskedTexts(Sequence[NDArray[np.int32]]):
    """A lazy sequence of the texts of a corpus, each with its special tokens."""

    def __init__(self, corpus: TokenCorpus, tokenizer: Tokenizer, *, max_length: int) -> None:
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            raise InputError(f"The vocabulary of {tokenizer.name_or_path!r} lacks the tokens around a text.")
        if max_length < 3:
            raise InputError(f"max_length={max_length} leaves no room for a text; use at least 3.")
        self._ends = np.array([[tokenizer.cls_token_id], [tokenizer.sep_token_id]], dtype=np.int32)
        self._tokens = corpus.tokens
        self._spans = corpus.spans(max_length - 2)

    def __len__(self) -> int:
        """Return the number of texts; a text that is too long counts once for each of its parts."""
        return len(self._spans)

    def __getitem__(self, index: Any) -> Any:
        """Return the ids of a text, ``[L]``."""
        first, last = self._spans[index]
        return np.concatenate([self._ends[0], self._tokens[first:last].astype(np.int32), self._ends[1]])

    def costs(self) -> NDArray[np.intp]:
        """Return the number of tokens of each text, ``[n]``."""
        return (self._spans[:, 1] - self._spans[:, 0] + 2).astype(np.intp)


@dataclass(frozen=True, slots=True)
class InitialModel:
    """The start of pre-training.

    Attributes:
        raw_config: the config of the model, from `new_config` or from a checkpoint.
        weights: the weights of the model; ``None`` to train from scratch.
        tokenizer: the tokenizer that the corpus was built with.
        name: the model's name in the report.
    """

    raw_config: Mapping[str, Any]
    weights: Mapping[str, NDArray[Any]] | None
    tokenizer: Tokenizer
    name: str = "new"

    @property
    def kind(self) -> str:
        """Return the model type in the config."""
        return str(self.raw_config.get("model_type"))


class Pretraining(Objective[E]):
    """The base class of pre-training on a corpus.

    Subclasses set ``network``, and implement the loss and the evaluation of a part of the held-out texts.

    Args:
        start: the initial model.
        model: that model with its head, with the backend ``torch``.
        corpora: the training texts and the evaluation texts, of which always the same tokens are masked.
        task: the options of the task.
        seed: the seed of the training texts.
        masking: further arguments of `Hider`.

    Raises `InputError` for a vocabulary without a mask token or special tokens, and for a corpus that was
    built with another tokenizer.
    """

    lower_is_better = True

    def __init__(
        self,
        start: InitialModel,
        model: Model,
        corpora: tuple[TokenCorpus, TokenCorpus | None],
        task: PretrainingTask,
        *,
        seed: int,
        masking: Mapping[str, float] | None = None,
    ) -> None:
        corpus, held_out = corpora
        self.tokenizer, self.model = start.tokenizer, model
        self._hider = Hider(
            start.tokenizer,
            probability=task.probability,
            whole_words=task.whole_words,
            **(masking or {}),
        )
        check_corpora(start.tokenizer, model.config.vocab_size, corpus, held_out)
        longest = longest_of(model.config.max_length, task.max_length)
        if task.max_length is None:
            longest = min(longest, LONGEST_TEXT)
        self._learned = self._texts(corpus, longest, seed)
        self._held_out = None if held_out is None else self._texts(held_out, longest, 0)
        self._lengths: NDArray[np.intp] = self._learned.costs()
        self._held_out_lengths: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        if self._held_out is not None:
            self._held_out_lengths = self._held_out.costs()
            self.metric = "loss"
        raw = model.raw_config
        self._description = {
            "model": start.name,
            "texts": len(self._lengths),
            "tokens": int(self._lengths.sum()),
            "corpus": corpus.fingerprint,
            "held-out texts": len(self._held_out_lengths),
            "held-out corpus": "none" if held_out is None else held_out.fingerprint,
            "longest text in tokens": longest,
            "hidden": self._hider.describe(),
            **{name: raw[name] for name in _SIZES if name in raw},
            "config checksum": fingerprint_of_texts([sorted(raw.items(), key=str)]),
            "model checksum": checksum(model.weights),
        }

    def _texts(self, corpus: TokenCorpus, longest: int, seed: int) -> Any:  # noqa: ARG002 - for pairs
        """Return the examples of a corpus, of at most ``longest`` tokens each."""
        return MaskedTexts(corpus, self.tokenizer, max_length=longest)

    def costs(self) -> NDArray[np.intp]:
        """Return the number of tokens of each example."""
        return self._lengths

    def evaluate(self) -> Mapping[str, float]:
        """Evaluate on the held-out texts, always with the same tokens masked."""
        sums: dict[str, float] = {}
        every = np.arange(len(self._held_out_lengths))
        for number, part in enumerate(cut_into_parts(every, self._held_out_lengths, _EVALUATED_TOKENS)):
            rng = np.random.default_rng([0, number])
            with torch.inference_mode(), self.network.precision():
                for name, value in self._measured(part.tolist(), rng).items():
                    sums[name] = sums.get(name, 0.0) + value
        return self._measures(sums)

    @abstractmethod
    def _measured(self, part: Sequence[int], rng: np.random.Generator) -> Mapping[str, float]:
        """Return sums over a part of the held-out texts, by name."""

    @abstractmethod
    def _measures(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics for `evaluate`, computed from the sums over all held-out texts."""

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer."""
        self.model.set_weights(self.network.weights())
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def usage(self, folder: Path) -> str:
        """Return example code that fills a mask."""
        return (
            "import munjang\n\n"
            f'fill = munjang.pipeline("fill-mask", "{folder}")\n'
            f'fill("... {self.tokenizer.mask_token} ...")'
        )


class WithoutTaps:
    """The base class of a program without taps."""

    @property
    def taps(self) -> frozenset[str]:
        """Return the empty set."""
        return frozenset()


@dataclass(frozen=True)
class _Masked(WithoutTaps):
    """The model up to the logits at the masked positions."""

    model: ModelProgram

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute the logits of the vocabulary at ``batch.rows``."""
        base = self.model.architecture.base(root)
        config = self.model.config
        x = self.model.architecture.encode(ops, base, config, batch, only_rows=True)
        return {_LOGITS: self.model.chosen_head.function(ops, root, base, config, x)}


class MaskedLanguageObjective(Pretraining[NDArray[np.int32]]):
    """Cross-entropy of the masked tokens (dynamic masking: sampled again each time a text is used).

    Args:
        start: the initial model.
        corpus: the training texts.
        held_out: the evaluation texts, always with the same tokens masked.
        task: the options of the task.
        options: the options of the run.
        only_rows: ids of pieces; only their rows of the word embeddings are trained.

    Raises what `Pretraining` raises, and `InputError` for a checkpoint whose masked-LM head does not share
    the word embeddings.
    """

    name = "masked-language-model"

    def __init__(
        self,
        start: InitialModel,
        corpus: TokenCorpus,
        held_out: TokenCorpus | None,
        task: PretrainingTask,
        options: TrainingOptions,
        *,
        only_rows: Sequence[int] | None = None,
    ) -> None:
        raw, tensors = with_masked_head(start.raw_config, start.weights, options.seed)
        model = Model(raw, tensors, head=MASKED_LM, backend="torch")
        super().__init__(start, model, (corpus, held_out), task, seed=options.seed)
        self.examples = self._learned
        rows = None
        if only_rows is not None:
            self._description = {**self._description, "trained rows": len(only_rows)}
            rows = np.array(only_rows, dtype=np.int64)
        self.network = Network(model, options, only_rows=rows)
        self._program = _Masked(model.program(frozenset({"logits"})))

    def loss(self, examples: Sequence[NDArray[np.int32]], rng: np.random.Generator) -> Loss:
        """Return the cross-entropy, summed over the masked tokens."""
        logits, labels = self._scores(examples, rng, training=True)
        return Loss(functional.cross_entropy(logits, labels, reduction="sum"), len(labels))

    def _scores(
        self, examples: Sequence[NDArray[np.int32]], rng: np.random.Generator, *, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Return logits ``[M, V]`` and the original ids at the masked positions ``[M]``."""
        packed = Packed.of(examples)
        masked = self._hider(packed, rng)
        batch = packed.batch(self.model.config, masked.positions, masked.input_ids)
        logits = self.network.forward(self._program, batch, training=training)[_LOGITS].float()
        return logits, torch.from_numpy(masked.labels.astype(np.int64)).to(logits.device)

    def _measured(self, part: Sequence[int], rng: np.random.Generator) -> Mapping[str, float]:
        assert self._held_out is not None  # evaluate() is called only if there is a metric
        logits, labels = self._scores([self._held_out[i] for i in part], rng, training=False)
        return masked_sums(logits, labels)

    def _measures(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return the mean cross-entropy and the accuracy of the masked tokens."""
        return {name: sums[name] / max(sums["count"], 1) for name in ("loss", "accuracy")}


def with_masked_head(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]] | None, seed: int
) -> tuple[dict[str, Any], Tensors]:
    """Return a config and tensors with a masked-LM head; without weights, of a newly initialised model.

    Raises `InputError` for a head that does not share the matrix of the word embeddings.
    """
    matrices = architecture_of(raw_config).head(MASKED_LM).vocabulary[:1]
    own = [name for name in matrices if weights is not None and name in weights]
    if own and raw_config.get("tie_word_embeddings") is False:
        raise InputError(
            f"The checkpoint's masked-word head has a separate matrix ('{own[0]}'), which can't be trained "
            "here; choose a model whose head shares the word embeddings."
        )
    start = new_encoder(raw_config, seed=seed) if weights is None else weights
    return with_head(raw_config, start, MASKED_LM, seed=seed)


def masked_sums(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Compute the summed cross-entropy and the number of correct predictions: ``[M, V]`` and ``[M]``."""
    return {
        "loss": float(functional.cross_entropy(logits, labels, reduction="sum")),
        "accuracy": float((logits.argmax(dim=-1) == labels).sum()),
        "count": len(labels),
    }
