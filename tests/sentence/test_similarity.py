"""Similarities: the values of sentence-transformers and torch, every input shape, and clear errors."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sentence_transformers import util as reference

from munjang import util
from munjang.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from munjang.sentence.similarity import FloatArray

ALL_PAIRS = ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim", "pytorch_cos_sim"]
ROW_BY_ROW = [
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "pairwise_euclidean_sim",
    "pairwise_manhattan_sim",
    "pairwise_angle_sim",
]


def vectors(*shape: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ours(name: str, *values: Any) -> Any:
    return getattr(util, name)(*values)


def theirs(name: str, *values: Any) -> Any:
    return np.asarray(getattr(reference, name)(*values))


# The same values


@pytest.mark.parametrize("name", ALL_PAIRS)
@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 8), (5, 8)), ((8,), (5, 8)), ((3, 8), (8,)), ((8,), (8,)), ((1, 1), (2, 1)), ((0, 8), (5, 8))],
)
def test_all_pairs_agree(name: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = vectors(*left), vectors(*right, seed=1)
    scores = ours(name, a, b)
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, theirs(name, a, b), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ROW_BY_ROW)
@pytest.mark.parametrize("shape", [(4, 8), (1, 8), (4, 7), (4, 1)])
def test_row_by_row_agrees(name: str, shape: tuple[int, ...]) -> None:
    a, b = vectors(*shape), vectors(*shape, seed=1)
    scores = ours(name, a, b)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, theirs(name, a, b), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_two_vectors_have_one_score_without_dimensions(name: str) -> None:
    a, b = vectors(8), vectors(8, seed=1)
    score = ours(name, a, b)
    assert score.shape == ()
    assert score.item() == pytest.approx(ours(name, a[None], b[None])[0], abs=1e-6)


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_one_vector_is_compared_with_every_row(name: str) -> None:
    a, b = vectors(8), vectors(5, 8, seed=1)
    repeated = np.tile(a, (5, 1))
    np.testing.assert_allclose(ours(name, a, b), ours(name, repeated, b), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ALL_PAIRS)
def test_row_by_row_is_the_diagonal_of_all_pairs(name: str) -> None:
    a, b = vectors(6, 16), vectors(6, 16, seed=1)
    pairwise = "pairwise_cos_sim" if name == "pytorch_cos_sim" else f"pairwise_{name}"
    np.testing.assert_allclose(ours(pairwise, a, b), ours(name, a, b).diagonal(), rtol=1e-6, atol=1e-6)


def test_distances_of_more_than_one_tile_are_exact_also_between_near_neighbours() -> None:
    a, b = vectors(700, 4), vectors(5000, 4, seed=1)
    b[:700] = a + np.float32(1e-4)
    b[:10] = a[:10]
    exact = -np.sqrt(((a[:, None, :].astype(np.float64) - b) ** 2).sum(axis=-1))
    np.testing.assert_allclose(util.euclidean_sim(a, b), exact, rtol=1e-6, atol=1e-6)


def test_manhattan_distances_of_more_than_one_tile_are_exact() -> None:
    a, b = vectors(5, 300), vectors(2000, 300, seed=1)
    exact = -np.abs(a[:, None, :].astype(np.float64) - b).sum(axis=-1)
    np.testing.assert_allclose(util.manhattan_sim(a, b), exact, rtol=1e-6)


finite = st.floats(-1, 1, width=32)


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.just(5)), elements=finite),
    arrays(np.float32, st.tuples(st.integers(1, 4), st.just(5)), elements=finite),
)
def test_any_finite_vectors_agree(a: FloatArray, b: FloatArray) -> None:
    for name in ALL_PAIRS:
        expected = theirs(name, torch.tensor(a).double(), torch.tensor(b).double())
        np.testing.assert_allclose(ours(name, a, b), expected, rtol=1e-6, atol=1e-6)


# Every kind of input


@pytest.mark.parametrize("name", ALL_PAIRS)
def test_lists_arrays_and_tensors_give_the_same(name: str) -> None:
    a, b = vectors(3, 8), vectors(4, 8, seed=1)
    expected = ours(name, a, b)
    kinds: list[tuple[Any, Any]] = [
        (a.tolist(), b.tolist()),
        (list(a), tuple(b)),
        (torch.tensor(a), torch.tensor(b, requires_grad=True)),
        (list(torch.tensor(a)), list(torch.tensor(b, requires_grad=True))),
        (a.astype(np.float64), np.asfortranarray(b)),
        (np.hstack([a, a])[:, :8], b[::-1][::-1]),
    ]
    for left, right in kinds:
        scores = ours(name, left, right)
        assert isinstance(scores, torch.Tensor) == isinstance(left[0], torch.Tensor)  # tensors give tensors
        assert np.asarray(scores).dtype == np.float32
        np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)


def test_half_precision_is_computed_in_float32() -> None:
    a = torch.tensor(vectors(3, 8))
    for half in (a.bfloat16(), a.half()):
        np.testing.assert_allclose(util.cos_sim(half, half), theirs("cos_sim", half, half), atol=1e-6)


def test_whole_numbers_are_numbers() -> None:
    np.testing.assert_array_equal(util.dot_score([[1, 2], [3, 4]], [1, 1]), [[3], [7]])
    assert util.cos_sim(3, 2).tolist() == [[1.0]]


def test_a_lesson_reads_its_scores_unchanged() -> None:
    score = util.cos_sim(vectors(384), vectors(384, seed=1))
    number = float(reference.cos_sim(vectors(384), vectors(384, seed=1))[0][0])
    assert score.item() == pytest.approx(number, abs=1e-6)
    assert float(score[0][0]) == pytest.approx(number, abs=1e-6)
    assert f"{score[0][0]:.4f}" == f"{number:.4f}"
    assert f"{util.pairwise_cos_sim([1, 0], [1, 0]):.4f}" == "1.0000"


def test_empty_lists_and_arrays_have_empty_scores() -> None:
    for name in ALL_PAIRS:
        assert ours(name, [], vectors(3, 8)).shape == (0, 3)
        assert ours(name, vectors(3, 8), []).shape == (3, 0)
        assert ours(name, [], []).shape == (0, 0)
    for name in ROW_BY_ROW:
        assert ours(name, [], []).shape == (0,)
        assert ours(name, vectors(0, 8), vectors(0, 8)).shape == (0,)


def test_similarity_of_zero_vectors_is_zero_and_of_nan_is_nan() -> None:
    a = vectors(3, 8)
    a[0] = 0
    a[1, 3] = np.nan
    scores = util.cos_sim(a, a)
    np.testing.assert_array_equal(scores[0], [0, np.nan, 0])
    assert np.isnan(scores[1]).all()
    np.testing.assert_allclose(scores, theirs("cos_sim", a, a), atol=1e-6)
    np.testing.assert_allclose(util.pairwise_cos_sim(a, a), theirs("pairwise_cos_sim", a, a), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e-13, 1e15, 1e25])
def test_tiny_and_huge_vectors_agree(scale: float) -> None:
    a = vectors(3, 8) * np.float32(scale)
    np.testing.assert_allclose(util.cos_sim(a, a), theirs("cos_sim", a, a), atol=1e-6)


# Vectors themselves


@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8), (0, 8), (0,)])
def test_normalize_embeddings_agrees_in_every_shape(shape: tuple[int, ...]) -> None:
    a = vectors(*shape)
    unit = util.normalize_embeddings(a)
    assert unit.shape == shape
    assert unit is not a
    np.testing.assert_allclose(unit, np.asarray(reference.normalize_embeddings(torch.tensor(a))), atol=1e-6)


def test_truncate_embeddings_keeps_the_first_components() -> None:
    a = vectors(3, 8)
    assert util.truncate_embeddings(a, None) is a
    np.testing.assert_array_equal(util.truncate_embeddings(a, 5), reference.truncate_embeddings(a, 5))
    assert util.truncate_embeddings(a[0], 5).shape == (5,)
    assert util.truncate_embeddings(a, 100).shape == (3, 8)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_functions_by_name(name: str) -> None:
    a, b = vectors(3, 8), vectors(3, 8, seed=1)
    scores = util.SimilarityFunction.to_similarity_fn(name)(a, b)
    rows = util.SimilarityFunction.to_similarity_pairwise_fn(util.SimilarityFunction(name))(a, b)
    expected = reference.SimilarityFunction.to_similarity_fn(name)(a, b)
    np.testing.assert_allclose(scores, np.asarray(expected), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(rows, scores.diagonal(), rtol=1e-6, atol=1e-6)
    assert name in util.SimilarityFunction.possible_values()


# Bad input


@pytest.mark.parametrize("name", ALL_PAIRS + ROW_BY_ROW)
def test_wrong_widths_are_named(name: str) -> None:
    known = "cos_sim" if name == "pytorch_cos_sim" else name
    with pytest.raises(InputError, match=f"{known} needs vectors of equal width, got 384 and 768"):
        ours(name, vectors(2, 384), vectors(2, 768))


def test_numbers_of_rows_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="as many vectors on both sides, got 3 and 2"):
        util.pairwise_cos_sim(vectors(3, 8), vectors(2, 8))


@pytest.mark.parametrize("name", ["cos_sim", "pairwise_dot_score"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([[1.0, 2.0], [3.0]], InputError, "equal width, got 1 and 2"),
        ([[[1.0, 2.0]], [[3.0]]], InputError, "rows of different shapes"),
        (np.zeros((2, 3, 4)), InputError, r"got the shape \(2, 3, 4\)"),
        ("a text", InputTypeError, "got a str of type .*; encode texts first"),
        (["a", "b"], InputTypeError, "got a list of type .*; encode texts first"),
        ([1.0, None], InputTypeError, "got a list of type object"),
        ({"a": 1}, InputTypeError, "got a dict of type object"),
        (None, InputTypeError, "got a NoneType"),
        (np.zeros(2, np.complex64), InputTypeError, "got a ndarray of type complex64"),
        (torch.eye(2).to_sparse(), InputTypeError, "can't read a Tensor"),
    ],
)
def test_values_that_are_not_vectors_are_refused(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ours(name, value, [1.0, 2.0])


def test_a_bare_number_and_a_width_of_zero_are_refused() -> None:
    with pytest.raises(InputError, match="needs a vector, got the number 3"):
        util.normalize_embeddings(3.0)
    with pytest.raises(InputError, match="truncate_dim must be at least 1, got 0"):
        util.truncate_embeddings(vectors(2, 3), 0)
    with pytest.raises(InputTypeError, match="truncate_dim must be a whole number"):
        util.truncate_embeddings(vectors(2, 3), 1.5)  # type: ignore[arg-type]


def test_an_unknown_similarity_function_is_named() -> None:
    with pytest.raises(InputError, match="'cosinus'; use one of cosine, dot, euclidean, manhattan"):
        util.SimilarityFunction.to_similarity_fn("cosinus")


def test_util_loads_numpy_and_nothing_heavier() -> None:
    code = (
        "import sys, munjang.util\n"
        "print([m for m in ('torch', 'scipy', 'sklearn', 'pandas', 'rich', 'openvino') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
