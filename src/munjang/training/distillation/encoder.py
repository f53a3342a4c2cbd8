"""Distillation of sentence encoders: the student learns the teacher's vectors, also across languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.data.examples import ScoredPair
from munjang.errors import InputError, InputTypeError
from munjang.evaluation.sentences import evaluate_similarity
from munjang.models.batch import TokenBatch
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import Program
from munjang.sentence.program import SENTENCE_EMBEDDING
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization.encoding import TokenIds
from munjang.training.distillation.layers import LayerMatcher
from munjang.training.distillation.models import (
    Layers,
    check_same_tokens,
    describe_distillation,
    open_student_encoder,
    table,
)
from munjang.training.distillation.options import EncoderDistillationTask, LayerMatching, encoder_options
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.network import Network
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.models import used_ids
from munjang.training.options import Name, TrainingOptions
from munjang.training.sentences.objective import EncoderObjective

EncoderExample: TypeAlias = str | tuple[str, ...] | ScoredPair
_CHUNK = 4096  # texts


@dataclass(frozen=True, slots=True)
class Lesson:
    """A training example: its texts, the teacher's input (source) for each text, and the score of a pair."""

    texts: tuple[str, ...]
    sources: tuple[str, ...]
    score: float | None = None

    @property
    def read(self) -> tuple[bool, ...]:
        """Return for each text whether it is the teacher's input."""
        return tuple(text == source for text, source in zip(self.texts, self.sources, strict=True))


def lessons_of(examples: Sequence[EncoderExample], highest_score: float) -> list[Lesson]:
    """Convert each example to a `Lesson`.

    The target of a single text is the teacher's vector of this text. In a tuple of a text and its
    translations, the target of all is the teacher's vector of the first text. In a pair with a score, each
    text has its own target. Raises `InputError` for empty texts or scores out of range, `InputTypeError` for
    examples of other types.
    """
    return [_lesson(example, index, highest_score) for index, example in enumerate(examples)]


def _lesson(example: EncoderExample, index: int, highest_score: float) -> Lesson:
    score = None
    texts: tuple[str, ...]
    sources: tuple[str, ...]
    if isinstance(example, ScoredPair):
        if not 0 <= example.score <= highest_score:
            raise InputError(
                f"Example {index} has the score {example.score}, outside 0 to {highest_score:g}."
            )
        score = example.score / highest_score
        texts = sources = (example.sentence1, example.sentence2)
    elif isinstance(example, str):
        texts = sources = (example,)
    elif isinstance(example, tuple) and example:
        texts, sources = example, (example[0],) * len(example)
    else:
        raise InputTypeError(
            f"Example {index} must be a text, a tuple of a text and its translations, or a ScoredPair, "
            f"got {example!r:.80}."
        )
    for text in texts:
        if not isinstance(text, str):
            raise InputTypeError(f"Example {index} holds a {type(text).__name__}; its texts must be str.")
        if not text.strip():
            raise InputError(f"Example {index} has an empty text; leave it out.")
    return Lesson(texts, sources, score)


class TeacherVectors:
    """A teacher's vectors of texts; each distinct text is encoded once.

    Args:
        teacher: the teacher's encoder.
        texts: in any order; may contain duplicates.
        prompt: the prefix of every text.
        width: the student's width; wider vectors of the teacher are reduced to it by ``reduce``.
        reduce: ``pca`` projects them on their principal directions (uncentred), which preserves their dot
            products as well as is possible with this width.

    Raises `InputError` if the widths differ and ``reduce`` does not help.
    """

    def __init__(
        self,
        teacher: SentenceTransformer,
        texts: Sequence[str],
        *,
        prompt: str,
        width: int,
        reduce: Literal["pca"] | None = None,
    ) -> None:
        own = teacher.get_sentence_embedding_dimension()
        _check_widths(width, own, reduce)
        self.rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        listed = list(self.rows)
        vectors = table(len(listed), own)
        for start in range(0, len(listed), _CHUNK):
            chunk = listed[start : start + _CHUNK]
            vectors[start : start + len(chunk)] = teacher.encode(chunk, prompt=prompt)
        self._vectors = vectors if own == width else _reduced(vectors, width)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts, ``[n, d]``."""
        return np.asarray(self._vectors[[self.rows[text] for text in texts]])


def _check_widths(student: int, teacher: int, reduce: str | None) -> None:
    if student == teacher and reduce is not None:
        raise InputError(
            f"reduce={reduce!r} would have no effect: the vectors of teacher and student both have "
            f"{teacher} numbers; leave it out."
        )
    if student > teacher or (student < teacher and reduce is None):
        advice = "reduce='pca' brings them down" if student < teacher else "choose a narrower student"
        raise InputError(f"The teacher's vectors have {teacher} numbers, the student's {student}; {advice}.")


def _reduced(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    if len(vectors) < width:
        raise InputError(
            f"{len(vectors)} texts are too few to find {width} directions in; give more texts than that."
        )
    _, directions = np.linalg.eigh(vectors.T @ vectors)  # in ascending order
    return np.asarray(vectors @ directions[:, ::-1][:, :width], dtype=np.float32)


def vector_errors(student: Tensor, teacher: Tensor, distance: str) -> Tensor:
    """Compute the distance of each vector ``[n, d]`` from the teacher's: ``[n]``."""
    if distance == "mse":
        return (student - teacher).square().mean(dim=-1)
    return 1 - functional.cosine_similarity(student, teacher)


def pair_errors(student: Tensor, teacher: Tensor, scores: Tensor, gold: float) -> Tensor:
    """Compute the squared difference between cosines of pairs ``[n, 2, d]`` and their targets: ``[n]``."""
    wanted = functional.cosine_similarity(teacher[:, 0], teacher[:, 1])
    wanted = torch.lerp(wanted, scores, gold)
    return (functional.cosine_similarity(student[:, 0], student[:, 1]) - wanted).square()


@dataclass(frozen=True)
class _Tapped:
    """A program with additional taps."""

    program: Program
    taps: frozenset[str]

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        return self.program(ops, root, batch)


@dataclass(frozen=True, slots=True)
class _Example:
    texts: tuple[TokenIds, ...]
    sources: tuple[str, ...]
    score: float | None
    read: tuple[bool, ...]  # for each text, whether it is the teacher's input


class EncoderDistillation(EncoderObjective[_Example]):
    """A loss on the teacher's vectors, the cosines of pairs, and optionally the teacher's layers.

    Args:
        teacher: a sentence encoder; it encodes every text once, before training.
        student: a `SentenceTransformer` with the backend ``torch``.
        examples: texts, tuples of a text and its translations, and pairs with scores.
        held_out: scored pairs for the evaluation.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError` and `InputTypeError` for examples that `lessons_of` refuses, `InputError` for vectors
    of different widths, and with ``matching`` for tokenizers that differ.
    """

    name = "encoder-distillation"

    def __init__(
        self,
        teacher: Name,
        student: SentenceTransformer,
        examples: Sequence[EncoderExample],
        held_out: Sequence[ScoredPair],
        task: EncoderDistillationTask,
        options: TrainingOptions,
    ) -> None:
        lessons = lessons_of(examples, task.goals.highest_score)
        opened = SentenceTransformer(teacher, on_truncation="ignore")
        self._prompt = student.settings.prompt_text(text=task.prompt)
        super().__init__(student, (self._prompt, self._prompt))
        self._goals, self._dropout, self._held_out = task.goals, task.dropout, held_out
        self.metric = "spearman" if held_out else None
        texts = list(dict.fromkeys(text for lesson in lessons for text in lesson.texts))
        self._matcher = self._matched(teacher, opened, texts, task.matching, options.seed)
        ids = dict(zip(texts, self.tokenised(texts, self._prompt), strict=True))
        self.examples = [
            _Example(tuple(ids[text] for text in lesson.texts), lesson.sources, lesson.score, lesson.read)
            for lesson in lessons
        ]
        self._targets = TeacherVectors(
            opened,
            [source for lesson in lessons for source in lesson.sources],
            prompt=self._prompt,
            width=student.get_sentence_embedding_dimension(),
            reduce=task.reduce,
        )
        self.network = Network(
            student.model,
            options,
            used_ids=used_ids(ids.values()),
            more=self._matcher.tensors() if self._matcher else None,
        )
        self._program: Program = student.program()
        self.check_learns(self._program)
        if self._matcher is not None:
            self._matcher.to(self.network.device)
            self._program = _Tapped(student.program(tokens=True), self._matcher.taps)
        self._description = {
            **describe_distillation(
                (student.tokenizer.name_or_path, student.model),
                (teacher, opened.model),
                examples,
                held_out,
            ),
            "goals": task.goals.describe(),
            "matching": task.matching.describe() if task.matching else "none",
            "dropout": str(task.dropout),
            "reduce": str(task.reduce),
            "prompt": repr(self._prompt),
            "longest text in tokens": student.max_seq_length,
            "texts that were cut": sum(text.truncated > 0 for text in ids.values()),
        }

    def _matched(
        self,
        name: Name,
        teacher: SentenceTransformer,
        texts: Sequence[str],
        matching: LayerMatching | None,
        seed: int,
    ) -> LayerMatcher | None:
        if matching is None:
            return None
        check_same_tokens(self.model.tokenizer, teacher.tokenizer, texts)
        self.model.max_seq_length = min(self.model.max_seq_length, teacher.max_seq_length)
        beside = SentenceTransformer(name, backend="torch").model
        return LayerMatcher(matching, self.model.model, beside, seed=seed)

    def loss(self, examples: Sequence[_Example], rng: np.random.Generator) -> Loss:  # noqa: ARG002
        """Return the loss, summed over examples.

        The loss of an example is the mean distance of its texts, plus the error of a pair, plus the loss on
        the layers with ``matching``.
        """
        texts = list(chain.from_iterable(example.texts for example in examples))
        batch = self.packed(texts)
        outputs = self.network.forward(self._program, batch, training=self._dropout)
        vectors = outputs[SENTENCE_EMBEDDING].float()[:, : self.model.get_sentence_embedding_dimension()]
        sources = list(chain.from_iterable(example.sources for example in examples))
        targets = torch.from_numpy(self._targets(sources)).to(vectors.device)
        shares = vectors.new_tensor([1 / len(e.texts) for e in examples for _ in e.texts])
        total = self._goals.vectors * (shares * vector_errors(vectors, targets, self._goals.distance)).sum()
        total = total + self._goals.pairs * self._pairs(examples, vectors, targets)
        if self._matcher is not None:
            total = total + self._layers(examples, outputs, batch, shares)
        return Loss(total, len(examples))

    def _pairs(self, examples: Sequence[_Example], vectors: Tensor, targets: Tensor) -> Tensor:
        starts = np.cumsum([0, *(len(example.texts) for example in examples)])
        scored = [index for index, example in enumerate(examples) if example.score is not None]
        if not scored or not self._goals.pairs:
            return vectors.new_zeros(())
        rows = torch.from_numpy(starts[scored][:, None] + np.arange(2)).to(vectors.device)
        scores = vectors.new_tensor([score for e in examples if (score := e.score) is not None])
        return pair_errors(vectors[rows], targets[rows], scores, self._goals.gold).sum()

    def _layers(
        self,
        examples: Sequence[_Example],
        outputs: Mapping[str, Tensor],
        batch: TokenBatch[NDArray[Any]],
        shares: Tensor,
    ) -> Tensor:
        """Return the loss on the layers, only on the teacher's input texts.

        Translations are left out, since the teacher may not support their language.
        """
        assert self._matcher is not None
        read = shares.new_tensor([float(is_read) for example in examples for is_read in example.read])
        return (shares * read * self._matcher(outputs, batch, self.network.more)).sum()

    def evaluate(self) -> Mapping[str, float]:
        """Return the correlation of the student's cosines with the human scores."""
        return evaluate_similarity(self.model, self._held_out, prompt=self._prompt, intervals=False).values


def distill_sentence_encoder(
    teacher: Name,
    examples: Sequence[EncoderExample],
    *,
    output: str | Path,
    student: Name | None = None,
    layers: Layers = None,
    held_out: Sequence[ScoredPair] = (),
    task: EncoderDistillationTask = EncoderDistillationTask(),
    options: TrainingOptions | None = None,
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a small sentence encoder to reproduce a large encoder's vectors (arXiv:2004.09813).

    Args:
        teacher: a sentence encoder, by folder, catalogue name or repository.
        examples: texts, whose targets are the teacher's vectors; tuples of a text and its translations, whose
            target is the teacher's vector of the first text; pairs with human scores. All kinds may be mixed.
        output: the folder of the run.
        student: the model to train; by default a copy of some of the teacher's layers.
        layers: without ``student``: the number or the indices of these layers, by default half of them.
        held_out: scored pairs for the evaluation; the student with the best Spearman correlation is kept.
        task: the options of the task.
        options: the options of the run; by default `encoder_options`.
        watchers: observers of the run.

    Raises what `EncoderDistillation`, `make_student` and `train` raise.
    """
    examples, held_out = checked_examples(
        examples,
        held_out,
        str,
        tuple,
        ScoredPair,
        task=(task, EncoderDistillationTask),
        options=options,
        held_out_kinds=(ScoredPair,),
    )
    options = options or encoder_options(copied=student is None)
    encoder = open_student_encoder(teacher, student, layers)
    objective = EncoderDistillation(teacher, encoder, examples, held_out, task, options)
    return train(objective, output, options, watchers=watchers)
