"""Quantised vectors: equal to those of sentence-transformers, value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sentence_transformers.util.quantization import quantize_embeddings as reference

from munjang.choices import Precision
from munjang.errors import InputError, InputTypeError
from munjang.sentence.quantization import quantize_embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SCALAR: tuple[Precision, ...] = ("int8", "uint8")


def vectors(*shape: int, seed: int = 0, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_equal(ours: Any, theirs: Any) -> None:
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(200, 16), (3, 13), (200, 1), (0, 16), (0, 13)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_equal_values(precision: Precision, shape: tuple[int, int], dtype: Any) -> None:
    embeddings = (vectors(*shape) * 3).astype(dtype)
    before = embeddings.copy()
    assert_equal(quantize_embeddings(embeddings, precision), reference(embeddings, precision))
    np.testing.assert_array_equal(embeddings, before)


@pytest.mark.parametrize("precision", SCALAR)
@pytest.mark.parametrize("shape", [(16,), (1, 16), (5, 16)])
def test_equal_values_with_ranges_or_calibration(precision: Precision, shape: tuple[int, ...]) -> None:
    embeddings, sample = vectors(*shape) * 2, vectors(150, 16, seed=1)  # some lie outside of the ranges
    ranges = np.vstack([sample.min(axis=0), sample.max(axis=0)])
    ranges[:, 3] = 0.5  # no width at all
    assert_equal(quantize_embeddings(embeddings, precision, ranges), reference(embeddings, precision, ranges))
    assert_equal(
        quantize_embeddings(embeddings, precision, calibration_embeddings=sample),
        reference(embeddings, precision, calibration_embeddings=sample),
    )


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (100, 9), elements=st.floats(-1000, 1000, width=32)), st.sampled_from(PRECISIONS))
def test_equal_values_for_any_vectors(embeddings: NDArray[np.float32], precision: Precision) -> None:
    assert_equal(quantize_embeddings(embeddings, precision), reference(embeddings, precision))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_lists_and_tensors_give_the_same(precision: Precision) -> None:
    embeddings = vectors(120, 8)
    expected = reference(embeddings, precision)
    inputs: list[Any] = [list(embeddings), torch.tensor(embeddings), list(torch.tensor(embeddings))]
    for value in inputs:
        assert_equal(quantize_embeddings(value, precision), expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_list_of_matrices_shares_its_ranges(precision: Precision) -> None:
    matrices = [vectors(40, 8), vectors(1, 8, seed=1), vectors(0, 8), vectors(90, 8, seed=2)]
    ours = quantize_embeddings(matrices, precision)
    theirs = reference(list(matrices), precision)
    assert isinstance(ours, list)
    for mine, other in zip(ours, theirs, strict=True):
        assert_equal(mine, other)


def test_an_empty_list_stays_one() -> None:
    assert quantize_embeddings([], "int8") == []
    assert quantize_embeddings([vectors(0, 8)], "int8")[0].shape == (0, 8)


def test_few_vectors_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    quantize_embeddings(vectors(99, 4), "int8")
    assert "from only 99 vectors" in caplog.text


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (vectors(1, 4), InputError, "from a single vector; pass ranges or calibration_embeddings"),
        (vectors(4), InputError, "from a single vector"),
        (vectors(2, 3, 4), InputError, r"got the shape \(2, 3, 4\)"),
        ([[1.0], [2.0, 3.0]], InputError, "equal width, got 1 and 2"),
        ([[[1.0], [2.0, 3.0]]], InputError, "equal width, got 1 and 2"),
        ([vectors(2, 3), vectors(2, 4)], InputError, "equal width, got 3 and 4"),
        (3.0, InputError, r"got the shape \(\)"),
        (np.ones((2, 4), np.int8), InputTypeError, "got int8: quantised already"),
        (["a", "b"], InputTypeError, "encode texts first"),
        (np.array([[0, 1], [np.nan, 2]]), InputError, "row 1 holds NaN or infinity"),
        (np.array([[0, np.inf], [1, 2]]), InputError, "row 0 holds NaN or infinity"),
    ],
)
def test_bad_vectors_are_refused(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        quantize_embeddings(value, "uint8")


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match=r"'int4'.*float32, int8, uint8, binary, ubinary"):
        quantize_embeddings(vectors(2, 4), "int4")  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"ranges of shape \(2, 4\), got \(2, 5\)"):
        quantize_embeddings(vectors(2, 4), "int8", ranges=vectors(2, 5))
    with pytest.raises(InputError, match=r"ranges of shape \(2, 4\), got \(2, 5\)"):
        quantize_embeddings(vectors(2, 4), "int8", calibration_embeddings=vectors(9, 5))
    with pytest.raises(InputError, match="no vectors in calibration_embeddings"):
        quantize_embeddings(vectors(2, 4), "int8", calibration_embeddings=vectors(0, 4))
    for precision in ("binary", "ubinary", "float32"):
        with pytest.raises(InputError, match=f"ranges is for int8 and uint8, not for {precision}"):
            quantize_embeddings(vectors(2, 4), precision, ranges=vectors(2, 4))
        with pytest.raises(InputError, match="calibration_embeddings is for int8 and uint8"):
            quantize_embeddings(vectors(2, 4), precision, None, vectors(9, 4))
    with pytest.raises(InputError, match="takes ranges or calibration_embeddings, not both"):
        quantize_embeddings(vectors(2, 4), "int8", [[0.0] * 4, [1.0] * 4], vectors(9, 4))
    with pytest.raises(InputError, match=r"component 1 has 2\.0 and 1\.0"):
        quantize_embeddings(vectors(2, 2), "int8", ranges=[[0.0, 2.0], [1.0, 1.0]])
    with pytest.raises(InputError, match="Unknown precision"):
        quantize_embeddings(vectors(2, 2), ["int8"])  # type: ignore[call-overload]
    with pytest.raises(InputError, match="row 1 holds NaN"):
        quantize_embeddings(vectors(2, 4), "int8", ranges=np.array([[0.0] * 4, [np.nan] * 4]))


def test_nan_has_no_sign_but_is_a_float() -> None:
    value = np.array([[np.nan, 1.0]])
    with pytest.raises(InputError, match="row 0 holds NaN"):
        quantize_embeddings(value, "binary")
    np.testing.assert_array_equal(quantize_embeddings(value, "float32"), value)


@pytest.mark.parametrize("precision", SCALAR)
def test_a_copy_is_made_even_without_changes(precision: Precision) -> None:
    embeddings = vectors(3, 4)
    assert not np.shares_memory(quantize_embeddings(embeddings, "float32"), embeddings)
    constant = np.ones((3, 4), np.float32)
    assert_equal(quantize_embeddings(constant, precision), reference(constant, precision))
