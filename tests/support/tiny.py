"""Tiny random models that need no network: a sentence encoder with prompts, a cross-encoder, and fixtures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from munjang import SentenceTransformer
from support.peers import random_peer

__all__ = [
    "MAX_TOKENS",
    "PROMPTS",
    "tiny_cross_encoder",
    "tiny_folder_fixture",
    "tiny_model_fixture",
    "tiny_sentence_model",
]

MAX_TOKENS = 40
PROMPTS = {"query": "ask: ", "document": "say: "}
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _letters() -> list[str]:
    """Return all letters of ASCII and the 2,350 Hangul syllables of KS X 1001."""
    hangul = [chr(code) for code in range(0xAC00, 0xD7A4) if _is_common(chr(code))]
    return [*(chr(code) for code in range(33, 127)), *hangul]


def _is_common(syllable: str) -> bool:
    try:
        return len(syllable.encode("euc_kr")) == 2
    except UnicodeEncodeError:
        return False


def _write_tokenizer(folder: Path) -> int:
    """Write a ``vocab.txt`` of single letters; return the number of pieces."""
    letters = _letters()
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    _write(folder / "tokenizer_config.json", {"do_lower_case": False, "model_max_length": MAX_TOKENS})
    return len(pieces)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def tiny_sentence_model(folder: Path, *, seed: int = 0, settings: Mapping[str, Any] | None = None) -> Path:
    """Save a random BERT with mean pooling and the prompts of `PROMPTS`; return its folder.

    One layer is enough for what is done with vectors, and is compiled in half the time of three.
    """
    folder.mkdir(parents=True)
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        **(settings or {}),
        "vocab_size": _write_tokenizer(folder),
    }
    random_peer("bert", folder, seed=seed, settings=settings)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    _write(folder / "modules.json", modules)
    pooling = {"word_embedding_dimension": settings["hidden_size"], "pooling_mode": "mean"}
    _write(folder / "1_Pooling" / "config.json", pooling)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})
    prompts = {"prompts": PROMPTS, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    _write(folder / "config_sentence_transformers.json", prompts)
    return folder


@pytest.fixture(scope="session", name="folder")
def tiny_folder_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny sentence encoder."""
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session", name="model")
def tiny_model_fixture(folder: Path) -> SentenceTransformer:
    """Return the tiny sentence encoder in that folder."""
    return SentenceTransformer(folder)


def tiny_cross_encoder(folder: Path, *, labels: int = 1, layers: int = 1) -> Path:
    """Save a random BERT with a classification head; return its folder."""
    folder.mkdir(parents=True)
    settings = {"num_hidden_layers": layers, "vocab_size": _write_tokenizer(folder), "num_labels": labels}
    random_peer("bert", folder, head=True, settings=settings)
    return folder
