"""Checkpoints and 4-bit files small enough to be created by every test."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from munjang.checkpoints import save_weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK = 32


def model_files(folder: Path, *, values: int = 2000) -> dict[str, bytes]:
    """A repository's files: a config, a vocabulary, weights, and copies for other engines."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights"
    save_weights(weights, {"embeddings.weight": np.arange(values, dtype=np.float32).reshape(-1, 2)})
    return {
        "config.json": json.dumps({"model_type": "bert", "hidden_size": 2}).encode(),
        "vocab.txt": "[PAD]\n[UNK]\n학교".encode(),
        "tokenizer_config.json": b"{}",
        "model.safetensors": weights.read_bytes(),
        "tf_model.h5": b"for another engine",
        "onnx/model.onnx": b"for another engine",
        "README.md": b"# A model",
    }


@dataclass
class FourBitModel:
    """The content of a 4-bit file: whole numbers -8 to 7 times a half-precision scale per block of 32."""

    hidden: int = 32
    layers: int = 1
    heads: int = 2
    feed_forward: int = 64
    positions: int = 8
    pieces: list[str] = field(
        default_factory=lambda: ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁학교", "에", "▁the", "fi", "<mask>"]
    )
    normalization: dict[int, list[int]] = field(
        default_factory=lambda: {0x01: [], 0x0A: [0x20], 0x2460: [0x31], 0xFB01: [0x66, 0x69]}
    )
    seed: int = 0

    @property
    def vocabulary(self) -> int:
        return len(self.pieces) + 2  # the published matrix has rows that no piece uses

    def shapes(self) -> dict[str, tuple[int, ...]]:
        h, f = self.hidden, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {
            "emb.word": (self.vocabulary, h),
            "emb.pos": (self.positions, h),
            "emb.type": (2, h),
            "emb.ln.w": (h,),
            "emb.ln.b": (h,),
        }
        for layer in range(self.layers):
            for name in ("q", "k", "v", "ao"):
                shapes |= {f"l{layer}.{name}.w": (h, h), f"l{layer}.{name}.b": (h,)}
            for name in ("aln", "oln"):
                shapes |= {f"l{layer}.{name}.w": (h,), f"l{layer}.{name}.b": (h,)}
            shapes |= {f"l{layer}.fi.w": (f, h), f"l{layer}.fi.b": (f,)}
            shapes |= {f"l{layer}.fo.w": (h, f), f"l{layer}.fo.b": (h,)}
        return shapes

    def is_four_bit(self, name: str) -> bool:
        return name == "emb.word" or (name.endswith(".w") and "ln" not in name)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The weights, exactly as the file can hold them."""
        random = np.random.default_rng(self.seed)
        tensors = {}
        for name, shape in self.shapes().items():
            if self.is_four_bit(name):
                steps = random.integers(-8, 8, (int(np.prod(shape)) // BLOCK, BLOCK)).astype(np.float32)
                scales = random.uniform(0.01, 0.1, (len(steps), 1)).astype(np.float16).astype(np.float32)
                tensors[name] = (steps * scales).reshape(shape)
            else:
                tensors[name] = random.normal(size=shape).astype(np.float32)
        return tensors

    def to_bytes(self) -> bytes:
        texts = [piece.encode() for piece in self.pieces]
        offsets = np.cumsum([0, *map(len, texts)]).astype("<u4")
        scores = np.array([0, 0, 0, 0, *(-float(i) for i in range(1, len(texts) - 4)), 0], "<f4")
        table = b"".join(
            struct.pack(f"<IB{len(out)}I", code, len(out), *out) for code, out in self.normalization.items()
        )
        sizes = (self.hidden, self.layers, self.heads, self.feed_forward, self.vocabulary, self.positions, 2)
        head = b"E5S1" + struct.pack("<I7ifi", 1, *sizes, 1e-12, BLOCK)
        head += struct.pack("<5iQ", len(texts), 0, 2, 1, 3, int(offsets[-1]))
        head += offsets.tobytes() + scores.tobytes() + b"".join(texts)
        head += struct.pack("<iI", len(self.normalization), len(table)) + table
        bodies = {name: self._packed(name, tensor) for name, tensor in self.tensors().items()}
        return _with_directory(head, bodies, self)

    def _packed(self, name: str, tensor: NDArray[np.float32]) -> bytes:
        if not self.is_four_bit(name):
            return tensor.tobytes()
        random_scales = tensor.reshape(-1, BLOCK)
        return b"".join(_pack_block(block) for block in random_scales)


def _pack_block(block: NDArray[np.float32]) -> bytes:
    """One scale and 16 bytes; the scale is one that a non-zero weight and a step imply, found by trying."""
    largest = float(np.abs(block).max())
    for step in range(1, 9):
        scale = np.float16(largest / step)
        steps = block / np.float32(scale) if scale else block
        whole = np.rint(steps)
        if np.abs(steps - whole).max() < 1e-3 and whole.min() >= -8 and whole.max() <= 7:
            halves = (whole + 8).astype(np.uint8)
            return scale.tobytes() + (halves[:16] | halves[16:] << 4).tobytes()
    raise AssertionError("the test's weights do not fit a block")


def _with_directory(head: bytes, bodies: dict[str, bytes], model: FourBitModel) -> bytes:
    entry_size = sum(2 + len(name) + 21 for name in bodies)
    place = -(-(len(head) + 4 + entry_size) // 64) * 64
    directory, data = struct.pack("<i", len(bodies)), b""
    for name, body in bodies.items():
        count = int(np.prod(model.shapes()[name]))
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", int(model.is_four_bit(name)), count, place + len(data), len(body))
        data += body + b"\0" * (-len(body) % 64)
    return (head + directory).ljust(place, b"\0") + data
