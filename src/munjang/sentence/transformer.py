"""`SentenceTransformer`: sentences to vectors, with the interface of `sentence-transformers`."""

from __future__ import annotations

import os
import warnings
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.checkpoints import Checkpoint, open_checkpoint
from munjang.errors import InputError, InputTypeError
from munjang.models.shapes import check_checkpoint
from munjang.runtime.model import Model
from munjang.sentence.encoding import EncodeCall, TruncationWarning, check_text
from munjang.sentence.files import SentenceSettings, module_weights, read_settings, write_settings
from munjang.sentence.pooling import POOLER, Pooling
from munjang.sentence.program import SENTENCE_EMBEDDING, SentenceProgram, model_outputs
from munjang.sentence.progress import track
from munjang.sentence.quantization import quantize_embeddings
from munjang.sentence.similarity import SimilarityFunction
from munjang.tokenization import Tokenizer

__all__ = ["AssumptionWarning", "SentenceTransformer", "TruncationWarning"]

Vectors = NDArray[Any]
Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]


class AssumptionWarning(UserWarning):
    """A checkpoint does not say how it is to be used, and something was assumed."""


class SentenceTransformer:
    """A model that turns sentences into vectors.

    Example::

        model = munjang.SentenceTransformer("all-MiniLM-L6-v2")
        embeddings = model.encode(["A red cat.", "Have you seen my cat?"])  # [2, 384] float32
        model.similarity(embeddings, embeddings)  # [2, 2]

    Args:
        model_name_or_path: a folder, a catalogue name, or a hub repository.
        pooling: ``"mean"``, ``"cls"``, ``"max"``, ``"mean_sqrt_len_tokens"``, ``"weightedmean"``,
            ``"lasttoken"``, a tuple of these, or ``"pooler"``; by default what the checkpoint's files say.
        prompts: texts to put before a sentence, by name; added to the checkpoint's.
        default_prompt_name: the prompt to use when `encode` is given none.
        similarity_fn_name: ``cosine``, ``dot``, ``euclidean`` or ``manhattan``.
        truncate_dim: keep only so many of each vector's numbers.
        cache_folder: where downloaded models are kept.
        revision, token, local_files_only: for the hub, as in `huggingface_hub`.
        device: ``None`` or ``"cpu"``.
        backend: ``"openvino"``, ``"numpy"`` or ``"torch"``.
        threads, streams: see `munjang.backends.openvino.OpenVINOExecutor`.
        on_truncation: ``"warn"`` once per call with the count, ``"error"``, or ``"ignore"``.
        allow_pickle: read weights that are a pickle.

    Raises `UnknownModelError`, `FetchError`, `CheckpointError`, `UnsupportedModelError`, `InputError`.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        pooling: str | Sequence[str] | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
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
        _check_choice("device", device, (None, "cpu"))
        _check_choice("on_truncation", on_truncation, ("warn", "error", "ignore"))
        from munjang.checkpoints.catalogue import DEFAULT_MODEL

        checkpoint = open_checkpoint(
            DEFAULT_MODEL if model_name_or_path is None else model_name_or_path,
            revision=revision,
            cache_dir=cache_folder,
            token=token,
            offline=local_files_only,
            allow_pickle=allow_pickle,
        )
        settings = read_settings(checkpoint)
        self.settings = _choose(
            settings, checkpoint.name, pooling, prompts, default_prompt_name, similarity_fn_name, truncate_dim
        )
        self.on_truncation: str = on_truncation
        transformer = checkpoint.sub(settings.transformer_path)
        self.tokenizer = Tokenizer.from_checkpoint(transformer)
        self.model = self._open(checkpoint, transformer, backend, threads, streams)
        self.max_seq_length = self.settings.max_seq_length or self.tokenizer.model_max_length

    def _open(
        self,
        checkpoint: Checkpoint,
        transformer: Checkpoint,
        backend: str,
        threads: int | None,
        streams: int | None,
    ) -> Model:
        weights = transformer.weights()
        model = Model(transformer.config(), weights, backend=backend, threads=threads, streams=streams)
        if self.pooling.modes == (POOLER,) and not model.has_pooler:
            raise InputError(f"'{checkpoint.name}' has no pooler; choose another pooling.")
        extra = module_weights(checkpoint, self.settings.modules)
        if extra:
            model.set_weights(ChainMap(extra, weights))  # type: ignore[arg-type] # read, never written
        shapes = {name: tuple(value.shape) for name, value in extra.items()}
        shapes |= {name: weights.shape(name) for name in weights}
        program = self.program_of(model)
        found = check_checkpoint(program, model.config, shapes, model.architecture.base_prefix)
        self.width = found[SENTENCE_EMBEDDING][-1]
        return model

    @property
    def pooling(self) -> Pooling:
        """How token vectors become one."""
        assert self.settings.pooling is not None  # chosen when opened
        return self.settings.pooling

    def program_of(self, model: Model, *, tokens: bool = False) -> SentenceProgram:
        """Describe the computation of sentence vectors, and of token vectors if ``tokens``."""
        return SentenceProgram(
            model.program(model_outputs(self.pooling)), self.pooling, self.settings.modules, tokens
        )

    # What the model is

    @property
    def max_seq_length(self) -> int:
        """The longest text in tokens, special tokens included; what is beyond is cut off and counted."""
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        if value < 1:
            raise InputError(f"max_seq_length must be at least 1, got {value}.")
        self._max_seq_length = min(value, self.model.config.max_length)

    def get_max_seq_length(self) -> int:
        """Give `max_seq_length`."""
        return self.max_seq_length

    def get_sentence_embedding_dimension(self) -> int:
        """Give the length of the vectors that `encode` makes."""
        return min(self.settings.truncate_dim or self.width, self.width)

    get_embedding_dimension = get_sentence_embedding_dimension

    @property
    def prompts(self) -> dict[str, str]:
        """Texts that are put before a sentence, by name."""
        return dict(self.settings.prompts)

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt that `encode` uses when it is given none."""
        return self.settings.default_prompt_name

    @property
    def truncate_dim(self) -> int | None:
        """How many of each vector's numbers are kept, or ``None`` for all."""
        return self.settings.truncate_dim

    @property
    def similarity_fn_name(self) -> str:
        """The name of the function behind `similarity`."""
        return self.settings.similarity_fn_name or "cosine"

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """Compare every vector with every other: ``[n, d]`` and ``[m, d]`` -> ``[n, m]``."""
        return SimilarityFunction.to_similarity_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """Compare row by row: two ``[n, d]`` -> ``[n]``."""
        return SimilarityFunction.to_similarity_pairwise_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Any]:
        """Tokenize as `encode` does, padded, as arrays ``[n, L]``."""
        return self.tokenizer(
            [self.prepare(text) for text in texts],
            padding=True,
            truncation=True,
            max_length=self.max_seq_length,
            return_tensors="np",
        )

    def add_tokens(self, tokens: Sequence[str]) -> int:
        """Add words to the vocabulary, each starting as the mean of the pieces that it was made of.

        Returns how many were new.
        """
        added = self.tokenizer.add_tokens(list(tokens))
        if added:
            self.model.resize_token_embeddings(len(self.tokenizer), self.tokenizer.added_pieces)
        return added

    # Encoding

    def encode(
        self,
        sentences: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Turn sentences into vectors.

        Args:
            sentences: one text -> ``[d]``; a list of n -> ``[n, d]``; an iterator -> an iterator of ``[d]``
                that reads on as it is read from, in bounded memory.
            prompt_name: which of the model's prompts to put before each text.
            prompt: a text to put before each text, whatever the model's prompts are.
            batch_size: about how many texts of 32 tokens go into one request; results do not depend on it.
            show_progress_bar: show one on standard error.
            output_value: ``"sentence_embedding"``; ``"token_embeddings"`` for one ``[L, H]`` per text;
                ``None`` for a dictionary with both and the ``input_ids`` per text.
            precision: ``float32``, ``int8``, ``uint8``, ``binary`` or ``ubinary``.
            convert_to_numpy: give an array (``False``: a list of arrays).
            convert_to_tensor: give a torch tensor, if the program has imported torch; an array otherwise.
            device: ``None`` or ``"cpu"``.
            normalize_embeddings: scale each vector to length 1.
            truncate_dim: keep only so many numbers of each vector.

        Raises `InputTypeError` for anything but texts, `InputError` for a prompt that does not exist,
        `TruncationError` if ``on_truncation`` is ``"error"``.
        """
        _check_choice("device", device, (None, "cpu"))
        _check_choice("output_value", output_value, ("sentence_embedding", "token_embeddings", None))
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}.")
        call = EncodeCall(self, self._prompt(prompt_name, prompt), batch_size)

        def finish(vectors: Vectors) -> Vectors:
            return _finish(vectors, truncate_dim or self.truncate_dim, normalize_embeddings, precision)

        if isinstance(sentences, Iterator):
            return call.stream(sentences, finish)
        single = isinstance(sentences, str)
        texts = [check_text(text, i) for i, text in enumerate(_as_list(sentences))]
        with track(bool(show_progress_bar), len(texts), "Encoding") as advance:
            if output_value != "sentence_embedding":
                items = call.features(texts, output_value, finish, advance)
                return items[0] if single else items
            vectors = finish(call.vectors(texts, advance))
        return _convert(vectors[0] if single else vectors, convert_to_numpy or single, convert_to_tensor)

    def encode_query(
        self, sentences: Any, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Any:
        """Encode questions: `encode` with the model's prompt named ``query``, if it has one."""
        return self.encode(sentences, self._task_prompt(prompt_name, prompt, ("query",)), prompt, **options)

    def encode_document(
        self, sentences: Any, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Any:
        """Encode documents: `encode` with the prompt ``document``, ``passage`` or ``corpus``, if any."""
        names = ("document", "passage", "corpus")
        return self.encode(sentences, self._task_prompt(prompt_name, prompt, names), prompt, **options)

    def _task_prompt(self, prompt_name: str | None, prompt: str | None, names: Sequence[str]) -> str | None:
        if prompt_name is not None or prompt is not None:
            return prompt_name
        return next((name for name in names if name in self.settings.prompts), None)

    def _prompt(self, prompt_name: str | None, prompt: str | None) -> str:
        if prompt is not None:
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        if name is None:
            return ""
        if name not in self.settings.prompts:
            known = ", ".join(self.settings.prompts) or "none"
            raise InputError(f"The model has no prompt named '{name}'; it has {known}.")
        return self.settings.prompts[name]

    def prepare(self, text: str) -> str:
        """Change a text as the model's files say, before it is tokenized."""
        return text.lower() if self.settings.do_lower_case else text

    # Saving

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the model so that this library and `sentence-transformers` load it again."""
        path = Path(folder)
        self.model.save_pretrained(path, without=tuple(module.prefix for module in self.settings.modules))
        self.tokenizer.save_pretrained(path)
        settings = replace(self.settings, max_seq_length=self.max_seq_length)
        write_settings(path, settings, self.model.config.hidden_size, self.model.weights)

    save = save_pretrained


def _choose(
    settings: SentenceSettings,
    name: str,
    pooling: str | Sequence[str] | None,
    prompts: Mapping[str, str] | None,
    default_prompt_name: str | None,
    similarity_fn_name: str | None,
    truncate_dim: int | None,
) -> SentenceSettings:
    """Put what the caller said over what the checkpoint says."""
    chosen = settings.pooling
    if pooling is not None:
        chosen = Pooling.of(pooling)
    elif chosen is None:
        chosen = Pooling()
        warnings.warn(
            f"'{name}' does not say how to pool; the mean is assumed. Say pooling=... to choose.",
            AssumptionWarning,
            stacklevel=4,
        )
    if similarity_fn_name is not None:
        _check_choice("similarity_fn_name", similarity_fn_name, SimilarityFunction.possible_values())
    if truncate_dim is not None and truncate_dim < 1:
        raise InputError(f"truncate_dim must be at least 1, got {truncate_dim}.")
    merged = {**settings.prompts, **(prompts or {})}
    if default_prompt_name is not None and default_prompt_name not in merged:
        raise InputError(
            f"There is no prompt named '{default_prompt_name}'; there are {', '.join(merged) or 'none'}."
        )
    return replace(
        settings,
        pooling=chosen,
        prompts=merged,
        default_prompt_name=default_prompt_name or settings.default_prompt_name,
        similarity_fn_name=similarity_fn_name or settings.similarity_fn_name,
        truncate_dim=truncate_dim or settings.truncate_dim,
    )


def _check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def _as_list(sentences: Any) -> list[Any]:
    if isinstance(sentences, str):
        return [sentences]
    if isinstance(sentences, bytes) or not isinstance(sentences, Iterable):
        raise InputTypeError(f"encode needs a text or a list of texts, got {type(sentences).__name__}.")
    return list(sentences)


def _finish(vectors: Vectors, truncate_dim: int | None, normalize: bool, precision: Precision) -> Vectors:
    if truncate_dim is not None:
        vectors = vectors[:, :truncate_dim]
    if normalize:
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if precision != "float32" and len(vectors):
        vectors = quantize_embeddings(vectors, precision)
    return vectors


def _convert(vectors: Vectors, to_numpy: bool, to_tensor: bool) -> Any:
    if to_tensor:
        from munjang.sentence.tensors import like_caller

        return like_caller(vectors)
    return vectors if to_numpy else list(vectors)
