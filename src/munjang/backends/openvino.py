"""The default executor: an OpenVINO graph built directly from the weights, compiled for this CPU."""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from munjang.backends.cores import available_cores
from munjang.backends.eight_bit import EightBitMatrix, EightBitProducts, quantized, whole_groups
from munjang.backends.engine_check import FIRST_LAYER, differ, first_layer, fused_products, probe
from munjang.backends.executor import Array, Executor, Outputs, as_float32, gathered
from munjang.checkpoints.weights import release_pages
from munjang.errors import EngineError, EngineWarning, InputError
from munjang.models.batch import BATCH_FIELDS, TokenBatch
from munjang.models.ops import LAPLACE_DEVIATION, LAPLACE_MEAN, PoolMode
from munjang.models.params import MadeOnce, Params
from munjang.models.program import Program


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Make ``import package`` fail inside the block; restore the previous state afterwards."""
    before = {package: sys.modules[package]} if package in sys.modules else {}
    sys.modules[package] = None  # type: ignore[assignment] # None makes the import fail
    try:
        yield
    finally:
        del sys.modules[package]
        sys.modules.update(before)


# `import openvino` alone writes a client id under the home folder, starts a process and reports to a web
# service. It does none of this if its telemetry package is not installed, so the package is hidden from it.
with hidden("openvino_telemetry"):
    import openvino as ov
    from openvino import opset13 as op

Node: TypeAlias = Any  # openvino publishes no types
K = TypeVar("K")
_LARGE_TABLE = 2**22  # bytes
_LARGE_NEGATIVE = np.float32(-1e9)
_CORES: dict[int, Any] = {}  # by process id
_KERNELS = 32  # kernels per shape in each stream's cache; without a limit they take hundreds of megabytes
_INPUTS: Mapping[str, tuple[list[int], type[np.generic]]] = {
    "input_ids": ([-1], np.int32),
    "position_ids": ([-1], np.int32),
    "token_type_ids": ([-1], np.int32),
    "pad_index": ([-1, -1], np.int32),
    "attention_bias": ([-1, 1, -1, -1], np.float32),
    "unpad_index": ([-1], np.int32),
    "rows": ([-1], np.int32),
    "pool_weights": ([-1, -1, -1], np.float32),
}


def _number(value: float) -> Node:
    return _constant(np.float32(value))


def _laplace(x: Node) -> Node:
    z = op.divide(op.subtract(x, _number(LAPLACE_MEAN)), _number(LAPLACE_DEVIATION * 2**0.5))
    return op.multiply(op.add(op.erf(z), _number(1)), _number(0.5))


def _sqrt_softplus(x: Node) -> Node:
    u = op.exp(op.negative(op.abs(x)))
    # log(1 + u): for small u the engine's softplus loses all digits, and its logarithm most digits.
    series = op.multiply(
        u, op.add(_number(1), op.multiply(u, op.add(_number(-1 / 2), op.multiply(u, _number(1 / 3)))))
    )
    logarithm = op.select(op.less(u, _number(1e-2)), series, op.log(op.add(u, _number(1))))
    return op.sqrt(op.add(op.relu(x), logarithm))


_ACTIVATIONS: Mapping[str, Callable[[Node], Node]] = {
    "gelu": lambda x: op.gelu(x, "erf"),
    "gelu_python": lambda x: op.gelu(x, "erf"),
    "gelu_new": lambda x: op.gelu(x, "tanh"),
    "gelu_fast": lambda x: op.gelu(x, "tanh"),
    "gelu_accurate": lambda x: op.gelu(x, "tanh"),
    "gelu_python_tanh": lambda x: op.gelu(x, "tanh"),
    "gelu_pytorch_tanh": lambda x: op.gelu(x, "tanh"),
    "gelu_10": lambda x: op.clamp(op.gelu(x, "erf"), -10.0, 10.0),
    "quick_gelu": lambda x: op.swish(x, _constant(np.float32(1.702))),
    "relu": op.relu,
    "relu2": lambda x: op.multiply(op.relu(x), op.relu(x)),
    "relu6": lambda x: op.clamp(x, 0.0, 6.0),
    "leaky_relu": lambda x: op.prelu(x, _constant(np.array([0.01], dtype=np.float32))),
    "hardswish": op.hswish,
    "laplace": _laplace,
    "sqrtsoftplus": _sqrt_softplus,
    "silu": op.swish,
    "swish": op.swish,
    "mish": op.mish,
    "sigmoid": op.sigmoid,
    "tanh": op.tanh,
    "linear": lambda x: x,
}


def _shareable(array: Array) -> Array:
    """Return a writable view: OpenVINO shares only writable memory, though it does not write to weights."""
    if array.flags.writeable:
        return array
    view = array.view()
    try:
        view.flags.writeable = True  # a memory-mapped file allows it: writes stay in this process
    except ValueError:
        return array.copy()
    return view


def _constant(value: Any) -> Node:
    return ov.op.Constant(_shareable(np.asarray(value)), shared_memory=True)


def _axis(*axes: int) -> Node:
    return _constant(np.array(axes, dtype=np.int64))


_AXIS_0 = np.array(0, dtype=np.int64)


class OpenVINOOps:
    """`munjang.models.ops.Ops` over graph nodes: running a model on it builds the graph."""

    def __init__(self, taps: frozenset[str]) -> None:
        self._wanted = taps
        self.kept: dict[str, Node] = {}
        self.sinks: list[Node] = []  # nodes that write the state of a session
        self.fixed: dict[str, Node] = {}  # inputs that never change: large tables and numbers
        self.numbers: dict[str, Array] = {}
        self.first_layer: Node | None = None  # [1, H]: a row of the first layer's output, for `engine_check`

    def rows(self, table: Node, index: Node) -> Node:
        return op.gather(self._without_copy(table), index, _constant(_AXIS_0))

    def _without_copy(self, table: Node) -> Node:
        """Make a large table an input: compiling a constant reads all of it, but texts need only few rows."""
        if table.get_type_name() != "Constant" or table.get_byte_size() < _LARGE_TABLE:
            return table
        name = table.get_friendly_name()
        if name not in self.fixed:
            # The number of rows is dynamic; otherwise every request would allocate memory for its own table.
            self.fixed[name] = _input(name, [-1, table.get_output_shape(0)[1]])
        return self.fixed[name]

    def linear(self, x: Node, params: Params[Node]) -> Node:
        return self.affine(x, params["weight"], params.get("bias"))

    def affine(self, x: Node, weight: Node, bias: Node | None, *, transposed: bool = True) -> Node:
        y = op.matmul(x, weight, transpose_a=False, transpose_b=transposed)
        return y if bias is None else op.add(y, bias)

    def layer_norm(self, x: Node, params: Params[Node], eps: float) -> Node:
        y = op.mvn(x, _axis(-1), normalize_variance=True, eps=eps, eps_mode="inside_sqrt")
        return op.add(op.multiply(y, params["weight"]), params["bias"])

    def activation(self, name: str, x: Node) -> Node:
        return _ACTIVATIONS[name](self._unfused(x))

    def _unfused(self, x: Node) -> Node:
        """Return ``x + 0``, so that the product before it is not fused with what follows.

        On AVX-512 the CPU plugin sends a product with a fused operation through oneDNN's 1x1 convolution. Two
        threads that create this primitive for one shape at the same time can get a kernel of one block size
        with weights packed for another, which makes every later result of the shape wrong: a data race in
        oneDNN (docs/upstream/openvino-fused-product-race.md). A product without a fused operation takes
        another path, which needs no primitive per shape either.
        """
        return op.add(x, self._runtime_number(0.0))

    def _runtime_number(self, value: float) -> Node:
        """Return a number as an input, ``[1]``, which the compiler can neither fold nor fuse."""
        name = f"number.{value}"
        if name not in self.fixed:
            self.fixed[name] = _input(name, [1])
            self.numbers[name] = np.array([value], dtype=np.float32)
        return self.fixed[name]

    def attention(
        self,
        query: Node,
        key: Node,
        value: Node,
        batch: TokenBatch[Node],
        *,
        heads: int,
        dropout: float,  # noqa: ARG002 - inference only
        name: str,
        cached: bool = False,
    ) -> Node:
        width = value.output(0).get_partial_shape()[1].get_length()

        def split(x: Node) -> Node:  # [T, H] -> [B, heads, L, H / heads]
            padded = self.rows(x, batch.pad_index)
            by_head = op.reshape(padded, _axis(0, 0, heads, width // heads), special_zero=True)
            return op.transpose(by_head, _axis(0, 2, 1, 3))

        scale = self._runtime_number(
            1 / math.sqrt(width // heads)
        )  # as a constant it would be fused into the query
        q, k, v = split(query), split(key), split(value)
        if cached:
            k, v = self._remember(f"{name}.key", k, batch), self._remember(f"{name}.value", v, batch)
        if self._wanted & {f"{name}.scores", f"{name}.probabilities"}:
            scores = op.multiply(op.matmul(q, k, transpose_a=False, transpose_b=True), scale)
            probabilities = self.softmax(op.add(self.tap(f"{name}.scores", scores), batch.attention_bias))
            self.tap(f"{name}.probabilities", probabilities)
            context = op.matmul(probabilities, v, transpose_a=False, transpose_b=False)
        else:
            context = op.scaled_dot_product_attention(q, k, v, batch.attention_bias, scale)
        joined = op.reshape(op.transpose(context, _axis(0, 2, 1, 3)), _axis(-1, width), special_zero=False)
        return self.rows(joined, batch.unpad_index)

    def _remember(self, name: str, new: Node, batch: TokenBatch[Node]) -> Node:
        """Append this call's keys or values to the state of the session: ``[B, heads, L, d]``."""
        heads, width = (new.output(0).get_partial_shape()[axis].get_length() for axis in (1, 3))
        texts = op.gather(op.shape_of(batch.pad_index), _axis(0), _constant(_AXIS_0))
        nothing = op.concat([texts, _axis(heads, 0, width)], 0)
        empty = op.broadcast(_constant(np.float32(0)), nothing)
        past = op.read_value(empty, name, ov.Type.f32, ov.PartialShape([-1, heads, -1, width]))
        both = op.concat([past, new], 2)
        self.sinks.append(op.assign(both, name))
        return both

    def softmax(self, x: Node) -> Node:
        return op.softmax(x, -1)

    def split(self, x: Node, parts: int) -> Sequence[Node]:
        return self._as_nodes(op.split(x, _constant(np.array(-1, dtype=np.int64)), parts))

    def _as_nodes(self, node: Node) -> list[Node]:
        # A concatenation of one part is a node (an output has no arithmetic) and is optimised away.
        return [op.concat([part], 0) for part in node.outputs()]

    def concat(self, parts: Sequence[Node]) -> Node:
        return op.concat(list(parts), -1)

    def pool(self, x: Node, batch: TokenBatch[Node], mode: PoolMode, weighting: int) -> Node:
        padded = self.rows(x, batch.pad_index)  # [B, L, H]
        weights = op.gather(batch.pool_weights, _constant(np.array(weighting)), _constant(np.array(1)))
        weights = op.unsqueeze(weights, _axis(-1))  # [B, L, 1]
        if mode == "sum":  # not a matrix product, which would need a kernel for every shape
            return op.reduce_sum(op.multiply(padded, weights), _axis(1))
        chosen = op.greater(weights, _constant(np.float32(0)))
        return op.reduce_max(op.select(chosen, padded, _constant(_LARGE_NEGATIVE)), _axis(1))

    def normalize(self, x: Node) -> Node:
        return op.normalize_l2(x, _axis(-1), 1e-24, "max")

    def dropout(self, x: Node, rate: float) -> Node:  # noqa: ARG002 - inference only
        return x

    def tap(self, name: str, x: Node) -> Node:
        if name == FIRST_LAYER:
            self.first_layer = op.gather(x, _axis(0), _constant(_AXIS_0))
        if name in self._wanted:
            self.kept[name] = x
        return x


class EightBitOps(OpenVINOOps):
    """`OpenVINOOps` with the matrices of `affine` in 8 bits, which the engine keeps in memory at run time.

    Tables that are read by row, such as embeddings, are not compressed: only the needed rows are read anyway.

    Args:
        taps: the taps to keep.
        products: the products whose inputs are quantised too; without them only the matrices are.
        explicit: whether the graph rounds the inputs, for a CPU on which the engine does not.
    """

    def __init__(
        self, taps: frozenset[str], products: EightBitProducts | None = None, *, explicit: bool = False
    ) -> None:
        super().__init__(taps)
        self._products, self._explicit = products, explicit
        self._made: dict[tuple[int, bytes, int], tuple[Node, Node]] = {}  # inputs of several products

    def affine(self, x: Node, weight: Node, bias: Node | None, *, transposed: bool = True) -> Node:
        if self._products is None:
            return super().affine(x, _restored(EightBitMatrix.of(weight.data, transposed=transposed)), bias)
        matrix = self._products.matrix(weight.get_friendly_name(), weight.data, transposed=transposed)
        if matrix is None:
            return super().affine(x, weight, bias, transposed=transposed)
        channels = matrix.values.shape[1]
        missing = whole_groups(channels, self._products.group) - channels
        if missing:
            matrix = matrix._replace(values=np.pad(matrix.values, ((0, 0), (0, missing))))
        smoothing = b"" if matrix.smoothing is None else matrix.smoothing.tobytes()
        key = (id(x), smoothing, missing)
        if key not in self._made:
            self._made[key] = (x, self._prepared(x, matrix.smoothing, missing))  # x is kept, so its id stays
        return super().affine(self._made[key][1], _restored(matrix), bias)

    def _prepared(self, x: Node, smoothing: Array | None, missing: int) -> Node:
        """Return the inputs of a product: smoothed, padded to whole groups, and rounded if ``explicit``."""
        assert self._products is not None
        if smoothing is not None:
            x = op.multiply(x, _constant(1 / smoothing))
        if missing:
            x = op.pad(x, _axis(0, 0), _axis(0, missing), "constant", _number(0))
        if not self._explicit:
            return x
        groups = op.reshape(x, _axis(0, -1, self._products.group), special_zero=True)
        largest = op.reduce_max(op.abs(groups), _axis(-1), keep_dims=True)
        steps = op.divide(op.maximum(largest, _number(1e-30)), _number(127))
        rounded = op.round(op.multiply(groups, op.divide(_number(1), steps)), "half_to_even")
        return op.reshape(op.multiply(rounded, steps), op.shape_of(x), special_zero=False)


def _restored(matrix: EightBitMatrix) -> Node:
    return op.multiply(op.convert(_constant(matrix.values), ov.Type.f32), _constant(matrix.scales))


def _input(name: str, shape: list[int], dtype: type[np.generic] = np.float32) -> Node:
    parameter = op.parameter(shape, dtype)
    parameter.output(0).set_names({name})
    return parameter


class Graph(NamedTuple):
    """A program as a graph: the names of its outputs in order, and the inputs with fixed values."""

    model: Any
    outputs: list[str]
    fixed: dict[str, Array]


def build_graph(
    program: Program,
    weights: Mapping[str, Array],
    make_ops: Callable[[frozenset[str]], OpenVINOOps] = OpenVINOOps,
) -> Graph:
    """Build a program's `openvino.Model`.

    Only the inputs that the program uses are parameters of the graph, and only the requested outputs and taps
    are results, so nothing else is computed.
    """
    arrays: dict[str, Array] = {}

    def constant(name: str, array: Array) -> Node:
        arrays[name] = _shareable(as_float32(name, array))
        node = _constant(arrays[name])
        node.set_friendly_name(name)
        return node

    batch = TokenBatch(*(_input(name, *_INPUTS[name]) for name in BATCH_FIELDS))
    ops = make_ops(program.taps)
    root: Params[Node] = Params(MadeOnce(weights, constant))
    outputs = program(ops, root, batch)
    named = gathered(program, ops.kept, outputs)
    parameters = [*(getattr(batch, name) for name in BATCH_FIELDS), *ops.fixed.values()]
    # A program of embeddings alone, and a session, are not checked.
    if ops.sinks or not outputs:
        ops.first_layer = None  # also drops the nodes that only this output needs
    checked = [] if ops.first_layer is None else [ops.first_layer]
    results = [op.result(node) for node in [*named.values(), *checked]]
    used = [p for p in parameters if p.output(0).get_target_inputs()]
    names = {p.output(0).get_any_name() for p in used}
    fixed = {name: (arrays | ops.numbers)[name] for name in ops.fixed.keys() & names}
    return Graph(ov.Model(results, ops.sinks, used), list(named), fixed)


def _values(request: Any) -> list[Array]:
    return [tensor.data.copy() for tensor in request.output_tensors]


def _ignore(request: Any, job: Any) -> None:
    """Do nothing; used as a callback."""


class _OpenVINOProgram:
    """A compiled graph, and the queues of requests that run on it."""

    def __init__(self, compiled: Any, graph: Graph, streams: int) -> None:
        self._compiled = compiled
        self._names = graph.outputs
        self._streams = streams
        self._stateful = bool(graph.model.get_sinks())
        self._fixed = graph.fixed  # kept: the requests share their memory
        self._jobs = streams + 1  # one request's input is prepared while the others run
        names = (port.get_any_name() for port in compiled.inputs)
        self._inputs = [name for name in names if name not in graph.fixed]
        self._idle: list[Any] = []  # request queues, reused because creating them takes time and memory
        self._lock = threading.Lock()

    def _feed(self, batch: TokenBatch[Array]) -> dict[str, Array]:
        return {name: getattr(batch, name) for name in self._inputs}

    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        [(_, outputs)] = self.run_many([(0, batch)])
        return outputs

    def run_many(self, batches: Iterable[tuple[K, TokenBatch[Array]]]) -> Iterator[tuple[K, Outputs]]:
        """Keep every stream busy while the caller prepares the next batch."""
        for key, values in self._run(batches):
            yield key, dict(zip(self._names, values, strict=False))

    def _run(self, batches: Iterable[tuple[K, TokenBatch[Array]]]) -> Iterator[tuple[K, list[Array]]]:
        done: SimpleQueue[tuple[K, list[Array]]] = SimpleQueue()
        with self._taken() as queue:
            # The callback holds a reference to this object until `release`. Destroying the object while an
            # engine thread waits for the GIL to leave its callback would be a deadlock.
            queue.set_callback(lambda request, job: done.put((job[0], _values(request))))
            for key, batch in batches:
                # The job holds the batch so that its arrays, which are shared, live as long as the request.
                queue.start_async(self._feed(batch), (key, batch), share_inputs=True)
                while not done.empty():
                    yield done.get()
            queue.wait_all()
            while not done.empty():
                yield done.get()

    def _new_queue(self) -> Any:
        queue = ov.AsyncInferQueue(self._compiled, self._jobs)
        for request in queue:
            self._share_fixed(request)
        return queue

    def _share_fixed(self, request: Any) -> None:
        for name, array in self._fixed.items():
            request.set_tensor(name, ov.Tensor(array, shared_memory=True))

    @contextmanager
    def _taken(self) -> Iterator[Any]:
        """Yield an idle queue; its requests are finished at the end of the block, or at interpreter exit."""
        with self._lock:
            queue = self._idle.pop() if self._idle else self._new_queue()
        owner = os.getpid()

        def finish() -> None:
            if os.getpid() == owner:  # a forked child process has the queue but not its threads
                queue.wait_all()

        atexit.register(finish)  # a result that arrives during interpreter shutdown would crash it
        try:
            yield queue
        finally:
            atexit.unregister(finish)
            finish()
            with self._lock:
                self._idle.append(queue)

    def fault(self, reference: Array | None) -> str | None:
        """Return a description of the compiled program's fault, or ``None``.

        With several streams, no product may be fused with another operation (see `OpenVINOOps._unfused`). A
        probe runs twice on each stream: the outputs must be equal, the first layer must match ``reference``.
        """
        if self._streams > 1 and (fused := fused_products(self._compiled)):
            return f"{len(fused)} products are fused, such as {fused[0]}"
        if self._stateful:
            return None
        runs = [values for _, values in self._run((n, probe()) for n in range(2 * self._streams))]
        if any(differ(values, first) for run in runs for values, first in zip(run, runs[0], strict=True)):
            return "two runs of one text differ"
        if reference is not None and len(runs[0]) > len(self._names) and differ(runs[0][-1], reference):
            return "the first layer differs from NumPy's"
        return None

    def release(self) -> None:
        """Free the engine's memory; called some seconds after the last request."""
        with self._lock:
            idle, self._idle = self._idle, []
        for queue in idle:
            queue.set_callback(_ignore)

    def session(self) -> Callable[[TokenBatch[Array]], Outputs]:
        """Return a function that runs successive batches and caches keys and values between them."""
        request = self._compiled.create_infer_request()
        self._share_fixed(request)

        def step(batch: TokenBatch[Array]) -> Outputs:
            request.infer(self._feed(batch), share_inputs=True)
            return dict(zip(self._names, _values(request), strict=False))

        return step


def _core() -> Any:
    """Return the engine of this process, which all models share and which is never unloaded.

    On a CPU with AMX, the CPU plugin sets an alternate signal stack for the thread that loads it, and unmaps
    that stack when the last model is released. If another thread releases it, the first thread keeps an
    unmapped stack, and its next signal (Ctrl-C) causes a segmentation fault
    (docs/upstream/openvino-signal-stack.md).
    """
    process = os.getpid()  # after a fork, the threads of the parent's engine do not exist
    return _CORES.get(process) or _CORES.setdefault(process, ov.Core())


@cache
def has_eight_bit_products() -> bool:
    """Return whether the engine rounds the inputs of products with 8-bit weights on this CPU.

    It does on CPUs with instructions for products in 8 bits (VNNI, AMX). The outputs of one product show it.
    """
    random = np.random.default_rng(0)
    x = random.standard_normal((4, 64), dtype=np.float32)
    matrix = EightBitMatrix.of(random.standard_normal((64, 64), dtype=np.float32), transposed=True)
    product = OpenVINOOps(frozenset()).affine(tokens := _input("x", [-1, 64]), _restored(matrix), None)
    model = ov.Model([op.result(product)], [], [tokens])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 64}
    (y,) = _core().compile_model(model, "CPU", settings)(x).values()
    return np.allclose(y, quantized(x, 64) @ matrix.restored().T, rtol=0, atol=1e-4)


def _drop_idle_threads() -> None:
    """Make the engine stop the threads of released models.

    The engine keeps them for the next model. Threads do not survive a fork, so a forked process that reused
    them would wait forever (deadlock). Unloading any instance of the plugin clears the list.
    """
    if os.getpid() in _CORES:
        ov.Core().get_property("CPU", "NUM_STREAMS")  # loads an instance and unloads it, in about 1 ms


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_drop_idle_threads)


class OpenVINOExecutor(Executor):
    """An executor that runs programs on this CPU with OpenVINO, several requests in parallel.

    Args:
        weights: tensors by their published names; they must stay alive and unchanged.
        threads: number of cores to use; by default all cores that this process may use.
        streams: requests that run at the same time, each on ``threads / streams`` cores; by default one per
            core. One stream has the lowest latency for a single text, one per core the highest throughput.
        dtype: ``"float32"``, or ``"int8"`` for products in 8 bits (`munjang.backends.eight_bit`).
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        *,
        threads: int | None = None,
        streams: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self._weights = weights
        self._threads = threads or available_cores()
        self.streams = streams or self._threads
        if self.streams > self._threads:
            raise InputError(f"streams ({self.streams}) must not exceed threads ({self._threads}).")
        self._make_ops: Callable[[frozenset[str]], OpenVINOOps] = OpenVINOOps
        self._products: EightBitProducts | None = None
        self._explicit = False
        if dtype == "int8":
            self._use(EightBitProducts(weights))

    def _use(self, products: EightBitProducts) -> None:
        self._products = products
        self._explicit = not has_eight_bit_products()
        if self._explicit:
            warnings.warn(
                "This CPU has no instructions for products in 8 bits (VNNI): int8 gives the values of other "
                "CPUs, but it is slower than float32.",
                EngineWarning,
                stacklevel=2,
            )
        self._make_ops = partial(EightBitOps, products=products, explicit=self._explicit)

    def for_sessions(self, *, eight_bit: bool = False) -> OpenVINOExecutor:
        """Return an executor over the same weights with all cores for one request, optionally in 8 bits."""
        executor = OpenVINOExecutor(self._weights, threads=self._threads, streams=1)
        if eight_bit:
            executor._make_ops = EightBitOps
        elif self._products is not None:
            executor._use(self._products)
        return executor

    def compile(self, program: Program) -> _OpenVINOProgram:
        """Build the graph of a program, compile it for this CPU and check its values.

        A program that computes wrong values is compiled again, then with one stream and a warning.
        Raises `EngineError` if one stream computes wrong values too.
        """
        if self._products is not None:
            self._products.prepare(program)
        reference = self._reference(program)  # first: compiling releases the pages that this reads
        for streams in dict.fromkeys((self.streams, 1)):
            for _ in range(2):
                compiled = self._compile(program, streams)
                fault = compiled.fault(reference)
                if fault is None:
                    return compiled
            if streams > 1:
                warnings.warn(
                    f"OpenVINO {ov.__version__} computes wrong values on {streams} streams ({fault}); the "
                    "model runs on one, which is slower. Another version of openvino may do better.",
                    EngineWarning,
                    stacklevel=2,
                )
                self.streams = 1  # for the programs compiled later
        raise EngineError(
            f"OpenVINO {ov.__version__} computes wrong values on this CPU ({fault}). Install another version "
            "of openvino, or open the model with backend='numpy'."
        )

    def _reference(self, program: Program) -> Array | None:
        """Return the probe's row of the first layer, computed with NumPy; ``None`` for int8 weights alone."""
        if self._make_ops is EightBitOps:
            return None
        return first_layer(program, self._weights, self._products)

    def _compile(self, program: Program, streams: int) -> _OpenVINOProgram:
        graph = build_graph(program, self._weights, self._make_ops)
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": self._threads,
            # Pinned threads of two processes would share the same cores while other cores are idle.
            "ENABLE_CPU_PINNING": False,
            # With 0, the inputs of products with 8-bit weights stay in full precision.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": self._products.group
            if self._products and not self._explicit
            else 0,
            "KV_CACHE_PRECISION": "f32",
            "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS,
        }
        compiled = _core().compile_model(graph.model, "CPU", settings)
        release_pages(self._weights)  # the engine has its own copies, in its kernels' layout
        return _OpenVINOProgram(compiled, graph, streams)
