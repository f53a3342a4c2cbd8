"""Similarity of vectors: cosine, dot product, Euclidean and Manhattan, for all pairs or row by row.

Vectors are lists, numpy arrays, or objects with the array protocol, such as torch tensors; torch is never
imported here. Scores are a torch tensor if an argument is a torch tensor, otherwise a float32 `Tensor`: a
numpy array with the methods of torch tensors that lessons use. NaN in a vector gives NaN scores.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.errors import InputError, InputTypeError
from munjang.runtime.tensors import scores_as_tensors, tensors_for_tensors
from munjang.validation import checked_count

FloatArray: TypeAlias = NDArray[np.float32]
ScoreFunction: TypeAlias = Callable[[FloatArray, FloatArray], ArrayLike]

PROBE = "문장 하나, and a sentence."
"""A text whose vector identifies a model; its name does not."""
_PROBE_TOLERANCE = 1e-3  # engines on other machines differ in the last digits, other models in the first

_SMALLEST_NORM = np.float32(1e-12)  # torch.nn.functional.normalize divides by no less than this
_TILE_ROWS, _TILE_COLUMNS = 512, 4096  # a tile of float64 distances takes 16 MiB
_CACHED_CELLS = 2**18  # differences of this many float32 cells stay in a core's own cache


# Reading of arguments


def as_array(value: ArrayLike, caller: str) -> NDArray[Any]:
    """Read numbers of any shape as a numpy array of their own type.

    Raises ``InputTypeError`` when they are not real numbers, ``InputError`` when rows differ in width.
    """
    try:
        array = np.asarray(_without_torch(value))
    except ValueError as error:
        raise InputError(f"{caller} needs vectors of equal width, got {_widths(value)}") from error
    except (TypeError, RuntimeError) as error:  # from tensors that can't become an array
        raise InputTypeError(f"{caller} can't read a {type(value).__name__} as numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        advice = "; encode texts first" if array.dtype.kind in "US" else ""
        kind = f"{type(value).__name__} of type {array.dtype}"
        raise InputTypeError(f"{caller} needs vectors of real numbers, got a {kind}{advice}")
    return array


def _without_torch(value: Any) -> Any:
    """Convert a torch tensor, or a list of them, so that the array protocol can read it.

    The protocol refuses tensors that need gradients, are on a GPU or are bfloat16.
    """
    if isinstance(value, list | tuple) and value and hasattr(value[0], "detach"):
        return [_without_torch(item) for item in value]
    if isinstance(value, np.ndarray) or not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()


def _widths(value: Any) -> str:
    rows = value if isinstance(value, list | tuple) else []
    widths = sorted({len(row) for row in rows if hasattr(row, "__len__")})
    return " and ".join(map(str, widths[:3])) if len(widths) > 1 else "rows of different shapes"


def as_matrix(value: ArrayLike, caller: str) -> FloatArray:
    """Read one vector or many as a float32 matrix ``[n, d]``; an empty list becomes ``[0, 0]``.

    Raises ``InputTypeError`` when they are not real numbers, ``InputError`` when rows differ in width or the
    array has more than two dimensions.
    """
    array = as_array(value, caller).astype(np.float32, copy=False)
    if array.ndim > 2:
        raise InputError(f"{caller} needs one vector or a matrix of vectors, got the shape {array.shape}")
    return array.reshape(0, 0) if array.shape == (0,) else np.atleast_2d(array)


def check_same_width(a: NDArray[Any], b: NDArray[Any], caller: str) -> None:
    """Raise an InputError unless the vectors of both are equally wide; ``[]`` fits everything."""
    if (0, 0) not in (a.shape, b.shape) and a.shape[-1] != b.shape[-1]:
        raise InputError(f"{caller} needs vectors of equal width, got {a.shape[-1]} and {b.shape[-1]}")


def _two_matrices(a: ArrayLike, b: ArrayLike, caller: str) -> tuple[FloatArray, FloatArray]:
    left, right = as_matrix(a, caller), as_matrix(b, caller)
    check_same_width(left, right, caller)
    width = max(left.shape[1], right.shape[1])  # one is 0 if that side is an empty list
    return left.reshape(len(left), width), right.reshape(len(right), width)


def _two_rows(a: ArrayLike, b: ArrayLike, caller: str) -> tuple[FloatArray, FloatArray]:
    """Read two matrices to be compared row by row; a single vector is compared with every row."""
    left, right = _two_matrices(a, b, caller)
    if len({len(left), len(right)} - {1}) > 1:
        raise InputError(f"{caller} needs as many vectors on both sides, got {len(left)} and {len(right)}")
    if len(left) == len(right) == 1 and all(as_array(side, caller).ndim < 2 for side in (a, b)):
        return left[0], right[0]
    return left, right


# Every vector of a with every vector of b


@scores_as_tensors
def cos_sim(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the cosine of the angle between every vector of ``a`` and every vector of ``b``.

    ``a`` is ``[n, d]`` and ``b`` is ``[m, d]``, or one vector ``[d]``; the scores are ``[n, m]`` in
    float32. A zero vector scores 0 with everything. Raises ``InputError`` when the widths do not fit,
    ``InputTypeError`` when the vectors are not numbers.
    """
    left, right = _two_matrices(a, b, "cos_sim")
    return _products(normalize_embeddings(left), normalize_embeddings(right))


pytorch_cos_sim = cos_sim  # the name that older lessons use


@scores_as_tensors
def dot_score(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the dot product of every vector of ``a`` and every vector of ``b``; otherwise as `cos_sim`."""
    return _products(*_two_matrices(a, b, "dot_score"))


def _products(left: FloatArray, right: FloatArray) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        return left @ right.T


@scores_as_tensors
def euclidean_sim(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the negated Euclidean distance of all vectors of ``a`` to all of ``b``; as `cos_sim`."""
    left, right = _two_matrices(a, b, "euclidean_sim")
    scores = np.empty((len(left), len(right)), np.float32)
    for row in range(0, len(left), _TILE_ROWS):
        rows = left[row : row + _TILE_ROWS]
        for column in range(0, len(right), _TILE_COLUMNS):
            tile = _negated_distances(rows, right[column : column + _TILE_COLUMNS])
            scores[row : row + _TILE_ROWS, column : column + _TILE_COLUMNS] = tile
    return scores


def _negated_distances(left: FloatArray, right: FloatArray) -> NDArray[np.float64]:
    """Return distances by ``|x - y|^2 = |x|^2 - 2xy + |y|^2``, one matrix product.

    In float32, rounding would exceed the difference of near neighbours (0.001 for equal vectors), so this
    computes in float64, unlike the rest.
    """
    x, y = left.astype(np.float64), right.astype(np.float64)
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    with np.errstate(invalid="ignore"):
        squares -= 2 * (x @ y.T)
        distances: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0))
    return -distances


@scores_as_tensors
def manhattan_sim(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the negated Manhattan distance of all vectors of ``a`` to all of ``b``; as `cos_sim`."""
    left, right = _two_matrices(a, b, "manhattan_sim")
    scores = np.empty((len(left), len(right)), np.float32)
    step = max(1, _CACHED_CELLS // max(1, left.shape[1]))
    for column in range(0, len(right), step):
        block = right[column : column + step]
        for row, vector in enumerate(left):
            scores[row, column : column + step] = -np.abs(block - vector).sum(axis=1)
    return scores


# Row by row


@scores_as_tensors
def pairwise_cos_sim(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the cosine between ``a[i]`` and ``b[i]``.

    Both are ``[n, d]``, or one vector ``[d]``; the scores are ``[n]`` in float32, without dimensions if both
    sides are one vector. Raises ``InputError`` when the widths or the numbers of vectors do not fit,
    ``InputTypeError`` when the vectors are not numbers.
    """
    left, right = _two_rows(a, b, "pairwise_cos_sim")
    return _row_sums(normalize_embeddings(left) * normalize_embeddings(right))


@scores_as_tensors
def pairwise_dot_score(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the dot product of ``a[i]`` and ``b[i]``; shapes and errors as in `pairwise_cos_sim`."""
    left, right = _two_rows(a, b, "pairwise_dot_score")
    return _row_sums(left * right)


@scores_as_tensors
def pairwise_euclidean_sim(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the negated Euclidean distance of ``a[i]`` to ``b[i]``; otherwise as `pairwise_cos_sim`."""
    left, right = _two_rows(a, b, "pairwise_euclidean_sim")
    return np.asarray(-np.sqrt(_row_sums((left - right) ** 2)))


@scores_as_tensors
def pairwise_manhattan_sim(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the negated Manhattan distance of ``a[i]`` to ``b[i]``; otherwise as `pairwise_cos_sim`."""
    left, right = _two_rows(a, b, "pairwise_manhattan_sim")
    return np.asarray(-_row_sums(np.abs(left - right)))


@scores_as_tensors
def pairwise_angle_sim(x: ArrayLike, y: ArrayLike) -> FloatArray:
    """Return the AnglE similarity of ``x[i]`` and ``y[i]``; shapes and errors as in `pairwise_cos_sim`.

    The halves of a vector are read as the real and the imaginary parts of complex numbers; the score is the
    absolute sum of both parts of the normalised quotient (Li and Li 2023, https://arxiv.org/abs/2309.12871).
    """
    left, right = (normalize_embeddings(side) for side in _two_rows(x, y, "pairwise_angle_sim"))
    left_real, left_imaginary = _halves(left)
    right_real, right_imaginary = _halves(right)
    sines = _row_sums(left_imaginary * right_real - left_real * right_imaginary)
    return np.asarray(np.abs(_row_sums(left * right) + sines))


def _halves(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split vectors in two equal halves; an odd width gets a zero at the end."""
    even = np.pad(vectors, [(0, 0)] * (vectors.ndim - 1) + [(0, vectors.shape[-1] % 2)])
    middle = even.shape[-1] // 2
    return even[..., :middle], even[..., middle:]


def _row_sums(products: FloatArray) -> FloatArray:
    return np.asarray(products.sum(axis=-1))


# Vectors themselves


@tensors_for_tensors
def normalize_embeddings(embeddings: ArrayLike) -> FloatArray:
    """Scale vectors, in the last axis of an array of any shape, to unit length.

    Returns a new float32 array of the same shape, in which zero vectors remain zero. Raises ``InputError``
    when rows differ in width or the input is a single number, ``InputTypeError`` when the vectors are not
    numbers.
    """
    vectors = _some_vectors(embeddings, "normalize_embeddings").astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        # einsum needs no array of squares, which for a large corpus would double its memory.
        norms = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
        unit: FloatArray = vectors / np.maximum(norms, _SMALLEST_NORM)[..., None]
    return unit


@tensors_for_tensors
def truncate_embeddings(embeddings: ArrayLike, truncate_dim: int | None) -> NDArray[Any]:
    """Keep the first ``truncate_dim`` components of each vector, all of them for None; a view, not a copy.

    Raises ``InputError`` when ``truncate_dim`` is below 1, rows differ in width or the input is a single
    number, ``InputTypeError`` when the vectors are not numbers.
    """
    vectors = _some_vectors(embeddings, "truncate_embeddings")
    if truncate_dim is None:
        return vectors
    return vectors[..., : checked_count("truncate_dim", truncate_dim)]


def _some_vectors(value: ArrayLike, caller: str) -> NDArray[Any]:
    vectors = as_array(value, caller)
    if vectors.ndim == 0:
        raise InputError(f"{caller} needs a vector, got the number {vectors}")
    return vectors


class SimilarityFunction(Enum):
    """The similarity functions that a model's files may name."""

    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    DOT = "dot"  # noqa: PIE796 - sentence-transformers has both names
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"

    @classmethod
    def _missing_(cls, value: object) -> None:
        names = ", ".join(cls.possible_values())
        if not isinstance(value, str):
            raise InputTypeError(f"A similarity function is one of {names}, got {value!r:.80}")
        raise InputError(f"Unknown similarity function {value!r}; use one of {names}")

    @staticmethod
    def to_similarity_fn(
        similarity_function: str | SimilarityFunction,
    ) -> Callable[[ArrayLike, ArrayLike], FloatArray]:
        """Return the function that compares all pairs; `InputError` for an unknown name."""
        return {"cosine": cos_sim, "dot": dot_score, "euclidean": euclidean_sim, "manhattan": manhattan_sim}[
            SimilarityFunction(similarity_function).value
        ]

    @staticmethod
    def to_similarity_pairwise_fn(
        similarity_function: str | SimilarityFunction,
    ) -> Callable[[ArrayLike, ArrayLike], FloatArray]:
        """Return the function that compares row by row; `InputError` for an unknown name."""
        return {
            "cosine": pairwise_cos_sim,
            "dot": pairwise_dot_score,
            "euclidean": pairwise_euclidean_sim,
            "manhattan": pairwise_manhattan_sim,
        }[SimilarityFunction(similarity_function).value]

    @staticmethod
    def possible_values() -> list[str]:
        """Return the names, such as ``"cosine"``."""
        return [member.value for member in SimilarityFunction]


def same_probe(old: ArrayLike, new: ArrayLike) -> bool:
    """Return whether two vectors of `PROBE` are of the same model, computed on any two machines."""
    before, now = np.asarray(old, dtype=np.float64), np.asarray(new, dtype=np.float64)
    if before.shape != now.shape:
        return False
    scale = max(float(np.abs(before).max(initial=0.0)), 1e-6)
    return float(np.abs(before - now).max(initial=0.0)) <= _PROBE_TOLERANCE * scale
