"""`CrossEncoder`: a score for each pair of texts, with the interface of `sentence-transformers`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints import Checkpoint, open_checkpoint
from munjang.errors import InputError, InputTypeError, TruncationError
from munjang.models.program import LOGITS
from munjang.runtime.model import Model
from munjang.sentence.encoding import TruncationWarning
from munjang.sentence.progress import track
from munjang.sentence.tensors import like_caller
from munjang.tokenization import TokenIds, Tokenizer

__all__ = ["CrossEncoder", "RankedDocument"]

Scores = NDArray[np.float32]
Activation = Callable[[Scores], Any]


class RankedDocument(TypedDict, total=False):
    """One document of a ranking; ``text`` only if asked for."""

    corpus_id: int
    score: float
    text: str


def identity(x: Scores) -> Scores:
    """Leave logits as they are."""
    return x


def sigmoid(x: Scores) -> Scores:
    """Logits to numbers between 0 and 1, each on its own."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float32)


def softmax(x: Scores) -> Scores:
    """Logits to probabilities that sum to 1 over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


_ACTIVATIONS: dict[str, Activation] = {
    "Identity": identity,
    "Sigmoid": sigmoid,
    "Softmax": softmax,
    "Tanh": np.tanh,
}


class CrossEncoder:
    """A model that reads two texts together and scores them.

    Example::

        model = munjang.CrossEncoder("cross-encoder/ms-marco-TinyBERT-L-2-v2")
        model.predict([("How many people live in Berlin?", "Berlin has 3.5 million inhabitants.")])  # [1]

    Args:
        model_name_or_path: a folder or hub repository with a sequence-classification head.
        max_length: the longest pair in tokens; by default what the model takes.
        activation_fn: applied to the logits: ``"identity"``, ``"sigmoid"``, ``"softmax"``, ``"tanh"`` or a
            function of an array; by default what the model's config names, else the sigmoid for one label and
            the logits themselves for several.
        on_truncation: ``"warn"`` once per call with the count, ``"error"``, or ``"ignore"``.

    The other arguments are those of `SentenceTransformer`.
    Raises `UnknownModelError`, `FetchError`, `CheckpointError` (also if there is no trained head).
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        max_length: int | None = None,
        activation_fn: str | Activation | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool | None = None,
        device: str | None = None,
        backend: str = "openvino",
        threads: int | None = None,
        streams: int | None = None,
        on_truncation: Literal["warn", "error", "ignore"] = "warn",
        allow_pickle: bool = False,
    ) -> None:
        if device not in (None, "cpu"):
            raise InputError(f"device must be None or 'cpu', got {device!r}.")
        if max_length is not None and max_length < 1:
            raise InputError(f"max_length must be at least 1, got {max_length}.")
        checkpoint = open_checkpoint(
            model_name_or_path,
            revision=revision,
            cache_dir=cache_folder,
            token=token,
            offline=local_files_only,
            allow_pickle=allow_pickle,
        )
        self.tokenizer = Tokenizer.from_checkpoint(checkpoint)
        self.model = Model.from_checkpoint(
            checkpoint, head="sequence-classification", backend=backend, threads=threads, streams=streams
        )
        limit = self.model.config.max_length
        self.max_length = min(max_length or self.tokenizer.model_max_length, limit)
        self.on_truncation = on_truncation
        self.activation_fn = _activation(activation_fn) or _published_activation(checkpoint, self.num_labels)

    @property
    def num_labels(self) -> int:
        """How many outputs the head has."""
        return self.model.config.labels.num_labels

    def predict(
        self,
        sentences: Sequence[Any],
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: str | Activation | None = None,
        apply_softmax: bool = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
    ) -> Any:
        """Score pairs of texts.

        Args:
            sentences: one pair, or a list of n pairs.
            batch_size: about how many pairs of 32 tokens go into one request; scores do not depend on it.
            show_progress_bar: show one on standard error.
            activation_fn: instead of the model's own.
            apply_softmax: apply the softmax after the activation, for models of several labels.
            convert_to_numpy: give an array (``False``: a list).
            convert_to_tensor: give a torch tensor, if the program has imported torch.

        Returns ``[n]`` for a model of one label, else ``[n, num_labels]``; without the first axis for one
        pair. Raises `InputTypeError` for anything but pairs of texts.
        """
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}.")
        single = _is_pair(sentences)
        pairs = [_check_pair(pair, i) for i, pair in enumerate([sentences] if single else sentences)]
        scores = (_activation(activation_fn) or self.activation_fn)(
            self._logits(pairs, batch_size, show_progress_bar)
        )
        if apply_softmax and self.num_labels > 1:
            scores = softmax(scores)
        if self.num_labels == 1:
            scores = scores[:, 0]
        if convert_to_tensor:
            return like_caller(scores[0] if single else scores)
        return scores[0] if single else scores if convert_to_numpy else list(scores)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: str | Activation | None = None,
    ) -> list[RankedDocument]:
        """Order documents by their score with a query, best first; equal scores in the order given.

        Raises `InputError` for a model of several labels.
        """
        if self.num_labels != 1:
            raise InputError(
                f"rank needs a model with one label, this one has {self.num_labels}; use predict."
            )
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k must be at least 1, got {top_k}.")
        scores = self.predict(
            [(query, document) for document in documents], batch_size, show_progress_bar, activation_fn
        )
        ranked: list[RankedDocument] = []
        for i in np.argsort(-scores, kind="stable")[:top_k]:
            found = RankedDocument(corpus_id=int(i), score=float(scores[i]))
            ranked.append({**found, "text": documents[i]} if return_documents else found)
        return ranked

    def _logits(
        self, pairs: list[tuple[str, str]], batch_size: int | None, show_progress_bar: bool | None
    ) -> Scores:
        ids = self._tokenize(pairs)
        logits = np.empty((len(pairs), self.num_labels), dtype=np.float32)
        budget = None if batch_size is None else batch_size * 32
        program = self.model.program(frozenset({LOGITS}))
        with track(bool(show_progress_bar), len(pairs), "Scoring") as advance:
            for done in self.model.runner.run(program, ids, token_budget=budget):
                logits[done.indices] = done.outputs[LOGITS]
                advance(len(done.indices))
        return logits

    def _tokenize(self, pairs: list[tuple[str, str]]) -> list[TokenIds]:
        ids = self.tokenizer.encode_ids(pairs, truncation=True, max_length=self.max_length)
        cut = [pair.truncated for pair in ids if pair.truncated]
        if not cut or self.on_truncation == "ignore":
            return ids
        what = f"{len(cut)} of {len(pairs)} pairs were longer than {self.max_length} tokens"
        if self.on_truncation == "error":
            raise TruncationError(f"{what}.")
        warnings.warn(f"{what}; {sum(cut)} tokens were not read.", TruncationWarning, stacklevel=4)
        return ids


def _activation(chosen: str | Activation | None) -> Activation | None:
    if chosen is None or callable(chosen):
        return chosen
    found = _ACTIVATIONS.get(chosen.rpartition(".")[2].capitalize())
    if found is None:
        raise InputError(f"Unknown activation '{chosen}'; there are {', '.join(_ACTIVATIONS).lower()}.")
    return found


def _published_activation(checkpoint: Checkpoint, num_labels: int) -> Activation:
    """What the model's files name: in three places, as versions of `sentence-transformers` went by."""
    config = checkpoint.config()
    own = {}
    if checkpoint.has("config_sentence_transformers.json"):
        own = checkpoint.read_json("config_sentence_transformers.json")
    nested = config.get("sentence_transformers")
    name = (
        (nested.get("activation_fn") if isinstance(nested, dict) else None)
        or own.get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
    )
    if isinstance(name, str):
        return _activation(name) or identity
    return sigmoid if num_labels == 1 else identity


def _is_pair(value: Any) -> bool:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        raise InputTypeError(f"predict needs a pair of texts or a list of pairs, got {type(value).__name__}.")
    return len(value) == 2 and all(isinstance(text, str) for text in value)


def _check_pair(value: Any, position: int) -> tuple[str, str]:
    if isinstance(value, str) or len(value) != 2 or not all(isinstance(text, str) for text in value):
        raise InputTypeError(f"Pair {position} must be two texts, got {value!r}.")
    return value[0], value[1]
