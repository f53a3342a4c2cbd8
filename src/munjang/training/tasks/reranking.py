"""Training of cross-encoders, which score a pair of texts, from labels, scores or ranked lists."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional

from munjang.data.examples import LabelledText, RankedList, ScoredPair
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation
from munjang.evaluation.measures.counts import check_paired
from munjang.evaluation.sentences import (
    evaluate_reranking,
    evaluate_scored_pairs,
    evaluate_true_pairs,
    is_label,
)
from munjang.models.registry import SEQUENCE_CLASSIFICATION
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.tokenization.encoding import TokenIds
from munjang.training.examples import checked_examples, kind_of
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.models import describe_run, longest_of, open_for_training
from munjang.training.options import RerankingTask, TrainingOptions
from munjang.training.tasks.base import TaskObjective, name_activation, naming, tokenised_pairs

_Function: TypeAlias = Callable[[Tensor, Tensor, list[int]], Loss]


@dataclass(frozen=True, slots=True)
class RankingLoss:
    """A loss of a cross-encoder, on single pairs or on a query's list of documents.

    Attributes:
        function: the loss. Its arguments are the concatenated logits of all documents, ``[n]``, their
            targets, ``[n]``, and the number of documents in each list. It returns the sum and the number of
            summands.
        compares: whether the loss compares documents of a list, so that it is not usable on single pairs.
        activation: the activation that turns logits into scores at inference, by torch's name.
    """

    function: _Function
    compares: bool
    activation: str


def binary_cross_entropy(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:  # noqa: ARG001
    """Compute the binary cross-entropy of each pair's sigmoid; targets are from 0 to 1."""
    total = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    return Loss(total, len(logits))


def mean_squared_error(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:  # noqa: ARG001
    """Compute the squared difference of each pair's logit and target."""
    return Loss(functional.mse_loss(logits, targets, reduction="sum"), len(logits))


def list_net(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:
    """Compute ListNet: the cross-entropy between softmax(grades) and softmax(logits) of a list (Cao 2007)."""
    total = logits.new_zeros(())
    for scores, grades in zip(torch.split(logits, sizes), torch.split(targets, sizes), strict=True):
        # Not `@`: under autocast it would be computed in half precision.
        total = total - (grades.softmax(dim=0) * scores.log_softmax(dim=0)).sum()
    return Loss(total, len(sizes))


def rank_net(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:
    """Compute RankNet: ``log(1 + exp(s_worse - s_better))`` over pairs of unequal grade (Burges 2005)."""
    total, count = logits.new_zeros(()), 0
    for scores, grades in zip(torch.split(logits, sizes), torch.split(targets, sizes), strict=True):
        better = grades[:, None] > grades[None, :]
        total = total + functional.softplus((scores[None, :] - scores[:, None])[better]).sum()
        count += int(better.sum())
    return Loss(total, count)


_SIGMOID, _IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"
RANKING_LOSSES: Mapping[str, RankingLoss] = {
    "binary-cross-entropy": RankingLoss(binary_cross_entropy, compares=False, activation=_SIGMOID),
    "mean-squared-error": RankingLoss(mean_squared_error, compares=False, activation=_IDENTITY),
    "listnet": RankingLoss(list_net, compares=True, activation=_IDENTITY),
    "ranknet": RankingLoss(rank_net, compares=True, activation=_IDENTITY),
}

RankingExamples: TypeAlias = Sequence[LabelledText] | Sequence[ScoredPair] | Sequence[RankedList]
_KINDS = (LabelledText, ScoredPair, RankedList)


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs of a query and a document, each with its target: a number from 0 to 1, or a grade."""

    pairs: tuple[tuple[str, str], ...]
    targets: tuple[float, ...]

    @property
    def differs(self) -> bool:
        """Return whether at least two documents have different targets."""
        return len(set(self.targets)) > 1


def judged(
    examples: RankingExamples,
    *,
    what: str = "Example",
    positive: str | None = None,
    highest: float | None = None,
    scaled: bool = True,
) -> list[Judged]:
    """Return the pairs and targets of examples.

    Args:
        examples: all of the same class.
        what: the word for an example in error messages.
        positive: the label of a matching pair, if labels are not 0 and 1.
        highest: the highest possible score or grade; by default the highest that occurs.
        scaled: divide scores and grades by ``highest``.

    Raises `InputError`, with the number of the example, for a label that is neither 0 nor 1, a score or grade
    that is not a number, negative or above ``highest``, a missing second text, and a list without documents
    or with a different number of grades; and if all examples have the same target.
    """
    kind = kind_of(examples, *_KINDS)
    if positive is not None and kind is not LabelledText:
        raise InputError(f"positive={positive!r} has no effect on examples without labels; leave it out.")
    if highest is not None and kind is LabelledText:
        raise InputError(f"highest={highest} has no effect on examples with labels; leave it out.")
    judged: list[Judged] = []
    listed: Sequence[LabelledText | ScoredPair | RankedList] = examples
    for index, example in enumerate(listed):
        with naming(what, index):
            judged.append(_read(example, positive))
    _require_two(what, judged)
    if isinstance(examples[0], LabelledText):
        return judged
    best = max(max(each.targets) for each in judged) if highest is None else highest
    for index, each in enumerate(judged):
        if max(each.targets) > best:
            raise InputError(f"{what} {index} has the score {max(each.targets):g}; the highest is {best:g}.")
    if not scaled:
        return judged
    return [Judged(each.pairs, tuple(target / best for target in each.targets)) for each in judged]


def _read(example: LabelledText | ScoredPair | RankedList, positive: str | None) -> Judged:
    if isinstance(example, LabelledText):
        if example.text_pair is None:
            raise InputError("A cross-encoder reads two texts, and there is one.")
        return Judged(((example.text, example.text_pair),), (_truth(example.label, positive),))
    if isinstance(example, ScoredPair):
        return Judged(((example.sentence1, example.sentence2),), (_checked(example.score, "score"),))
    check_paired("documents", example.documents, "grades of relevance", example.relevance)
    pairs = tuple((example.query, document) for document in example.documents)
    return Judged(pairs, tuple(_checked(grade, "relevance") for grade in example.relevance))


def _truth(label: str | float, positive: str | None) -> float:
    if positive is not None:
        return float(is_label(label, positive))
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if number not in (0, 1):
        raise InputError(
            f"The label {label!r} is neither 0 nor 1; positive=... names the label of texts that "
            "belong together."
        )
    return number


def _checked(number: float, what: str) -> float:
    if not math.isfinite(number) or number < 0:
        raise InputError(f"The {what} is {number}; it must be a number of at least 0.")
    return float(number)


def _require_two(what: str, examples: Sequence[Judged]) -> None:
    numbers = {target for example in examples for target in example.targets}
    if len(numbers) < 2:
        raise InputError(
            f"All of the {len(examples)} {what.lower()}s have the number {numbers.pop():g}; at least "
            "two different numbers are needed."
        )


_LABELS = {0: "LABEL_0"}  # the label name that `sentence-transformers` uses for a score
_METRICS = {LabelledText: "average_precision", ScoredPair: "spearman", RankedList: "MRR@10"}


@dataclass(frozen=True, slots=True)
class _Example:
    """The pairs of a list, or a single pair, with their target scores."""

    texts: tuple[TokenIds, ...]
    targets: tuple[float, ...]


class CrossEncoderObjective(TaskObjective[_Example]):
    """A loss on a cross-encoder's scores of pairs of texts.

    Args:
        model: the initial model.
        examples: pairs with the labels 0 and 1 (`LabelledText`), pairs with scores (`ScoredPair`), or queries
            with graded documents (`RankedList`).
        held_out: the evaluation examples, of any of these classes.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError` for a loss that does not suit the examples, and what `judged` raises.
    """

    name = "cross-encoder"
    snippet = (
        "import munjang\n\n"
        'model = munjang.CrossEncoder("{folder}")\n'
        'scores = model.predict([("...", "...")])\n'
        'best = model.rank("...", ["...", "..."], top_k=10)'
    )

    def __init__(
        self,
        model: str | os.PathLike[str],
        examples: RankingExamples,
        held_out: RankingExamples,
        task: RerankingTask,
        options: TrainingOptions,
    ) -> None:
        examples, held_out = cast(
            tuple[RankingExamples, RankingExamples],
            checked_examples(examples, held_out, *_KINDS, task=(task, RerankingTask), options=options),
        )
        kind = kind_of(examples, *_KINDS)
        chosen = task.loss or ("listnet" if kind is RankedList else "binary-cross-entropy")
        self._loss = RANKING_LOSSES[chosen]
        if self._loss.compares and kind is not RankedList:
            raise InputError(f"The loss {chosen!r} compares the documents of a list; these are single pairs.")
        lists = judged(examples, positive=task.positive, highest=task.highest, scaled=not self._loss.compares)
        useful = [example for example in lists if example.differs] if self._loss.compares else lists
        if not useful:
            raise InputError(f"In none of the {len(lists)} lists is a document better than another.")
        if len(held_out):
            own = task.positive if kind_of(held_out, *_KINDS) is LabelledText else None
            judged(held_out, what="Held-out example", positive=own, scaled=False)
        loaded = open_for_training(model, SEQUENCE_CLASSIFICATION, labels=_LABELS, seed=options.seed)
        description = describe_run(model, loaded.model, examples, held_out)
        longest = longest_of(loaded.max_length, task.max_length)
        if task.max_length is not None:
            loaded.tokenizer.model_max_length = task.max_length
        name_activation(loaded, self._loss.activation)
        ids = tokenised_pairs([example.pairs for example in useful], loaded, longest)
        prepared = [_Example(texts, each.targets) for texts, each in zip(ids, useful, strict=True)]
        description |= {
            "loss": chosen,
            "highest score": "that of the examples" if task.highest is None else task.highest,
            "positive label": "1" if task.positive is None else task.positive,
            "longest pair in tokens": longest,
            "pairs cut": sum(text.truncated > 0 for example in prepared for text in example.texts),
            "lists left out, as no document is better": len(lists) - len(useful),
        }
        super().__init__(loaded, prepared, options, description)
        self._held_out, self._positive = held_out, "1" if task.positive is None else task.positive
        self.metric = _METRICS[kind_of(held_out, *_KINDS)] if len(held_out) else None
        self._encoder = CrossEncoder.of(
            loaded.model,
            loaded.tokenizer,
            activation_fn=self._loss.activation,
            max_length=longest,
            on_truncation="ignore",  # the description states the number of truncated pairs
        )

    def loss(self, examples: Sequence[_Example], rng: object) -> Loss:  # noqa: ARG002
        """Return the loss on the scores of all pairs, which the model computes in a single batch."""
        logits = self.logits(examples)[:, 0]
        targets = torch.tensor([t for example in examples for t in example.targets], device=logits.device)
        return self._loss.function(logits, targets, [len(example.texts) for example in examples])

    def evaluate(self) -> Mapping[str, float]:
        """Return average precision and accuracy (labels), correlations (scores) or MRR and nDCG (lists)."""
        return self._measured().values

    def _measured(self) -> Evaluation:
        kind, held_out = kind_of(self._held_out, *_KINDS), self._held_out
        if kind is RankedList:
            return evaluate_reranking(self._encoder, cast(Sequence[RankedList], held_out), intervals=False)
        if kind is ScoredPair:
            return evaluate_scored_pairs(self._encoder, cast(Sequence[ScoredPair], held_out), intervals=False)
        return evaluate_true_pairs(
            self._encoder, cast(Sequence[LabelledText], held_out), positive=self._positive, intervals=False
        )


def train_cross_encoder(
    examples: RankingExamples,
    *,
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    held_out: RankingExamples = (),
    task: RerankingTask = RerankingTask(),
    options: TrainingOptions = TrainingOptions(),
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a cross-encoder, which scores a pair of texts such as a question and a document.

    ``output`` is the folder of the run; the other arguments are those of `CrossEncoderObjective`. The saved
    model can be loaded by `munjang.CrossEncoder` and by `sentence-transformers`.
    Raises what the objective and `train` raise.
    """
    return train(
        CrossEncoderObjective(model, examples, held_out, task, options),
        output,
        options,
        watchers=watchers,
    )
