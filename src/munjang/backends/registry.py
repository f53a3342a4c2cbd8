"""Executors by name; each executor and its engine are imported only when requested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from munjang.backends.executor import Array, Executor
from munjang.choices import DType
from munjang.errors import InputError, InputTypeError, MissingExtraError
from munjang.validation import checked_choice, optional_count

BACKENDS = ("openvino", "numpy", "torch")
DTYPES: tuple[str, ...] = get_args(DType)


def make_executor(
    backend: str,
    weights: Mapping[str, Array],
    *,
    threads: int | None = None,
    streams: int | None = None,
    dtype: str = "float32",
) -> Executor:
    """Create an executor by name: ``openvino``, ``numpy`` or ``torch``.

    ``threads`` and ``streams`` are OpenVINO's; the others use the settings of NumPy's BLAS or of torch.
    ``dtype`` is ``"float32"``, or ``"int8"`` for products in 8 bits. Raises `InputError` for an unknown name,
    and for torch in 8 bits, `MissingExtraError` if torch is requested and not installed.
    """
    checked_choice("dtype", dtype, DTYPES)
    optional_count("threads", threads)
    optional_count("streams", streams)
    if not isinstance(backend, str):
        raise InputTypeError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r:.80}.")
    if backend == "openvino":
        from munjang.backends.openvino import OpenVINOExecutor

        return OpenVINOExecutor(weights, threads=threads, streams=streams, dtype=dtype)
    if backend == "numpy" and dtype == "int8":
        from munjang.backends.eight_bit import EightBitNumpyExecutor

        return EightBitNumpyExecutor(weights)
    if backend == "numpy":
        from munjang.backends.numpy import NumpyExecutor

        return NumpyExecutor(weights)
    if backend == "torch":
        if dtype != "float32":
            raise InputError(f"The torch backend computes in float32, not {dtype}; use backend='openvino'.")
        try:
            from munjang.backends.torch import TorchExecutor
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise MissingExtraError.of(
                "The torch backend needs PyTorch, which is not installed", "train"
            ) from None
        return TorchExecutor(weights)
    raise InputError(f"Unknown backend '{backend}'; there are {', '.join(BACKENDS)}.")
