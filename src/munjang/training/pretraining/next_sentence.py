"""BERT's pre-training: masked tokens and next sentences in a single pass (arXiv:1810.04805, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.models.batch import TokenBatch
from munjang.models.initialization import Tensors, with_head
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import ModelProgram
from munjang.models.registry import MASKED_LM, NEXT_SENTENCE
from munjang.runtime.model import Model
from munjang.training.loop.network import Network
from munjang.training.loop.objective import Loss
from munjang.training.options import PretrainingTask, TrainingOptions
from munjang.training.pretraining.masked import (
    InitialModel,
    Pretraining,
    WithoutTaps,
    masked_sums,
    with_masked_head,
)
from munjang.training.pretraining.masking import Packed
from munjang.training.pretraining.sentence_pairs import (
    SentencePair,
    SentencePairs,
)

if TYPE_CHECKING:
    from munjang.training.pretraining.corpus import TokenCorpus

_MASKED, _NEXT = "masked", "next"


@dataclass(frozen=True)
class _BothHeads(WithoutTaps):
    """The model with both heads: the logits at the masked positions and of the pairs.

    The batch's rows are first the masked tokens (``masked`` is their number), then each text's first token.
    """

    model: ModelProgram
    masked: int

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute the logits of the vocabulary, ``[M, V]``, and of "the second text follows", ``[B, 2]``."""
        architecture, config = self.model.architecture, self.model.config
        base = architecture.base(root)
        rows: Any = architecture.encode(ops, base, config, batch, only_rows=True)
        parts = {MASKED_LM: rows[: self.masked], NEXT_SENTENCE: rows[self.masked :]}
        masked, following = (
            architecture.heads[head].function(ops, root, base, config, x) for head, x in parts.items()
        )
        return {_MASKED: masked, _NEXT: following}


class _Scores(NamedTuple):
    """The model's logits for pairs, and the targets."""

    masked: Tensor  # [M, V]
    hidden: Tensor  # [M]
    following: Tensor  # [B, 2]
    labels: Tensor  # [B]


class NextSentenceObjective(Pretraining[int]):
    """The mean cross-entropy of the masked tokens, plus the mean cross-entropy of next-sentence prediction.

    Pairs are sampled again each time: half of them are consecutive sentences, in the other half the second
    sentence is from another document. An example is the index of a pair. If the token budget splits a batch,
    the losses of the parts are weighted by their numbers of pairs.

    The arguments are those of `MaskedLanguageObjective`, with corpora that were built with
    ``sentences=True``; ``max_length`` is the length of a pair, whose longer sentence is truncated first.

    Raises `InputError` for a model that is not a BERT, and what `SentencePairs` raises.
    """

    name = "masked-language-model-and-next-sentences"

    def __init__(
        self,
        start: InitialModel,
        corpus: TokenCorpus,
        held_out: TokenCorpus | None,
        task: PretrainingTask,
        options: TrainingOptions,
    ) -> None:
        raw, tensors = _with_both_heads(start.raw_config, start.weights, options.seed)
        model = Model(raw, tensors, head=MASKED_LM, backend="torch")
        super().__init__(start, model, (corpus, held_out), task, seed=options.seed)
        self.examples = range(len(self._learned))
        self.network = Network(model, options)
        self._program = model.program(frozenset({"logits"}))

    def _texts(self, corpus: TokenCorpus, longest: int, seed: int) -> SentencePairs:
        return SentencePairs(corpus, self.tokenizer, max_length=longest, seed=seed)

    def loss(self, examples: Sequence[int], rng: np.random.Generator) -> Loss:
        """Return the sum of both mean losses, times the number of pairs."""
        drawn = int(rng.integers(2**32))  # so that the second sentence is sampled again each time
        scores = self._scores([self._learned.pair(drawn, i) for i in examples], rng, training=True)
        masked = functional.cross_entropy(scores.masked, scores.hidden, reduction="sum")
        following = functional.cross_entropy(scores.following, scores.labels, reduction="sum")
        count = len(scores.labels)
        return Loss(masked * (count / max(len(scores.hidden), 1)) + following, count)

    def _scores(self, pairs: Sequence[SentencePair], rng: np.random.Generator, *, training: bool) -> _Scores:
        packed = Packed.of([pair.input_ids for pair in pairs], [pair.token_type_ids for pair in pairs])
        masked = self._hider(packed, rng)
        rows = np.concatenate([masked.positions, packed.starts])
        batch = packed.batch(self.model.config, rows, masked.input_ids)
        program = _BothHeads(self._program, len(masked.positions))
        logits = self.network.forward(program, batch, training=training)
        device = logits[_NEXT].device
        return _Scores(
            logits[_MASKED].float(),
            torch.from_numpy(masked.labels.astype(np.int64)).to(device),
            logits[_NEXT].float(),
            torch.tensor([pair.label for pair in pairs], device=device),
        )

    def _measured(self, part: Sequence[int], rng: np.random.Generator) -> Mapping[str, float]:
        assert self._held_out is not None
        scores = self._scores([self._held_out.pair(0, i) for i in part], rng, training=False)
        return {
            **{f"masked_{name}": x for name, x in masked_sums(scores.masked, scores.hidden).items()},
            **{f"next_{name}": x for name, x in masked_sums(scores.following, scores.labels).items()},
        }

    def _measures(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return both losses and their sum, and both accuracies."""
        masked, pairs = max(sums["masked_count"], 1), sums["next_count"]
        masked_loss, next_loss = sums["masked_loss"] / masked, sums["next_loss"] / pairs
        return {
            "loss": masked_loss + next_loss,
            "masked_loss": masked_loss,
            "masked_accuracy": sums["masked_accuracy"] / masked,
            "next_sentence_loss": next_loss,
            "next_sentence_accuracy": sums["next_accuracy"] / pairs,
        }

    def usage(self, folder: Path) -> str:
        """Return example code that fills a mask and predicts whether a sentence follows."""
        return (
            f"{super().usage(folder)}\n\n"
            f'follows = munjang.pipeline("next-sentence-prediction", "{folder}")\n'
            'follows("...", "...")'
        )


def _with_both_heads(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]] | None, seed: int
) -> tuple[dict[str, Any], Tensors]:
    """Return a config and tensors with the two heads of `BertForPreTraining`."""
    raw, masked = with_masked_head(raw_config, weights, seed)
    # Another seed, or the pooler would have the same initial values as the masked-LM head's first matrix.
    old = masked if weights is None else weights
    _, following = with_head(raw_config, old, NEXT_SENTENCE, seed=seed + 1)
    return {**raw, "architectures": ["BertForPreTraining"]}, {**following, **masked}
