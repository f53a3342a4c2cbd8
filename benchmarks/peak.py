"""The peak of this CPU and the operations of a model, in floating-point operations.

The peak is measured, because the clock of a shared machine differs from its data sheet: a loop of
multiply-adds on registers (`fma.c`, if there is a C compiler), and large matrix products of NumPy and
OpenVINO, which show what a library reaches in practice.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import cores

__all__ = ["KERNELS", "Peak", "encoder_flops", "multiply_add_loop", "openvino_product", "product"]

Kernel: TypeAlias = Callable[[], int]  # runs for a short time and returns the number of operations
SIZE = 3072
STEPS = 100_000_000


def multiply_add_loop() -> Kernel:
    """Compile the loop on registers; raise `OSError` if no C compiler can."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("no C compiler for the multiply-add loop")
    with tempfile.TemporaryDirectory() as place:
        library = Path(place) / "fma.so"
        source = Path(__file__).with_name("fma.c")
        options = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
        subprocess.run([compiler, *options, "-o", library, source], check=True)
        function = ctypes.CDLL(str(library)).multiply_add
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.POINTER(ctypes.c_float)]

    def run() -> int:
        with ThreadPoolExecutor(cores()) as pool:  # ctypes releases the GIL, so the threads run in parallel
            done = pool.map(lambda _: function(STEPS, ctypes.c_float()), range(cores()))
            return sum(done)

    return run


def product() -> Kernel:
    """Return a large product with NumPy's BLAS."""
    a = np.ones((SIZE, SIZE), dtype=np.float32)

    def run() -> int:
        a @ a
        return 2 * SIZE**3

    return run


def openvino_product() -> Kernel:
    """Return the same product as an OpenVINO graph."""
    import openvino as ov
    from openvino import opset13 as op

    x = op.parameter([SIZE, SIZE], np.float32)
    weight = op.constant(np.ones((SIZE, SIZE), dtype=np.float32))
    graph = ov.Model([op.matmul(x, weight, False, True)], [x])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": cores()}
    request = ov.Core().compile_model(graph, "CPU", settings).create_infer_request()
    given = np.ones((SIZE, SIZE), dtype=np.float32)

    def run() -> int:
        request.infer([given], share_inputs=True, share_outputs=True)
        return 2 * SIZE**3

    return run


KERNELS: Mapping[str, Callable[[], Kernel]] = {
    "multiply-add loop": multiply_add_loop,
    "NumPy product": product,
    "OpenVINO product": openvino_product,
}


class Peak:
    """The kernels with the interface of a peer, so that they alternate with the other peers.

    A setting names a kernel, and says how many operations it does in one call.
    """

    def __init__(self) -> None:
        self._kernels: dict[str, Kernel] = {}
        for name, make in KERNELS.items():
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                self._kernels[name] = make()
        self.settings: Sequence[Mapping[str, Any]] = [
            {"kernel": name, "operations": kernel()} for name, kernel in self._kernels.items()
        ]

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> NDArray[np.float32]:  # noqa: ARG002
        self._kernels[setting["kernel"]]()
        return np.empty(0, dtype=np.float32)


def encoder_flops(lengths: Sequence[int], *, hidden: int, intermediate: int, layers: int) -> int:
    """Return the operations of a BERT encoder's matrix products on texts of these lengths, without padding.

    Per layer and token the four projections of attention and the two of the feed-forward part; per layer
    and text the products of attention, queries with keys and probabilities with values. A multiply-add
    counts as two.
    """
    tokens = sum(lengths)
    pairs = sum(length * length for length in lengths)
    per_token = 4 * hidden * hidden + 2 * hidden * intermediate
    return 2 * layers * (tokens * per_token + 2 * pairs * hidden)
