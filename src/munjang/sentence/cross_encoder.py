"""`CrossEncoder`: a score for each pair of texts, with the interface of `sentence-transformers`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

import numpy as np

from munjang.checkpoints import Checkpoint, OpenOptions, open_checkpoint
from munjang.errors import InputError, InputTypeError, UnsupportedModelError
from munjang.models.program import LOGITS
from munjang.progress import track
from munjang.runtime.model import Model
from munjang.runtime.notices import OnTruncation, TruncationReport
from munjang.runtime.tensors import torch_tensor
from munjang.sentence.activations import (
    Activation,
    Scores,
    activate,
    choose_activation,
    published_activation,
    softmax,
)
from munjang.sentence.encoding import TOKENS_PER_TEXT, chunks, refuse_surrogates_in, text_length
from munjang.sentence.settings import (
    OpenEncoderArguments,
    check_model_type,
    open_options,
    read_entries,
    read_transformer_config,
)
from munjang.tokenization import TokenIds, Tokenizer
from munjang.validation import check_flags, checked_count, takes_keywords

Pair = tuple[str, str]


class RankedDocument(TypedDict, total=False):
    """One document of a ranking; ``text`` is optional."""

    corpus_id: int
    score: float
    text: str


class CrossEncoder(OnTruncation):
    """A model that reads two texts together and scores them.

    Example::

        model = munjang.CrossEncoder("cross-encoder/ms-marco-TinyBERT-L-2-v2")
        model.predict([("How many people live in Berlin?", "Berlin has 3.5 million inhabitants.")])  # [1]

    Args:
        model_name_or_path: a folder or hub repository with a sequence-classification head.
        max_length: the longest pair in tokens; by default the model's maximum.
        activation_fn: applied to the logits: ``"identity"``, ``"sigmoid"``, ``"softmax"``, ``"tanh"``,
            ``"relu"``, ``"gelu"``, ``"silu"`` and other names of torch's functions, or a function of an array
            (a function of torch gets a tensor). The default is the function that the model's files name, else
            the sigmoid for one label and the identity for several. If the files name an unknown function, the
            default raises `UnsupportedModelError`, because another function would change the scores.
        on_truncation: ``"warn"`` once per call with the count, ``"error"``, or ``"ignore"``.

    The other arguments are those of `SentenceTransformer`.
    Raises `UnknownModelError`, `FetchError`, `CheckpointError` (also if there is no trained head),
    `UnsupportedModelError`, `InputError`.
    """

    @takes_keywords(OpenEncoderArguments, OpenOptions)
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        max_length: int | None = None,
        activation_fn: str | Activation | None = None,
        on_truncation: Literal["warn", "error", "ignore"] = "warn",
        **arguments: Unpack[OpenEncoderArguments],
    ) -> None:
        options = open_options(arguments)
        self.on_truncation = on_truncation
        checkpoint = open_checkpoint(model_name_or_path, options)
        _check_modules(checkpoint)
        model = Model.from_checkpoint(checkpoint, "sequence-classification", options)
        tokenizer = Tokenizer.from_checkpoint(checkpoint)
        published = read_transformer_config(checkpoint, "sequence-classification")
        if published["do_lower_case"]:
            tokenizer.lower_case()
        self._begin(model, tokenizer, published["max_seq_length"] if max_length is None else max_length)
        self.activation_fn: Activation = (
            published_activation(checkpoint, self.num_labels)
            if activation_fn is None
            else choose_activation(activation_fn, softmax)
        )

    @classmethod
    def of(
        cls,
        model: Model,
        tokenizer: Tokenizer,
        *,
        activation_fn: str | Activation,
        max_length: int | None = None,
        on_truncation: Literal["warn", "error", "ignore"] = "warn",
    ) -> CrossEncoder:
        """Make a cross-encoder of an opened model with a sequence-classification head, such as in training.

        Raises `InputError` for values that can't be used.
        """
        made = cls.__new__(cls)
        made.on_truncation = on_truncation
        made._begin(model, tokenizer, max_length)
        made.activation_fn = choose_activation(activation_fn, softmax)
        return made

    def _begin(self, model: Model, tokenizer: Tokenizer, max_length: int | None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.max_length = tokenizer.model_max_length if max_length is None else max_length

    def __repr__(self) -> str:
        """Return the name, the architecture, the number of labels and the maximum length."""
        architecture = self.model.architecture.model_type
        return (
            f"CrossEncoder({self.tokenizer.name_or_path!r}, architecture={architecture!r}, "
            f"num_labels={self.num_labels}, max_length={self.max_length})"
        )

    @property
    def num_labels(self) -> int:
        """How many outputs the head has."""
        return self.model.config.labels.num_labels

    @property
    def max_length(self) -> int:
        """The longest pair in tokens, special tokens included; longer pairs are truncated and counted."""
        return self._max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        length = checked_count("max_length", value)
        self._max_length = min(length, self.model.config.max_length)

    max_seq_length = max_length

    def predict(
        self,
        sentences: Any,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: str | Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
    ) -> Any:
        """Score pairs of texts.

        Args:
            sentences: one pair, or n pairs in a list, a tuple, an array ``[n, 2]`` or an iterator.
            batch_size: about how many pairs of 32 tokens go into one request; scores do not depend on it.
            show_progress_bar: show a progress bar on standard error.
            activation_fn: replaces the model's own.
            apply_softmax: apply the softmax after the activation, for models of several labels.
            convert_to_numpy: return one array (``False``: a list of tensors, as for ``convert_to_tensor``).
            convert_to_tensor: return a torch tensor, or without torch a numpy array with its methods.

        Returns ``[n]`` for a model of one label, else ``[n, num_labels]``; without the first axis for one
        pair. Issues one `TruncationWarning` with the number of truncated pairs. Raises
        `InputTypeError` for values other than pairs of texts, `InputError` for values that can't be used,
        `TruncationError` if ``on_truncation`` is ``"error"``.
        """
        check_flags(
            show_progress_bar=False if show_progress_bar is None else show_progress_bar,
            apply_softmax=False if apply_softmax is None else apply_softmax,
            convert_to_numpy=convert_to_numpy,
            convert_to_tensor=convert_to_tensor,
        )
        if apply_softmax and self.num_labels == 1:
            raise InputError("apply_softmax is for models of several labels; this one has one.")
        activation = choose_activation(activation_fn, self.activation_fn)
        single, pairs = _as_pairs(sentences)
        logits = self._logits(pairs, batch_size, bool(show_progress_bar))
        scores = self._scores(activation, logits) if pairs else logits
        if self.num_labels == 1:
            scores = scores.reshape(len(pairs))
        elif apply_softmax and pairs:
            scores = softmax(scores)
        result = scores[0] if single else scores
        if convert_to_numpy and not convert_to_tensor:
            return result
        return (
            torch_tensor(result) if convert_to_tensor or single else [torch_tensor(score) for score in result]
        )

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
        """Order documents by their score with a query, best first; equal scores in the documents' order.

        Raises `InputError` for a model of several labels, and what `predict` raises.
        """
        if self.num_labels != 1:
            raise InputError(
                f"rank needs a model with one label, this one has {self.num_labels}; use predict."
            )
        if top_k is not None:
            checked_count("top_k", top_k)
        check_flags(return_documents=return_documents)
        if isinstance(documents, str | bytes | Mapping) or not isinstance(documents, Iterable):
            raise InputTypeError(f"rank needs a list of documents, got one {type(documents).__name__}.")
        listed = list(documents)
        scores = self.predict(
            [(query, document) for document in listed], batch_size, show_progress_bar, activation_fn
        )
        ranked: list[RankedDocument] = []
        for i in np.argsort(-scores, kind="stable")[:top_k]:
            document_score = RankedDocument(corpus_id=int(i), score=float(scores[i]))
            ranked.append({**document_score, "text": listed[i]} if return_documents else document_score)
        return ranked

    def _scores(self, activation: Activation, logits: Scores) -> Scores:
        scores = activate(activation, logits)
        if scores.size != logits.size:
            raise InputError(
                f"activation_fn must keep the shape {logits.shape} of the logits, it returned {scores.shape}."
            )
        return scores

    def _logits(self, pairs: list[Pair], batch_size: int | None, shown: bool) -> Scores:
        budget = None
        if batch_size is not None:
            budget = checked_count("batch_size", batch_size) * TOKENS_PER_TEXT
        logits = np.empty((len(pairs), self.num_labels), dtype=np.float32)
        program = self.model.program(frozenset({LOGITS}))
        truncation = TruncationReport(self.max_length, self.on_truncation, "pair")
        start = 0
        with track(shown, len(pairs), "Scoring") as advance:
            for chunk in chunks(pairs, text_length):
                ids = self._tokenize(chunk, start)
                truncation.add(pair.truncated for pair in ids)
                logits[start : start + len(chunk)] = self.model.runner.rows(
                    program, ids, (LOGITS, self.num_labels), token_budget=budget, advance=advance
                )
                start += len(chunk)
        truncation.warn()
        return logits

    def _tokenize(self, pairs: list[Pair], first: int) -> list[TokenIds]:
        try:
            return self.tokenizer.encode_ids(pairs, truncation=True, max_length=self.max_length)
        except InputError:
            refuse_surrogates_in(pairs, first)
            raise


def _check_modules(checkpoint: Checkpoint) -> None:
    """Raise `UnsupportedModelError` for modules that newer library versions can add to a cross-encoder."""
    check_model_type(checkpoint, "CrossEncoder")
    if checkpoint.has("modules.json"):
        entries = read_entries(checkpoint)
        if [(entry.kind, entry.path) for entry in entries] != [("Transformer", "")]:
            kinds = ", ".join(entry.kind for entry in entries) or "nothing"
            raise UnsupportedModelError(
                f"'{checkpoint.name}': modules.json lists {kinds}; "
                "a cross-encoder has one Transformer with a classification head."
            )
    if checkpoint.has("config_sentence_transformers.json"):
        config = checkpoint.read_json("config_sentence_transformers.json")
        if config.get("default_prompt_name") is not None:
            raise UnsupportedModelError(
                f"'{checkpoint.name}': a cross-encoder with the default prompt "
                f"{config['default_prompt_name']!r} is not supported."
            )


def _as_pairs(value: Any) -> tuple[bool, list[Pair]]:
    """Return whether the value is a single pair, and the list of pairs."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InputTypeError(
            f"predict needs a pair of texts or a list of pairs, got a {type(value).__name__}."
        )
    listed = list(value)
    single = len(listed) == 2 and all(isinstance(text, str) for text in listed)
    return single, [_checked_pair(pair, i) for i, pair in enumerate([listed] if single else listed)]


def _checked_pair(value: Any, position: int) -> Pair:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputTypeError(f"Pair {position} must be two texts, got {value!r:.80}.")
    for text in value:
        if not isinstance(text, str):
            raise InputTypeError(
                f"Pair {position} holds a {type(text).__name__}; both of its texts must be str."
            )
    return value[0], value[1]
