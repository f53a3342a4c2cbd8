"""Conversion of a 4-bit model file to a folder in the standard Hugging Face layout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from munjang.checkpoints.e5.quantized import QuantizedModel, QuantizedSizes, read_quantized
from munjang.checkpoints.e5.unigram import special_tokens, tokenizer_config, tokenizer_json
from munjang.checkpoints.files import write_json
from munjang.checkpoints.saving import TensorSpec, write_tensors
from munjang.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

# Short name in the file -> published name.
_EMBEDDINGS = {
    "emb.word": "word_embeddings.weight",
    "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight",
    "emb.ln.w": "LayerNorm.weight",
    "emb.ln.b": "LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def convert_quantized(source: Path, folder: Path, prompts: Mapping[str, str]) -> None:
    """Write the model in ``source`` into ``folder``: config, float32 weights, tokenizer, modules.

    Raises ``CheckpointError`` if the file is broken or lacks a tensor, ``OSError`` if writing fails.
    """
    model = read_quantized(source)
    tensors = _published(model)
    specs = [TensorSpec(name, np.dtype(np.float32), shape) for name, (_, shape) in tensors.items()]
    write_tensors(
        folder / "model.safetensors", specs, _numbers(model, [short for short, _ in tensors.values()])
    )
    for name, content in _files(model, prompts).items():
        (folder / name).parent.mkdir(exist_ok=True)
        # A quarter of a million pieces: written on one line, without indentation.
        write_json(folder / name, content, indent=None if name == "tokenizer.json" else 2)


def _published(model: QuantizedModel) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return published names -> short names and shapes, checked against the file's tensors."""
    names = {}
    for published, short, shape in _layout(model.sizes):
        tensor = model.tensors.get(short)
        if tensor is None or tensor.count != math.prod(shape):
            actual = "missing" if tensor is None else f"{tensor.count} weights"
            raise CheckpointError(f"The 4-bit model's tensor '{short}' is {actual}, wanted {list(shape)}.")
        names[published] = (short, shape)
    return names


def _layout(sizes: QuantizedSizes) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    hidden, inner = sizes.hidden, sizes.feed_forward
    rows = {"emb.word": sizes.vocabulary, "emb.pos": sizes.positions, "emb.type": sizes.token_types}
    for short, name in _EMBEDDINGS.items():
        yield f"embeddings.{name}", short, (rows[short], hidden) if short in rows else (hidden,)
    matrices = {"fi": (inner, hidden), "fo": (hidden, inner)}
    for layer in range(sizes.layers):
        for short, name in _LAYER.items():
            outputs, inputs = matrices.get(short, (hidden, hidden))
            weight = (outputs,) if short.endswith("ln") else (outputs, inputs)
            yield f"encoder.layer.{layer}.{name}.weight", f"l{layer}.{short}.w", weight
            yield f"encoder.layer.{layer}.{name}.bias", f"l{layer}.{short}.b", (outputs,)


def _numbers(model: QuantizedModel, names: list[str]) -> Iterator[NDArray[np.float32]]:
    for name in names:
        yield from model.tensors[name].blocks()


def _files(model: QuantizedModel, prompts: Mapping[str, str]) -> dict[str, object]:
    sizes, vocabulary = model.sizes, model.vocabulary
    return {
        "config.json": _config(model),
        "tokenizer.json": tokenizer_json(vocabulary),
        "tokenizer_config.json": tokenizer_config(vocabulary, sizes.positions),
        "special_tokens_map.json": special_tokens(vocabulary),
        "modules.json": _modules(),
        "sentence_bert_config.json": {"max_seq_length": sizes.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": dict(prompts),
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
        "1_Pooling/config.json": {
            "word_embedding_dimension": sizes.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "2_Normalize/config.json": {},
    }


def _config(model: QuantizedModel) -> dict[str, object]:
    sizes = model.sizes
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.token_types,
        "layer_norm_eps": sizes.epsilon,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": model.vocabulary.pad,
        "torch_dtype": "float32",
    }


def _modules() -> list[dict[str, object]]:
    # The class paths that every release of sentence-transformers supports.
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    return [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}
        for index, (name, path) in enumerate(paths.items())
    ]
