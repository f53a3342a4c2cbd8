"""Quantisation of vectors to one byte or one bit per component."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast, get_args, overload

import numpy as np

from munjang.choices import Precision
from munjang.errors import InputError, InputTypeError
from munjang.sentence.similarity import as_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_CALLER = "quantize_embeddings"
_ENOUGH = 100  # with fewer vectors the ranges of the components are guesses

_log = logging.getLogger(__name__)


@overload
def quantize_embeddings(
    embeddings: NDArray[Any],
    precision: Precision,
    ranges: ArrayLike | None = None,
    calibration_embeddings: ArrayLike | None = None,
) -> NDArray[Any]: ...


@overload
def quantize_embeddings(
    embeddings: ArrayLike | list[NDArray[Any]],
    precision: Precision,
    ranges: ArrayLike | None = None,
    calibration_embeddings: ArrayLike | None = None,
) -> NDArray[Any] | list[NDArray[Any]]: ...


def quantize_embeddings(
    embeddings: ArrayLike | list[NDArray[Any]],
    precision: Precision,
    ranges: ArrayLike | None = None,
    calibration_embeddings: ArrayLike | None = None,
) -> NDArray[Any] | list[NDArray[Any]]:
    """Quantize vectors to a lower precision, with the same values as sentence-transformers.

    ``int8`` and ``uint8`` divide the range of each component into 256 steps; ``binary`` and ``ubinary`` keep
    the sign of each component, eight in a byte (``int8``, offset by 128, and ``uint8``).

    ``embeddings`` is ``[n, d]``, one vector ``[d]``, or a list of matrices ``[tokens, d]``. The result has
    the same shape (width ``ceil(d / 8)`` for the binary precisions), and is a list for a list of matrices and
    for ``[]``. For int8 and uint8 the minimum and maximum of each component are ``ranges``, ``[2, d]``, or
    computed from ``calibration_embeddings``, ``[m, d]``, or else from ``embeddings``.

    Raises ``InputError`` when the precision is unknown or takes no ranges, both sources of them are given,
    shapes do not fit, a value is NaN or infinite, or ranges would have to come from a single vector;
    ``InputTypeError`` when the vectors are not numbers, or are quantised already.
    """
    if not isinstance(precision, str) or precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise InputError(f"Unknown precision {precision!r} for {_CALLER}; use one of {known}")
    given = [
        name
        for name, value in (("ranges", ranges), ("calibration_embeddings", calibration_embeddings))
        if value is not None
    ]
    if given and precision not in ("int8", "uint8"):
        raise InputError(f"{_CALLER}: {given[0]} is for int8 and uint8, not for {precision}")
    if len(given) > 1:
        raise InputError(f"{_CALLER} takes ranges or calibration_embeddings, not both")
    several = isinstance(embeddings, list) and (not embeddings or as_array(embeddings[0], _CALLER).ndim == 2)
    listed = cast(list[Any], embeddings) if several else [embeddings]
    matrices = [_floats(matrix, finite=precision != "float32") for matrix in listed]
    limits = None
    if precision in ("int8", "uint8") and any(matrix.size for matrix in matrices):
        limits = _ranges(_stacked(matrices), ranges, calibration_embeddings)
    results = [_quantized(matrix, precision, limits) for matrix in matrices]
    return results if several else results[0]


def _stacked(matrices: list[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate matrices, so that all share the ranges of their components."""
    widths = sorted({matrix.shape[-1] for matrix in matrices})
    if len(widths) > 1:
        raise InputError(f"{_CALLER} needs vectors of equal width, got {widths[0]} and {widths[1]}")
    return matrices[0] if len(matrices) == 1 else np.vstack(matrices)


def _floats(value: ArrayLike, *, finite: bool) -> NDArray[Any]:
    """Read one vector or a matrix in its own type: rounding to float32 first could move a value by a step."""
    vectors = as_array(value, _CALLER)
    if vectors.dtype in (np.int8, np.uint8):
        raise InputTypeError(f"{_CALLER} needs vectors of floats, got {vectors.dtype}: quantised already")
    if vectors.ndim not in (1, 2):
        raise InputError(f"{_CALLER} needs one vector or a matrix, got the shape {vectors.shape}")
    if finite and not np.isfinite(vectors).all():
        row = int(np.argwhere(~np.isfinite(np.atleast_2d(vectors)))[0, 0])
        raise InputError(f"{_CALLER} needs finite numbers, but row {row} holds NaN or infinity")
    return vectors


def _ranges(
    vectors: NDArray[Any], ranges: ArrayLike | None, calibration: ArrayLike | None
) -> NDArray[np.float32]:
    """Return the least and the greatest value of each component, ``[2, d]``."""
    limits = _observed_ranges(vectors, calibration) if ranges is None else _floats(ranges, finite=True)
    if limits.shape != (2, vectors.shape[-1]):
        wanted = (2, vectors.shape[-1])
        raise InputError(f"{_CALLER} needs ranges of shape {wanted}, got {limits.shape}")
    if (limits[0] > limits[1]).any():
        component = int((limits[0] > limits[1]).argmax())
        raise InputError(
            f"{_CALLER} needs ranges from the least to the greatest value, "
            f"but component {component} has {limits[0, component]} and {limits[1, component]}"
        )
    return limits.astype(np.float32, copy=False)


def _observed_ranges(vectors: NDArray[Any], calibration: ArrayLike | None) -> NDArray[Any]:
    sample = vectors if calibration is None else np.atleast_2d(_floats(calibration, finite=True))
    if calibration is None and (sample.ndim == 1 or len(sample) == 1):
        raise InputError(
            f"{_CALLER} cannot take the ranges of the components from a single vector; "
            "pass ranges or calibration_embeddings"
        )
    if not len(sample):
        raise InputError(f"{_CALLER} got no vectors in calibration_embeddings")
    if calibration is None and len(sample) < _ENOUGH:
        _log.warning(
            "The ranges for quantization are computed from only %d vectors; at least %d are recommended.",
            len(sample),
            _ENOUGH,
        )
    return np.vstack((sample.min(axis=0), sample.max(axis=0)))


def _quantized(
    vectors: NDArray[Any], precision: Precision, limits: NDArray[np.float32] | None
) -> NDArray[Any]:
    if precision == "float32":
        return vectors.astype(np.float32)
    if precision == "ubinary":
        return np.packbits(vectors > 0, axis=-1)
    if precision == "binary":
        # A flipped highest bit is the offset of 128.
        return (np.packbits(vectors > 0, axis=-1) ^ np.uint8(128)).view(np.int8)
    steps = np.zeros(vectors.shape, np.uint8) if limits is None else _steps(vectors, limits)
    return steps if precision == "uint8" else (steps ^ np.uint8(128)).view(np.int8)


def _steps(vectors: NDArray[Any], limits: NDArray[np.float32]) -> NDArray[np.uint8]:
    widths = (limits[1] - limits[0]) / 255
    steps = np.asarray(vectors - limits[0])
    steps /= np.where(widths == 0, 1, widths)
    return np.clip(np.floor(steps, out=steps), 0, 255, out=steps).astype(np.uint8)
