"""What a student encoder learns from: texts, the teacher's vectors of them, and the scores of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError, InputTypeError
from munjang.evaluation.examples import ScoredPair
from munjang.sentence.settings import check_choice
from munjang.sentence.transformer import SentenceTransformer
from munjang.training.hidden_states import check_weight
from munjang.training.objective import require_examples
from munjang.training.teachers import table

__all__ = [
    "EncoderExample",
    "Goals",
    "Lesson",
    "TeacherVectors",
    "lessons_of",
    "pair_errors",
    "vector_errors",
]

EncoderExample: TypeAlias = str | tuple[str, ...] | ScoredPair
_CHUNK = 4096  # texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What the vectors of a student are to be like, and how much each counts.

    Attributes:
        distance: to the teacher's vector: ``cosine``, one less the cosine, whatever the vectors' lengths; or
            ``mse``, the mean squared difference of the components (arXiv:2004.09813).
        vectors: the weight of that distance.
        pairs: the weight of the squared difference of a pair's cosine from what it should be.
        gold: what it should be: people's score (1), the teacher's cosine (0), or so much of the one and the
            rest of the other.
        highest_score: the score that stands for a cosine of 1; 0 stands for 0.

    Raises `InputError` for weights below 0 or both 0, and ``gold`` outside 0 to 1.
    """

    distance: Literal["cosine", "mse"] = "cosine"
    vectors: float = 1.0
    pairs: float = 1.0
    gold: float = 0.5
    highest_score: float = 5.0

    def __post_init__(self) -> None:
        check_choice("distance", self.distance, ("cosine", "mse"))
        for name in ("vectors", "pairs", "gold", "highest_score"):
            check_weight(name, getattr(self, name))
        if not (self.vectors or self.pairs):
            raise InputError("Nothing is to be learned: vectors and pairs are both 0.")
        if self.gold > 1:
            raise InputError(f"gold must be between 0 and 1, got {self.gold}.")
        if self.highest_score == 0:
            raise InputError("highest_score must be more than 0, got 0.")

    def describe(self) -> str:
        """Its settings, in a line."""
        return (
            f"vectors {self.vectors:g} ({self.distance}), pairs {self.pairs:g} ({self.gold:g} of it people's "
            f"scores up to {self.highest_score:g})"
        )


@dataclass(frozen=True, slots=True)
class Lesson:
    """Texts that are learned together, which text the teacher reads for each, and the score of a pair."""

    texts: tuple[str, ...]
    sources: tuple[str, ...]
    score: float | None = None

    @property
    def read(self) -> tuple[bool, ...]:
        """Which of the texts the teacher reads."""
        return tuple(text == source for text, source in zip(self.texts, self.sources, strict=True))


def lessons_of(examples: Sequence[EncoderExample], highest_score: float) -> list[Lesson]:
    """Sort out what each example is.

    A text has the teacher's vector of itself; a tuple is a text with its translations, which all have the
    teacher's vector of the first; a pair with a score has a vector for each of the two. Raises `InputError`
    for no examples and for empty texts or scores out of range, `InputTypeError` for anything else.
    """
    if isinstance(examples, str):
        raise InputTypeError("The examples must be a list of texts, got one str.")
    require_examples(examples)
    return [_lesson(example, place, highest_score) for place, example in enumerate(examples)]


def _lesson(example: EncoderExample, place: int, highest_score: float) -> Lesson:
    score = None
    texts: tuple[str, ...]
    sources: tuple[str, ...]
    if isinstance(example, ScoredPair):
        if not 0 <= example.score <= highest_score:
            raise InputError(
                f"Example {place} has the score {example.score}, outside 0 to {highest_score:g}."
            )
        score = example.score / highest_score
        texts = sources = (example.sentence1, example.sentence2)
    elif isinstance(example, str):
        texts = sources = (example,)
    elif isinstance(example, tuple) and example:
        texts, sources = example, (example[0],) * len(example)
    else:
        raise InputTypeError(
            f"Example {place} must be a text, a tuple of a text and its translations, or a ScoredPair, "
            f"got {example!r:.80}."
        )
    for text in texts:
        if not isinstance(text, str):
            raise InputTypeError(f"Example {place} holds a {type(text).__name__}; its texts must be str.")
        if not text.strip():
            raise InputError(f"Example {place} has an empty text; leave it out.")
    return Lesson(texts, sources, score)


class TeacherVectors:
    """A teacher's vectors of texts, each text read once.

    Args:
        teacher: the encoder to ask.
        texts: in any order, some maybe several times.
        prompt: put before every text.
        width: the student's; wider vectors of the teacher are brought to it by ``reduce``.
        reduce: ``pca`` projects them on the directions in which they are longest, which keeps their dot
            products as well as so few numbers can.

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
        """The vectors of some texts, ``[n, d]``."""
        return np.asarray(self._vectors[[self.rows[text] for text in texts]])


def _check_widths(student: int, teacher: int, reduce: str | None) -> None:
    check_choice("reduce", reduce, (None, "pca"))
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
    """How far vectors ``[n, d]`` are from the teacher's, each: ``[n]``."""
    if distance == "mse":
        return (student - teacher).square().mean(dim=-1)
    return 1 - functional.cosine_similarity(student, teacher)


def pair_errors(student: Tensor, teacher: Tensor, scores: Tensor, gold: float) -> Tensor:
    """The squared difference of the cosines of pairs ``[n, 2, d]`` from what they should be: ``[n]``."""
    wanted = functional.cosine_similarity(teacher[:, 0], teacher[:, 1])
    wanted = torch.lerp(wanted, scores, gold)
    return (functional.cosine_similarity(student[:, 0], student[:, 1]) - wanted).square()
