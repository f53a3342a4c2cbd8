"""Replaced-token detection, ELECTRA's pre-training (arXiv:2003.10555).

A small generator replaces masked tokens with tokens sampled from its predicted distribution. The
discriminator learns which tokens were replaced; it is the model to use after training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.initialization import Tensors, drawn, new_encoder, with_head
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import LOGITS
from munjang.models.registry import MASKED_LM, Architecture, architecture_of
from munjang.runtime.model import Model
from munjang.training.loop.network import Network
from munjang.training.loop.objective import Loss
from munjang.training.models import checksum, fingerprint_of_texts
from munjang.training.options import PretrainingTask, TrainingOptions
from munjang.training.pretraining.corpus import TokenCorpus
from munjang.training.pretraining.masked import InitialModel, Pretraining, WithoutTaps, masked_sums
from munjang.training.pretraining.masking import Packed

_HEAD = "discriminator_predictions"
_PREFIX = "generator/"
_SHARED = "electra.embeddings."
_KIND = "electra"
_GENERATOR_SIZE = 0.25  # the width of a new generator relative to the model
T = TypeVar("T")


@dataclass(frozen=True)
class _Program(WithoutTaps):
    architecture: Architecture
    config: EncoderConfig


@dataclass(frozen=True)
class GeneratorProgram(_Program):
    """The generator up to the logits at the masked positions, with the discriminator's embeddings."""

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute the logits of the vocabulary at ``batch.rows``: ``[M, V]``."""
        own = Params(of_generator(root.tensors))
        base = self.architecture.base(own)
        x = self.architecture.encode(ops, base, self.config, batch, only_rows=True)
        return {LOGITS: self.architecture.heads[MASKED_LM].function(ops, own, base, self.config, x)}


@dataclass(frozen=True)
class DiscriminatorProgram(_Program):
    """The discriminator up to a logit for each of ``batch.rows``: high for a replaced token."""

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute the logits of tokens: ``[N, 1]``."""
        base = self.architecture.base(root)
        x = self.architecture.encode(ops, base, self.config, batch, only_rows=True)
        x = ops.activation(self.config.hidden_act, ops.linear(x, root / _HEAD / "dense"))
        return {LOGITS: ops.linear(x, root / _HEAD / "dense_prediction")}


def generator_config(raw_config: Mapping[str, Any], *, size: float = _GENERATOR_SIZE) -> dict[str, Any]:
    """Return the config of a generator with ``size`` times the heads and the width of the discriminator.

    The width of a head and of the embeddings, and the number of layers, are unchanged. Raises `InputError`
    for a size outside 0 to 1.
    """
    if not 0 < size <= 1:
        raise InputError(f"generator_size must be above 0 and at most 1, got {size}.")
    config = architecture_of(raw_config).read_config(raw_config)
    width, heads = config.hidden_size, config.num_attention_heads
    fewer = max(1, round(heads * size))
    return {
        **raw_config,
        "hidden_size": width // heads * fewer,
        "num_attention_heads": fewer,
        "intermediate_size": max(1, config.intermediate_size * fewer // heads),
    }


def generator_tensors(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]] | None, *, seed: int
) -> tuple[dict[str, Any], Tensors]:
    """Return the config and the tensors of a generator without the shared embeddings, under ``generator/``.

    Without weights the generator is newly initialised.
    """
    start = new_encoder(raw_config, seed=seed + 1) if weights is None else weights
    raw, tensors = with_head(raw_config, start, MASKED_LM, seed=seed)
    own = {_PREFIX + name: value for name, value in tensors.items() if not name.startswith(_SHARED)}
    return raw, own


def of_generator(tensors: Mapping[str, T]) -> dict[str, T]:
    """Return the generator's tensors by their published names, from the tensors of both models."""
    shared = {name: tensors[name] for name in tensors if name.startswith(_SHARED)}
    return shared | {
        name.removeprefix(_PREFIX): tensors[name] for name in tensors if name.startswith(_PREFIX)
    }


def with_discriminator(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]] | None, *, seed: int
) -> tuple[dict[str, Any], Tensors]:
    """Return a config and tensors with the discriminator head, which is newly initialised if it is missing.

    Raises `InputError` for a model that is not an ELECTRA.
    """
    kind = raw_config.get("model_type")
    if kind != _KIND:
        raise InputError(
            f"Replaced tokens are learned by a model of type 'electra', not '{kind}'; choose another model "
            "or objective='masked'."
        )
    start = new_encoder(raw_config, seed=seed) if weights is None else weights
    bare = not any(name.startswith(f"{_KIND}.") for name in start)
    encoder: Tensors = {
        f"{_KIND}.{name}" if bare else name: start[name]
        for name in start
        if bare or name.startswith(f"{_KIND}.")
    }
    width = int(encoder[f"{_KIND}.encoder.layer.0.output.dense.bias"].shape[0])
    rng = np.random.default_rng([seed, 13])
    shapes = _head(width)
    head = {name: start[name] for name in shapes if name in start}
    head |= drawn({name: shapes[name] for name in shapes if name not in head}, raw_config, rng)
    return {**raw_config, "architectures": ["ElectraForPreTraining"]}, {**encoder, **head}


def check_generator(generator: EncoderConfig, discriminator: EncoderConfig) -> None:
    """Raise `InputError` unless two models can share their embeddings."""
    for name in ("vocab_size", "embedding_size", "max_position_embeddings", "type_vocab_size"):
        generated, judged = getattr(generator, name), getattr(discriminator, name)
        if generated != judged:
            raise InputError(
                f"The generator's {name} is {generated}, the discriminator's {judged}; they must share their "
                "embeddings."
            )


def _head(width: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{_HEAD}.dense.weight": (width, width),
        f"{_HEAD}.dense.bias": (width,),
        f"{_HEAD}.dense_prediction.weight": (1, width),
        f"{_HEAD}.dense_prediction.bias": (1,),
    }


class _Scores(NamedTuple):
    """The logits of both models, and the targets."""

    masked: Tensor  # [M, V], the generator's
    hidden: Tensor  # [M]
    replaced: Tensor  # [N], the discriminator's, of every token that is not special
    labels: Tensor  # [N], 1 for a token that differs from the original


class ReplacedTokenObjective(Pretraining[NDArray[np.int32]]):
    """The generator's mean loss on masked tokens, plus ``weight`` times the discriminator's on all tokens.

    The discriminator's loss is the binary cross-entropy of whether a token was replaced, over all but the
    special tokens. A sampled token that equals the original counts as original. No gradient flows from the
    discriminator through the sampled tokens. The embeddings are shared. If the token budget splits a batch,
    the losses of the parts are weighted by their numbers of tokens. The generator's loss selects the best
    model, since the discriminator's loss also rises when the generator becomes better.

    Args:
        start: the initial discriminator, of type ``electra``.
        corpus: the training texts.
        held_out: the evaluation texts, always with the same masked tokens and the same random seed for the
            generator's samples.
        task: the options of the task.
        options: the options of the run.
        generator: config and weights of an existing generator; by default a new generator is initialised.
        weight: the weight of the discriminator's loss, by default 50.

    Raises what `Pretraining` raises, and `InputError` for a model of another type and a generator that can't
    share the embeddings.
    """

    name = "replaced-token-detection"

    def __init__(
        self,
        start: InitialModel,
        corpus: TokenCorpus,
        held_out: TokenCorpus | None,
        task: PretrainingTask,
        options: TrainingOptions,
        *,
        generator: tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]] | None = None,
        weight: float = 50.0,
    ) -> None:
        raw, tensors = with_discriminator(start.raw_config, start.weights, seed=options.seed)
        size = _GENERATOR_SIZE if task.generator_size is None else task.generator_size
        small, small_weights = generator or (generator_config(raw, size=size), None)
        self._generator_config, own = generator_tensors(small, small_weights, seed=options.seed)
        model = Model(raw, tensors, backend="torch")
        read = model.architecture.read_config(self._generator_config)
        check_generator(read, model.config)
        masking = {"share_mask": 1.0, "share_random": 0.0}
        super().__init__(start, model, (corpus, held_out), task, seed=options.seed, masking=masking)
        self.examples = self._learned
        self._weight = weight
        self._description = {
            **self._description,
            "weight of the discriminator": weight,
            "generator": f"{read.num_hidden_layers} layers of width {read.hidden_size}",
            "generator config checksum": fingerprint_of_texts([sorted(small.items(), key=str)]),
            "generator checksum": checksum(own),
        }
        self.metric = None if held_out is None else "generator_loss"
        self.network = Network(model, options, more=own)
        self._generator = GeneratorProgram(model.architecture, read)
        self._discriminator = DiscriminatorProgram(model.architecture, model.config)

    def loss(self, examples: Sequence[NDArray[np.int32]], rng: np.random.Generator) -> Loss:
        """Return the weighted sum of both mean losses, times the number of the discriminator's tokens."""
        scores = self._scores(examples, rng, training=True)
        count = len(scores.labels)
        masked = functional.cross_entropy(scores.masked, scores.hidden, reduction="sum")
        judged = functional.binary_cross_entropy_with_logits(scores.replaced, scores.labels, reduction="sum")
        return Loss(masked * (count / max(len(scores.hidden), 1)) + self._weight * judged, count)

    def _scores(
        self,
        texts: Sequence[NDArray[np.int32]],
        rng: np.random.Generator,
        *,
        training: bool,
        luck: torch.Generator | None = None,
    ) -> _Scores:
        packed = Packed.of(texts)
        masked = self._hider(packed, rng)
        batch = packed.batch(self._generator.config, masked.positions, masked.input_ids)
        logits = self.network.forward(self._generator, batch, training=training)[LOGITS].float()
        guessed = packed.ids.copy()
        guessed[masked.positions] = guesses(logits.detach(), luck)
        judged = np.flatnonzero(self._hider.vocabulary.maskable(packed.ids))
        batch = packed.batch(self.model.config, judged, guessed)
        replaced = self.network.forward(self._discriminator, batch, training=training)[LOGITS].float()
        labels = (guessed != packed.ids)[judged].astype(np.float32)
        return _Scores(
            logits,
            torch.from_numpy(masked.labels.astype(np.int64)).to(logits.device),
            replaced[:, 0],
            torch.from_numpy(labels).to(logits.device),
        )

    def _measured(self, part: Sequence[int], rng: np.random.Generator) -> Mapping[str, float]:
        assert self._held_out is not None
        luck = torch.Generator(self.network.device).manual_seed(part[0])
        scores = self._scores([self._held_out[i] for i in part], rng, training=False, luck=luck)
        judged = functional.binary_cross_entropy_with_logits(scores.replaced, scores.labels, reduction="sum")
        called, replaced = scores.replaced > 0, scores.labels > 0
        return {
            **{f"generator_{name}": x for name, x in masked_sums(scores.masked, scores.hidden).items()},
            "loss": float(judged),
            "right": float((called == replaced).sum()),
            "count": len(scores.labels),
            "replaced": float(replaced.sum()),
            "called": float(called.sum()),
            "found": float((called & replaced).sum()),
        }

    def _measures(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return the training loss, its parts, and accuracy, precision and recall for replaced tokens."""
        count, hidden = max(sums["count"], 1), max(sums["generator_count"], 1)
        generator, discriminator = sums["generator_loss"] / hidden, sums["loss"] / count
        return {
            "loss": generator + self._weight * discriminator,
            "generator_loss": generator,
            "generator_accuracy": sums["generator_accuracy"] / hidden,
            "discriminator_loss": discriminator,
            "discriminator_accuracy": sums["right"] / count,
            "precision": sums["found"] / max(sums["called"], 1),
            "recall": sums["found"] / max(sums["replaced"], 1),
        }

    def save(self, folder: Path) -> None:
        """Write the discriminator, and the generator in the folder ``generator``, each with the tokenizer."""
        weights = self.network.weights()
        more = {name: value.detach().cpu().numpy() for name, value in self.network.more.items()}
        generator = Model(
            self._generator_config, of_generator({**weights, **more}), head=MASKED_LM, backend="numpy"
        )
        generator.save_pretrained(folder / "generator")
        self.tokenizer.save_pretrained(folder / "generator")
        super().save(folder)

    def usage(self, folder: Path) -> str:
        """Return example code that uses the discriminator and the generator."""
        return (
            "import munjang\n\n"
            f'model = munjang.Model.from_pretrained("{folder}")  # to train a task from\n'
            f'fill = munjang.pipeline("fill-mask", "{folder / "generator"}")\n'
            f'fill("... {self.tokenizer.mask_token} ...")'
        )


def guesses(logits: Tensor, luck: torch.Generator | None = None) -> NDArray[np.int32]:
    """Sample tokens from the softmax of logits ``[M, V]``: ``[M]``.

    A NaN is replaced by 0 here, since the check of the loss finds it anyway.
    """
    if not len(logits):
        return np.zeros(0, dtype=np.int32)
    probabilities = torch.nan_to_num(logits, nan=0.0).softmax(dim=-1)
    drawn: NDArray[Any] = torch.multinomial(probabilities, 1, generator=luck)[:, 0].cpu().numpy()
    return drawn.astype(np.int32)
