"""Tasks of this package and of its peers, with the interface of `benchmarks.peers.Encoder`.

Instead of vectors they return the values that are compared: tokens and probabilities of the best five words
for fill-mask, scores of pairs, and the number of tokens of generated texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MunjangCrossEncoder",
    "MunjangFillMask",
    "MunjangGPT2",
    "Scores",
    "SentenceTransformersCrossEncoder",
    "TransformersFillMask",
    "TransformersGPT2",
]  # fmt: skip

Scores = NDArray[np.float32]
Settings = Sequence[Mapping[str, Any]]
NEW_TOKENS = 64
TOP_K = 5
SAMPLING: dict[str, Any] = {"do_sample": True, "top_k": 50, "top_p": 0.95, "temperature": 0.8}


def _scores(results: Sequence[Any]) -> Scores:
    """Return token ids and probabilities ``[n, TOP_K, 2]``."""
    return np.array([[(fill["token"], fill["score"]) for fill in result] for result in results], np.float32)


class MunjangFillMask:
    """Fill-mask, one text after another or all in one call."""

    settings: Settings = ({},)

    def __init__(self, folder: Path, *, single: bool) -> None:
        import munjang

        self._fill = munjang.pipeline("fill-mask", str(folder))
        self._single = single

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Scores:  # noqa: ARG002
        if self._single:
            return _scores([self._fill(text, top_k=TOP_K) for text in texts])
        return _scores(self._fill(list(texts), top_k=TOP_K))


class TransformersFillMask:
    """The pipeline of `transformers`, one text after another or in batches of the best size."""

    def __init__(self, folder: Path, *, single: bool) -> None:
        from transformers import pipeline

        self._fill = pipeline("fill-mask", model=str(folder), device="cpu")
        self._single = single
        self.settings: Settings = ({},) if single else tuple({"batch_size": size} for size in (1, 8, 16, 32))

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Scores:
        if self._single:
            return _scores([self._fill(text, top_k=TOP_K) for text in texts])
        return _scores(self._fill(list(texts), top_k=TOP_K, **setting))


class MunjangCrossEncoder:
    """Scores of pairs, each given as a JSON list of two texts."""

    settings: Settings = ({},)

    def __init__(self, folder: Path) -> None:
        from munjang import CrossEncoder

        self._model = CrossEncoder(folder)

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Scores:  # noqa: ARG002
        scores: Scores = self._model.predict([tuple(json.loads(text)) for text in texts])
        return scores


class SentenceTransformersCrossEncoder:
    """The same with `sentence-transformers`."""

    settings: Settings = tuple({"batch_size": size} for size in (16, 32, 64, 128))

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import CrossEncoder

        self._model = CrossEncoder(str(folder), device="cpu")

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Scores:
        pairs = [tuple(json.loads(text)) for text in texts]
        return np.asarray(
            self._model.predict(pairs, batch_size=setting["batch_size"], show_progress_bar=False)
        )


class MunjangGPT2:
    """Generates text by sampling, one prompt after another."""

    settings: Settings = ({},)

    def __init__(self, folder: Path, weights: str) -> None:
        from munjang.tasks.generation.text_generation import TextGeneration

        self._write = TextGeneration(str(folder), weights=weights)  # type: ignore[arg-type]

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Scores:  # noqa: ARG002
        for text in texts:
            self._write(text, max_new_tokens=NEW_TOKENS, seed=1, **SAMPLING)
        return np.full(len(texts), NEW_TOKENS, dtype=np.float32)


class TransformersGPT2:
    """The same with `generate` of `transformers`, counting the tokens."""

    settings: Settings = ({},)

    def __init__(self, folder: Path) -> None:
        from transformers import GPT2LMHeadModel, GPT2TokenizerFast

        self._tokenizer = GPT2TokenizerFast.from_pretrained(folder)
        self._model = GPT2LMHeadModel.from_pretrained(folder).eval()

    def encode(self, texts: Sequence[str], setting: Mapping[str, Any]) -> Scores:  # noqa: ARG002
        return np.array([self._tokens(text) for text in texts], dtype=np.float32)

    def _tokens(self, text: str) -> int:
        import torch

        torch.manual_seed(1)
        read = self._tokenizer(text, return_tensors="pt")
        written = self._model.generate(**read, max_new_tokens=NEW_TOKENS, pad_token_id=0, **SAMPLING)
        self._tokenizer.decode(written[0])
        return int(written.shape[1] - read["input_ids"].shape[1])
