"""`SentenceTransformer`: sentences to vectors, with the interface of `sentence-transformers`."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.checkpoints import Checkpoint, OpenOptions, open_checkpoint
from munjang.checkpoints.saving import staged
from munjang.choices import Precision
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.models.batch import TokenBatch
from munjang.progress import Advance, track
from munjang.runtime.model import Model
from munjang.runtime.notices import (
    AssumptionWarning,
    OnTruncation,
    TruncationReport,
    notify,
)
from munjang.runtime.runner import Done, deduplicate
from munjang.sentence.encoding import (
    TOKENS_PER_TEXT,
    EncodeOptions,
    OutputValue,
    TextInput,
    check_truncation,
    checked_texts,
    chunks,
    refuse_surrogates_in,
    text_length,
)
from munjang.sentence.program import (
    POOLER,
    SENTENCE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    Pooling,
    SentenceProgram,
    model_outputs,
)
from munjang.sentence.settings import (
    DOCUMENT_PROMPTS,
    OpenEncoderArguments,
    SentenceSettings,
    check_prompts,
    module_weights,
    open_options,
    read_settings,
    write_settings,
)
from munjang.sentence.similarity import SimilarityFunction
from munjang.tokenization import BatchEncoding, TokenIds, Tokenizer
from munjang.tokenization.inputs import TextOrPair
from munjang.validation import check_device, check_flags, checked_count, same_signature, takes_keywords


class SentenceTransformer(OnTruncation):
    """A model that turns sentences into vectors.

    Example::

        model = munjang.SentenceTransformer("all-MiniLM-L6-v2")
        embeddings = model.encode(["A red cat.", "Have you seen my cat?"])  # [2, 384] float32
        model.similarity(embeddings, embeddings)  # [2, 2]

    Args:
        model_name_or_path: a folder, a catalogue name, or a hub repository.
        pooling: ``"mean"``, ``"cls"``, ``"max"``, ``"mean_sqrt_len_tokens"``, ``"weightedmean"``,
            ``"lasttoken"``, a tuple of these, or ``"pooler"``; by default as in the checkpoint's files.
        prompts: texts to put before a sentence, by name; added to the checkpoint's.
        default_prompt_name: the prompt that `encode` uses by default.
        similarity_fn_name: ``cosine``, ``dot``, ``euclidean`` or ``manhattan``.
        truncate_dim: the number of components that are kept of each vector.
        cache_folder: the folder for downloaded models.
        revision, token, local_files_only: for the hub, as in `huggingface_hub`.
        device: ``None`` or ``"cpu"``.
        backend: ``"openvino"``, ``"numpy"`` or ``"torch"``.
        threads, streams: see `munjang.backends.openvino.OpenVINOExecutor`.
        dtype: ``"float32"``, or ``"int8"``, which is faster and rounds (docs/performance.md).
        on_truncation: ``"warn"`` once per call with the count, ``"error"``, or ``"ignore"``.
        allow_pickle: read weights that are a pickle.

    Raises `UnknownModelError`, `FetchError`, `CheckpointError`, `UnsupportedModelError`, `InputError`.
    """

    @takes_keywords(OpenEncoderArguments, OpenOptions)
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        pooling: str | Sequence[str] | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | SimilarityFunction | None = None,
        truncate_dim: int | None = None,
        on_truncation: Literal["warn", "error", "ignore"] = "warn",
        **arguments: Unpack[OpenEncoderArguments],
    ) -> None:
        options = open_options(arguments)
        self.on_truncation = on_truncation
        from munjang.checkpoints.catalogue import DEFAULT_MODEL

        checkpoint = open_checkpoint(
            DEFAULT_MODEL if model_name_or_path is None else model_name_or_path, options
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
        self.model = Model.from_checkpoint(transformer, options=options)
        self.width = self._add_modules(checkpoint)
        _check_published_width(checkpoint.name, published.truncate_dim, self.width)
        check_truncation(self.settings.truncate_dim, self.width)
        self.max_seq_length = self.settings.max_seq_length or self.tokenizer.model_max_length

    def __repr__(self) -> str:
        """Return the name, the modules, the dimension and the maximum length."""
        kinds = [module.kind for module in self.settings.modules]
        encoder = f"Transformer({self.model.architecture.model_type})"
        modules = ", ".join([encoder, f"Pooling({'+'.join(self.pooling.modes)})", *kinds])
        return (
            f"SentenceTransformer({self.tokenizer.name_or_path!r}, modules=[{modules}], "
            f"dimension={self.get_sentence_embedding_dimension()}, max_seq_length={self.max_seq_length}, "
            f"similarity_fn_name={self.similarity_fn_name!r})"
        )

    def _add_modules(self, checkpoint: Checkpoint) -> int:
        """Add the tensors of the modules after pooling to the encoder's; return the width of the vectors."""
        model = self.model
        if self.pooling.modes == (POOLER,) and not model.has_pooler:
            raise InputError(f"'{checkpoint.name}' has no pooler; choose another pooling.")
        extra = module_weights(checkpoint, self.settings.modules)
        shapes = model.check(self.program(), extra)
        if extra:
            model.set_weights(ChainMap(extra, model.weights))  # type: ignore[arg-type] # read, never written
        return shapes[SENTENCE_EMBEDDING][-1]

    def program(self, *, tokens: bool = False) -> SentenceProgram:
        """Describe the computation of sentence vectors, and of token vectors if ``tokens``."""
        encoder = self.model.program(model_outputs(self.pooling))
        return SentenceProgram(encoder, self.pooling, self.settings.modules, tokens)

    def prompt_length(self, prompt: str) -> int:
        """Return the number of tokens of a prompt before a text, without the closing special token."""
        ids = self.tokenizer.encode(prompt)
        return len(ids) - (bool(ids) and ids[-1] in self.tokenizer.all_special_ids)

    @property
    def max_seq_length(self) -> int:
        """The longest text in tokens, special tokens included; longer texts are truncated and counted."""
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
            list(checked_texts([texts] if isinstance(texts, str | Mapping) else texts)),
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
        """Encode sentences to vectors.

        Args:
            sentences: one text -> ``[d]``; n of them in a list, a tuple or an array -> ``[n, d]``; an
                iterator -> an iterator of ``[d]`` that reads a chunk ahead, in bounded memory. In a list a
                tuple or list of two texts is a pair, which the model reads together, with token types;
                ``{"text": ...}`` stands for its value, also outside a list.
            prompt_name: the model's prompt to put before each text, and before the first text of a pair.
            prompt: a text to put before each text, instead of a ``prompt_name``.
            batch_size: about how many texts of 32 tokens go into one request; results do not depend on it.
            show_progress_bar: show a progress bar on standard error.
            output_value: ``"sentence_embedding"``; ``"token_embeddings"`` for one ``[L, H]`` per text;
                ``None`` for a dictionary per text with both, ``input_ids`` and ``attention_mask``.
            precision: ``float32``, ``int8``, ``uint8``, ``binary`` or ``ubinary``; ``int8`` and ``uint8``
                use each component's range in the vectors of this call, so they need at least two texts.
            convert_to_numpy: return one array (``False``: a list of tensors, as for ``convert_to_tensor``).
            convert_to_tensor: return a torch tensor, or without torch a numpy array with its methods.
            device: ``None`` or ``"cpu"``.
            normalize_embeddings: scale each vector to length 1.
            truncate_dim: the number of components to keep, instead of the model's `truncate_dim`;
                not for token vectors, like the normalisation.

        Issues one `TruncationWarning` with the number of truncated texts. Raises `InputTypeError` for values
        other than texts, `InputError` for a prompt that does not exist and invalid values, `TruncationError`
        if ``on_truncation`` is ``"error"``.
        """
        check_device(device)
        options = EncodeOptions(
            prompt=self.settings.prompt_text(prompt_name, prompt),
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

    @same_signature(encode)
    def encode_query(
        self,
        sentences: TextInput | Iterable[TextInput],
        prompt_name: str | None = None,
        prompt: str | None = None,
        *arguments: Any,
        **options: Any,
    ) -> Any:
        """Encode questions: `encode` with the model's prompt named ``query``, or without a prompt."""
        names = self._task_prompt(prompt_name, prompt, ("query",))
        return self.encode(sentences, *names, *arguments, **options)

    @same_signature(encode)
    def encode_document(
        self,
        sentences: TextInput | Iterable[TextInput],
        prompt_name: str | None = None,
        prompt: str | None = None,
        *arguments: Any,
        **options: Any,
    ) -> Any:
        """Encode documents: `encode` with a prompt of the model, or without a prompt.

        The prompt is the first that exists of ``document``, ``passage`` and ``corpus``.
        """
        names = self._task_prompt(prompt_name, prompt, DOCUMENT_PROMPTS)
        return self.encode(sentences, *names, *arguments, **options)

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
        if texts:
            options.check_ranges(len(texts))
        with track(shown, len(texts), "Encoding") as advance:
            results = call.all(texts, advance)
        return results[0] if single else results

    # Saving

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the model in a format that this library and `sentence-transformers` can load.

        The folder does not change until all files are written, so it may be the model's own folder. Raises
        `InputError` for pooler output, which the format can't express, and `CheckpointError` if the folder
        can't be written.
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
        """The pooling of token vectors to one vector."""
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
        """The prompt that `encode` uses by default."""
        return self.settings.default_prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, value: str | None) -> None:
        self.settings = replace(self.settings, default_prompt_name=value)

    @property
    def truncate_dim(self) -> int | None:
        """The number of components that are kept of each vector, or ``None`` for all."""
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
        """Set whether a prompt's tokens are pooled; INSTRUCTOR models exclude them."""
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
        """Return the caller's choice, or the first of the prompts; never the default prompt."""
        if prompt_name is not None or prompt is not None:
            return prompt_name, prompt
        return None, self.settings.first_prompt(*names)


class EncodeCall:
    """One call of `SentenceTransformer.encode`, or a series of calls whose truncated texts count together."""

    def __init__(self, encoder: SentenceTransformer, options: EncodeOptions) -> None:
        check_truncation(options.truncate_dim, encoder.width)
        self._encoder = encoder
        self._options = options
        self._budget = None if options.batch_size is None else options.batch_size * TOKENS_PER_TEXT
        self._truncation = TruncationReport(encoder.max_seq_length, encoder.on_truncation)
        excluded = bool(options.prompt) and not encoder.pooling.include_prompt
        self._prompt_length = encoder.prompt_length(options.prompt) if excluded else 0

    def all(self, texts: Iterable[Any], advance: Advance) -> Any:
        """Encode a list: ``[n, d]``, or a list of the requested values."""
        options = self._options
        listed = list(checked_texts(texts))
        if options.output_value != SENTENCE_EMBEDDING:
            features = [
                item for chunk in chunks(listed, text_length) for item in self._features(chunk, advance)
            ]
            self._truncation.warn()
            return [options.convert(item) for item in options.quantize(features)]
        vectors = np.empty((len(listed), self._encoder.width), dtype=np.float32)
        start = 0
        for chunk in chunks(listed, text_length):
            vectors[start : start + len(chunk)] = self._vectors(chunk, advance)
            start += len(chunk)
        self._truncation.warn()
        finished = options.quantize(options.finish(vectors))
        if not options.convert_to_numpy and not options.convert_to_tensor:
            return [options.convert(vector) for vector in finished]
        return options.convert(finished)

    def stream(self, texts: Iterable[Any], advance: Advance) -> Iterator[Any]:
        """Encode the texts of an iterator, a chunk at a time."""
        options = self._options
        for chunk in chunks(checked_texts(texts), text_length):
            if options.output_value != SENTENCE_EMBEDDING:
                yield from map(options.convert, options.quantize(self._features(chunk, advance)))
            else:
                vectors = options.finish(self._vectors(chunk, advance))
                yield from options.convert(options.quantize(vectors))
        self._truncation.warn()

    def _vectors(self, texts: list[TextOrPair], advance: Advance) -> NDArray[np.float32]:
        different, inverse = deduplicate(texts)
        ids = self._tokenize(different, texts)
        self._truncation.add(ids[index].truncated for index in inverse.tolist())
        vectors = self._encoder.model.runner.rows(
            self._encoder.program(),
            ids,
            (SENTENCE_EMBEDDING, self._encoder.width),
            token_budget=self._budget,
            edit=self._edit,
            advance=advance,
        )
        advance(len(texts) - len(different))
        return vectors[inverse]

    def _features(self, texts: list[TextOrPair], advance: Advance) -> list[Any]:
        """Encode texts to one ``[L, H]`` each, or to a dictionary of arrays."""
        ids = self._tokenize(texts, texts)
        self._truncation.add(text.truncated for text in ids)
        features: list[Any] = [None] * len(texts)
        program = self._encoder.program(tokens=True)
        runner = self._encoder.model.runner
        for done in runner.run(program, ids, token_budget=self._budget, edit=self._edit):
            for index, item in zip(done.indices, self._items(done, ids), strict=True):
                features[index] = item
            advance(len(done.indices))
        return features

    def _items(self, done: Done, ids: list[TokenIds]) -> Iterator[Any]:
        tokens = done.split(TOKEN_EMBEDDINGS)
        if self._options.output_value == TOKEN_EMBEDDINGS:
            yield from tokens
            return
        sentences = self._options.finish(done.outputs[SENTENCE_EMBEDDING])
        for index, its_tokens, sentence in zip(done.indices, tokens, sentences, strict=True):
            input_ids = np.array(ids[index].input_ids)
            yield {
                "input_ids": input_ids,
                "attention_mask": np.ones_like(input_ids),
                TOKEN_EMBEDDINGS: its_tokens,
                SENTENCE_EMBEDDING: sentence,
            }

    def _edit(self, batch: TokenBatch[NDArray[Any]], _: Sequence[int]) -> TokenBatch[NDArray[Any]]:
        return self._encoder.pooling.prepare(batch, self._prompt_length)

    def _tokenize(self, different: list[TextOrPair], texts: list[TextOrPair]) -> list[TokenIds]:
        """Tokenize the different texts of a chunk; ``texts`` are all, to find the index of an error."""
        encoder, prompt = self._encoder, self._options.prompt
        prompted = [_with_prompt(prompt, text) for text in different] if prompt else different
        try:
            return encoder.tokenizer.encode_ids(prompted, truncation=True, max_length=encoder.max_seq_length)
        except InputError:
            refuse_surrogates_in(texts, self._truncation.texts)
            raise


def _with_prompt(prompt: str, text: TextOrPair) -> TextOrPair:
    """Put a prompt before a text, or before the first text of a pair."""
    return prompt + text if isinstance(text, str) else (prompt + text[0], text[1])


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
    """Return the checkpoint's settings, overridden by the caller's."""
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
    overrides = {key: value for key, value in chosen.items() if value is not None}
    return replace(settings, prompts={**settings.prompts, **(prompts or {})}, **overrides)
