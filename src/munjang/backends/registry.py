"""Executors by name; each executor and its engine are imported only when requested."""

from __future__ import annotations

from collections.abc import Mapping

from munjang.backends.executor import Array, Executor
from munjang.errors import InputError, InputTypeError, MissingExtraError
from munjang.validation import optional_count

BACKENDS = ("openvino", "numpy", "torch")


def make_executor(
    backend: str, weights: Mapping[str, Array], *, threads: int | None = None, streams: int | None = None
) -> Executor:
    """Create an executor by name: ``openvino``, ``numpy`` or ``torch``.

    ``threads`` and ``streams`` are OpenVINO's; the others use the settings of NumPy's BLAS or of torch.
    Raises `InputError` for an unknown name, `MissingExtraError` if torch is requested and not installed.
    """
    optional_count("threads", threads)
    optional_count("streams", streams)
    if not isinstance(backend, str):
        raise InputTypeError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r:.80}.")
    if backend == "openvino":
        from munjang.backends.openvino import OpenVINOExecutor

        return OpenVINOExecutor(weights, threads=threads, streams=streams)
    if backend == "numpy":
        from munjang.backends.numpy import NumpyExecutor

        return NumpyExecutor(weights)
    if backend == "torch":
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
