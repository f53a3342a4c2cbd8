"""`SentenceTransformer`: sentences to vectors, with the interface of `sentence-transformers`."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from munjang.checkpoints import Checkpoint, open_checkpoint
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.models.shapes import check_checkpoint
from munjang.progress import track
from munjang.runtime.model import Model
from munjang.runtime.notices import AssumptionWarning, TruncationWarning, notify
from munjang.sentence.encoding import EncodeCall, EncodeOptions, TextInput, checked
from munjang.sentence.files import module_weights, read_settings, staged, write_settings
from munjang.sentence.pooling import POOLER, Pooling
from munjang.sentence.program import (
    SENTENCE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    SentenceProgram,
    model_outputs,
)
from munjang.sentence.quantization import Precision
from munjang.sentence.settings import OnTruncation, SentenceSettings, check_device, check_prompts
from munjang.sentence.similarity import SimilarityFunction, check_truncation
from munjang.tokenization import BatchEncoding, Tokenizer
from munjang.validation import check_flags, checked_count

__all__ = ["AssumptionWarning", "SentenceTransformer", "TruncationWarning"]


OutputValue = Literal["sentence_embedding", "token_embeddings"]


class SentenceTransformer(OnTruncation):
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
        truncate_dim: the number of components that are kept of each vector.
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
        similarity_fn_name: str | SimilarityFunction | None = None,
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
        check_device(device)
        check_flags(
            allow_pickle=allow_pickle,
            local_files_only=False if local_files_only is None else local_files_only,
        )
        self.on_truncation = on_truncation
        from munjang.checkpoints.catalogue import DEFAULT_MODEL

        checkpoint = open_checkpoint(
            DEFAULT_MODEL if model_name_or_path is None else model_name_or_path,
            revision=revision,
            cache_dir=cache_folder,
            token=token,
            offline=local_files_only,
            allow_pickle=allow_pickle,
        )
        published = read_settings(checkpoint)
        self.settings = _choose(
            published,
            checkpoint.name,
            pooling,
            prompts,
            default_prompt_name=default_prompt_name,
            similarity_fn_name=None
            if similarity_fn_name is None
            else SimilarityFunction(similarity_fn_name).value,
            truncate_dim=truncate_dim,
        )
        transformer = checkpoint.sub(self.settings.transformer_path)
        self.tokenizer = Tokenizer.from_checkpoint(transformer)
        if self.settings.do_lower_case:
            self.tokenizer.lower_case()
        weights = transformer.weights()
        self.model = Model(transformer.config(), weights, backend=backend, threads=threads, streams=streams)
        shapes = {name: weights.shape(name) for name in weights}
        self.width = self._add_modules(checkpoint, shapes)
        _check_published_width(checkpoint.name, published.truncate_dim, self.width)
        check_truncation(self.settings.truncate_dim, self.width)
        self.max_seq_length = self.settings.max_seq_length or self.tokenizer.model_max_length

    def _add_modules(self, checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]) -> int:
        """Put the tensors of the modules after pooling beside the encoder's; return the vectors' width."""
        model = self.model
        if self.pooling.modes == (POOLER,) and not model.has_pooler:
            raise InputError(f"'{checkpoint.name}' has no pooler; choose another pooling.")
        extra = module_weights(checkpoint, self.settings.modules)
        if extra:
            model.set_weights(ChainMap(extra, model.weights))  # type: ignore[arg-type] # read, never written
        shapes |= {name: value.shape for name, value in extra.items()}
        found = check_checkpoint(self.program(), model.config, shapes, model.architecture.base_prefix)
        return found[SENTENCE_EMBEDDING][-1]

    def program(self, *, tokens: bool = False) -> SentenceProgram:
        """Describe the computation of sentence vectors, and of token vectors if ``tokens``."""
        encoder = self.model.program(model_outputs(self.pooling))
        return SentenceProgram(encoder, self.pooling, self.settings.modules, tokens)

    # What the model is, and how it is used

    @property
    def max_seq_length(self) -> int:
        """The longest text in tokens, special tokens included; what is beyond is cut off and counted."""
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        length = checked_count("max_seq_length", value)
        self._max_seq_length = min(length, self.model.config.max_length)

    def get_max_seq_length(self) -> int:
        """Return `max_seq_length`."""
        return self.max_seq_length

    def get_sentence_embedding_dimension(self) -> int:
        """Return the length of the vectors that `encode` makes."""
        return min(self.truncate_dim or self.width, self.width)

    get_embedding_dimension = get_sentence_embedding_dimension

    @property
    def device(self) -> str:
        """Where the model computes: ``"cpu"``."""
        return "cpu"

    def tokenize(self, texts: TextInput | Sequence[TextInput]) -> BatchEncoding:
        """Tokenize as `encode` does, padded, as arrays ``[n, L]``; the prompt is not added."""
        return self.tokenizer(
            list(checked([texts] if isinstance(texts, str | Mapping) else texts)),
            padding=True,
            truncation=True,
            max_length=self.max_seq_length,
            return_tensors="np",
        )

    def add_tokens(self, tokens: str | Sequence[str]) -> int:
        """Add words to the vocabulary, each starting as the mean of the pieces that it was made of.

        Returns how many were added, as `Tokenizer.add_tokens` counts them.
        """
        before = set(self.tokenizer.added_pieces)
        added = self.tokenizer.add_tokens(tokens)
        new = {i: pieces for i, pieces in self.tokenizer.added_pieces.items() if i not in before}
        if new:
            # Some checkpoints have more rows than their tokenizer has tokens.
            rows = max(len(self.tokenizer), self.model.config.vocab_size)
            self.model.resize_token_embeddings(rows, new)
        return added

    # Encoding

    def encode(
        self,
        sentences: TextInput | Iterable[TextInput],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = SENTENCE_EMBEDDING,
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Turn sentences into vectors.

        Args:
            sentences: one text -> ``[d]``; n of them in a list, a tuple or an array -> ``[n, d]``; an
                iterator -> an iterator of ``[d]`` that reads a chunk ahead, in bounded memory. In a list a
                tuple or list of two texts is a pair, which the model reads together, with token types;
                ``{"text": ...}`` stands for what it holds, alone too.
            prompt_name: which of the model's prompts to put before each text, and before the first of a pair.
            prompt: a text to put before each text, whatever the model's prompts are, without a
                ``prompt_name`` then.
            batch_size: about how many texts of 32 tokens go into one request; results do not depend on it.
            show_progress_bar: show one on standard error.
            output_value: ``"sentence_embedding"``; ``"token_embeddings"`` for one ``[L, H]`` per text;
                ``None`` for a dictionary per text with both, ``input_ids`` and ``attention_mask``.
            precision: ``float32``, ``int8``, ``uint8``, ``binary`` or ``ubinary``; the two in the middle
                take each component's range from the vectors of this call, so they need at least two texts.
            convert_to_numpy: give one array (``False``: a list of tensors, as for ``convert_to_tensor``).
            convert_to_tensor: give a torch tensor, or without torch a numpy array with its methods.
            device: ``None`` or ``"cpu"``.
            normalize_embeddings: scale each vector to length 1.
            truncate_dim: the number of components to keep, instead of the model's `truncate_dim`;
                neither this nor the normalisation is for token vectors.

        Warns with `TruncationWarning`, once and with the count, of texts that were cut. Raises
        `InputTypeError` for anything but texts, `InputError` for a prompt that does not exist and values that
        can't be used, `TruncationError` if ``on_truncation`` is ``"error"``.
        """
        check_device(device)
        options = EncodeOptions(
            prompt=self._prompt(prompt_name, prompt),
            batch_size=batch_size,
            output_value=output_value,
            precision=precision,
            convert_to_numpy=convert_to_numpy,
            convert_to_tensor=convert_to_tensor,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=self.truncate_dim if truncate_dim is None else truncate_dim,
        )
        check_flags(show_progress_bar=False if show_progress_bar is None else show_progress_bar)
        if truncate_dim is not None and output_value == TOKEN_EMBEDDINGS:
            raise InputError("truncate_dim is for sentence vectors, not for token_embeddings.")
        return self._encode(sentences, options, bool(show_progress_bar))

    def encode_query(
        self,
        sentences: TextInput | Iterable[TextInput],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = SENTENCE_EMBEDDING,
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Encode questions: `encode` with the model's prompt named ``query``, or with none if it has none."""
        return self.encode(
            sentences,
            *self._task_prompt(prompt_name, prompt, ("query",)),
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
        )

    def encode_document(
        self,
        sentences: TextInput | Iterable[TextInput],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = SENTENCE_EMBEDDING,
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """Encode documents: `encode` with a prompt of the model's, or with none if it has none.

        It is the first there is of those named ``document``, ``passage`` and ``corpus``.
        """
        return self.encode(
            sentences,
            *self._task_prompt(prompt_name, prompt, ("document", "passage", "corpus")),
            batch_size,
            show_progress_bar,
            output_value,
            precision,
            convert_to_numpy,
            convert_to_tensor,
            device,
            normalize_embeddings,
            truncate_dim,
        )

    def _encode(self, sentences: Any, options: EncodeOptions, shown: bool) -> Any:
        call = EncodeCall(self, options)
        if isinstance(sentences, np.ndarray):
            sentences = sentences.tolist()
        if isinstance(sentences, Iterator):
            options.check_stream()
            return _stream(call, sentences, shown)
        if isinstance(sentences, bytes) or not isinstance(sentences, Iterable):
            raise InputTypeError(f"encode needs a text or a list of texts, got a {type(sentences).__name__}.")
        single = isinstance(sentences, str | Mapping)
        texts = [sentences] if single else list(sentences)
        with track(shown, len(texts), "Encoding") as advance:
            found = call.all(texts, advance)
        return found[0] if single else found

    # Saving

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the model so that this library and `sentence-transformers` load it again.

        What was in the folder stays as it was until everything is written, so it may be the one that the
        model came from. Raises `InputError` for pooler output, which the format can't express, and
        `CheckpointError` if the folder can't be written.
        """
        settings = replace(self.settings, max_seq_length=self.max_seq_length)
        with staged(Path(folder)) as temporary:
            write_settings(temporary, settings, self.model.config.hidden_size, self.model.weights)
            self.model.save_pretrained(temporary, without=[module.prefix for module in settings.modules])
            self.tokenizer.save_pretrained(temporary)

    save = save_pretrained

    # Settings

    @property
    def pooling(self) -> Pooling:
        """How token vectors become one."""
        assert self.settings.pooling is not None  # chosen when opened
        return self.settings.pooling

    @property
    def prompts(self) -> dict[str, str]:
        """Texts to put before a sentence, by name."""
        return self.settings.prompts

    @prompts.setter
    def prompts(self, value: Mapping[str, str]) -> None:
        check_prompts(value)
        self.settings = replace(self.settings, prompts=dict(value))

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt that `encode` uses when it is given none."""
        return self.settings.default_prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, value: str | None) -> None:
        self.settings = replace(self.settings, default_prompt_name=value)

    @property
    def truncate_dim(self) -> int | None:
        """How many of each vector's numbers are kept, or ``None`` for all."""
        return self.settings.truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, value: int | None) -> None:
        settings = replace(self.settings, truncate_dim=value)
        check_truncation(value, self.width)
        self.settings = settings

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Keep only the first ``truncate_dim`` components of each vector, inside a ``with`` block."""
        before = self.truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = before

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Return whether a prompt's tokens are pooled; INSTRUCTOR models leave them out."""
        check_flags(include_prompt=include_prompt)
        pooling = replace(self.pooling, include_prompt=bool(include_prompt))
        self.settings = replace(self.settings, pooling=pooling)

    @property
    def similarity_fn_name(self) -> str:
        """The name of the function behind `similarity`."""
        return self.settings.similarity_fn_name or SimilarityFunction.COSINE.value

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: str | SimilarityFunction | None) -> None:
        name = None if value is None else SimilarityFunction(value).value
        self.settings = replace(self.settings, similarity_fn_name=name)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """Compare every vector with every other: ``[n, d]`` and ``[m, d]`` -> ``[n, m]``."""
        return SimilarityFunction.to_similarity_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """Compare row by row: two ``[n, d]`` -> ``[n]``."""
        return SimilarityFunction.to_similarity_pairwise_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    def _task_prompt(
        self, prompt_name: str | None, prompt: str | None, names: Sequence[str]
    ) -> tuple[str | None, str | None]:
        """Choose by name; the default prompt is for neither questions nor documents."""
        if prompt_name is not None or prompt is not None:
            return prompt_name, prompt
        found = next((name for name in names if name in self.prompts), None)
        return (None, "") if found is None else (found, None)

    def _prompt(self, prompt_name: str | None, prompt: str | None) -> str:
        if prompt is not None:
            if not isinstance(prompt, str):
                raise InputTypeError(f"prompt must be a text, got {prompt!r}.")
            if prompt_name is not None:
                raise InputError(f"Pass prompt or prompt_name, not both: got {prompt!r} and {prompt_name!r}.")
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        return "" if name is None else self.settings.prompt(name)


def _stream(call: EncodeCall, sentences: Iterator[Any], shown: bool) -> Iterator[Any]:
    with track(shown, None, "Encoding") as advance:
        yield from call.stream(sentences, advance)


def _check_published_width(name: str, truncate_dim: int | None, width: int) -> None:
    if truncate_dim is not None and truncate_dim > width:
        raise CheckpointError(
            f"'{name}': its files say truncate_dim {truncate_dim}, its vectors have {width} numbers."
        )


def _choose(
    settings: SentenceSettings,
    name: str,
    pooling: str | Sequence[str] | None,
    prompts: Mapping[str, str] | None,
    **chosen: Any,
) -> SentenceSettings:
    """Put what the caller said over what the checkpoint says."""
    if prompts is not None:
        check_prompts(prompts)
    if pooling is not None:
        include_prompt = settings.pooling is None or settings.pooling.include_prompt
        settings = replace(settings, pooling=replace(Pooling.of(pooling), include_prompt=include_prompt))
    elif settings.pooling is None:
        settings = replace(settings, pooling=Pooling())
        notify(
            f"'{name}' does not say how to pool; the mean is assumed; pooling=... chooses another.",
            AssumptionWarning,
        )
    said = {key: value for key, value in chosen.items() if value is not None}
    return replace(settings, prompts={**settings.prompts, **(prompts or {})}, **said)
