"""`IndexSettings`: JSON, defaults, and comparison with the settings that an index is opened with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from munjang.backends.registry import DTYPES
from munjang.errors import IndexMismatchError, InputError, InputTypeError, StoreError, UnknownModelError
from munjang.search.documents import TEXT
from munjang.search.text.analysis import analyzer_named
from munjang.sentence.settings import DOCUMENT_PROMPTS
from munjang.sentence.similarity import PROBE, same_probe
from munjang.validation import checked_choice, checked_count, checked_text, optional_count, shown_value

if TYPE_CHECKING:
    from munjang.sentence.transformer import SentenceTransformer

# Errors raised by decoding damaged values: invalid UTF-8, invalid JSON, JSON of another structure, numbers
# out of range. Values from a caller are checked before they reach a store.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, SystemError)

_TUPLES = ("fields", "embedded", "probe")
_NAMES = ("model", "revision")  # names of a model; its probe identifies it more reliably
_LARGEST = 2**31
_PASSAGE = 256  # default tokens of a passage, unless the model's limit is lower
_OVERLAP = 8  # the default overlap is 1/8 of a passage
_SIMILARITIES = ("cosine", "dot")
_RESERVED = ("id", "metadata")
_COMMIT = re.compile(r"[/\\]snapshots[/\\]([0-9a-f]{40})(?:[/\\]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """The settings that an index was made with; vectors and words of other settings are incompatible with it.

    Attributes:
        model: the name that the model was opened by.
        revision: the model's revision or version, or ``None``.
        dimension: of the vectors.
        pooling: pooling mode of the model, such as ``mean``.
        prompts: the prefix of a ``query`` and of a ``document``.
        normalize: whether the vectors have length 1.
        similarity: ``cosine`` or ``dot``.
        dtype: how the model computes, ``float32`` or ``int8``.
        max_seq_length: maximum number of tokens that the model reads of a passage.
        fields: the names of the documents' fields, in order.
        embedded: the fields that are embedded for semantic search.
        analyzer: name and version of the analyzer, such as ``hangul-bigrams/1``.
        chunk_tokens: maximum tokens of a passage.
        chunk_overlap: maximum tokens that a passage shares with the previous passage.
        probe: ``[d]``, the vector of a fixed text; it identifies the model whatever its name.
    """

    model: str
    revision: str | None
    dimension: int
    pooling: str
    prompts: Mapping[str, str]
    normalize: bool
    similarity: str
    max_seq_length: int
    fields: tuple[str, ...]
    embedded: tuple[str, ...]
    analyzer: str
    chunk_tokens: int
    chunk_overlap: int
    dtype: str = "float32"
    probe: tuple[float, ...] = field(repr=False)


def write_settings(settings: IndexSettings) -> str:
    """Return the settings as JSON."""
    return json.dumps(asdict(settings), ensure_ascii=False)


@lru_cache(maxsize=16)  # every search reads the settings
def read_settings(text: str) -> IndexSettings:
    """Return the settings from the JSON of `write_settings`; raise `StoreError` for anything else."""
    try:
        read: dict[str, Any] = json.loads(text)
        for name in _TUPLES:
            read[name] = tuple(read[name])
        settings = IndexSettings(**read)
        _check_settings(settings)
    except DAMAGE as error:
        raise StoreError(
            f"The settings of the index are damaged ({type(error).__name__}: {error!s:.200}); "
            "`munjang index export` saves its documents."
        ) from error
    return settings


def _check_settings(settings: IndexSettings) -> None:
    """Raise `ValueError` for settings of wrong types."""
    texts = (settings.model, settings.pooling, settings.similarity, settings.analyzer)
    names = (*settings.fields, *settings.embedded, *settings.prompts, *settings.prompts.values())
    numbers = (settings.dimension, settings.max_seq_length, settings.chunk_tokens, settings.chunk_overlap)
    valid = (
        all(isinstance(text, str) for text in (*texts, *names, settings.revision or ""))
        and all(type(number) is int and 0 <= number < _LARGEST for number in numbers)
        and settings.dimension > 0
        and settings.chunk_tokens > 0
        and type(settings.normalize) is bool
        and settings.similarity in ("cosine", "dot")
        and settings.dtype in DTYPES
        and {"query", "document"} <= {*settings.prompts}
        and all(isinstance(number, int | float) for number in settings.probe)
    )
    if not valid:
        raise ValueError("a value of a wrong type")


def difference(old: IndexSettings, new: IndexSettings) -> str | None:
    """Return the name and both values of the first setting that differs; ``None`` if they are compatible.

    A model may be opened by several names. So names are compared only when a probe is missing.
    """
    for name in (setting.name for setting in fields(IndexSettings)):
        before, now = getattr(old, name), getattr(new, name)
        if name == "probe":
            if not same_probe(before, now):
                return f"the model '{old.model}', now '{new.model}', which produces other vectors"
        elif before != now and not (name in _NAMES and old.probe and new.probe):
            return f"{name} {_shown(before)}, now {_shown(now)}"
    return None


def check_same_settings(stored: IndexSettings, requested: IndexSettings, location: str) -> None:
    """Raise `IndexMismatchError` with the first difference and the index's location, if settings differ."""
    if changed := difference(stored, requested):
        raise IndexMismatchError(
            f"The index '{location}' was made with {changed}. Open it with the settings that it was made "
            "with, or migrate it to other settings with `munjang index migrate`."
        )


def check_same_target(started: IndexSettings, target: IndexSettings) -> None:
    """Raise `IndexMismatchError` if a started migration has other target settings."""
    if changed := difference(started, target):
        raise IndexMismatchError(
            f"A migration to the model '{started.model}' was started, with {changed}. "
            "Finish it, or abandon it first."
        )


def migrated_error(stored: IndexSettings | None, location: str) -> IndexMismatchError:
    """Create the error for an index that was migrated to other settings since it was opened."""
    model = "nothing" if stored is None else f"the model '{stored.model}' and '{stored.analyzer}'"
    return IndexMismatchError(f"The index '{location}' was migrated to {model}; open it again.")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"'{value}'" if isinstance(value, str) else str(value)


def model_settings(
    model: SentenceTransformer, name: str, prompts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the settings of an index that depend on its model; ``prompts`` override the model's own prompts.

    Raises `InputError` for a model whose similarity is not cosine or dot product.
    """
    similarity = model.similarity_fn_name
    if similarity not in _SIMILARITIES:
        raise InputError(
            f"The model '{name}' compares vectors by {similarity}; an index needs cosine or dot."
        )
    defaults = {
        "query": model.settings.first_prompt("query"),
        "document": model.settings.first_prompt(*DOCUMENT_PROMPTS),
    }
    prompts = {**defaults, **_checked_prompts(prompts)}
    normalize = similarity == "cosine"
    vector = model.encode(PROBE, prompt=prompts["document"], normalize_embeddings=normalize)
    return {
        "model": _stored_name(name),
        "revision": _revision(name),
        "dimension": model.get_sentence_embedding_dimension(),
        "pooling": "+".join(model.pooling.modes),
        "prompts": prompts,
        "normalize": normalize,
        "similarity": similarity,
        "dtype": model.model.dtype,
        "max_seq_length": model.max_seq_length,
        "probe": tuple(round(float(value), 7) for value in vector),
    }


def _checked_prompts(prompts: Mapping[str, str] | None) -> dict[str, str]:
    """Return a caller's prompts, checked, which override the model's own prompts."""
    if prompts is None:
        return {}
    if not isinstance(prompts, Mapping):
        raise InputTypeError(
            f"prompts must be a mapping like {{'query': 'query: '}}, got {shown_value(prompts)}."
        )
    for name in prompts:
        if name not in ("query", "document"):
            raise InputError(
                f"prompts may have the keys 'query' and 'document' only, got {shown_value(name)}."
            )
    return {name: checked_text(text, f"The prompt '{name}'") for name, text in prompts.items()}


def _stored_name(name: str) -> str:
    """Return the absolute path of a folder, so that it is valid in any working directory."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _revision(name: str) -> str | None:
    match = _COMMIT.search(name)
    return match[1] if match else None


def chunk_settings(
    model: SentenceTransformer,
    prompt: str,
    tokens: int | None,
    overlap: int | None,
    recorded: IndexSettings | None = None,
) -> dict[str, Any]:
    """Return the tokens of a passage and of its overlap; the defaults are those of ``recorded`` settings.

    Without ``recorded``, a passage has 256 tokens and an eighth of it overlaps. By default passages are
    shortened to what the model can read after the ``prompt`` of documents, and the overlap in proportion.
    Raises `InputError` for longer passages and overlaps, and for a prompt that leaves no tokens.
    """
    tokens, overlap = optional_count("chunk_tokens", tokens), optional_count("chunk_overlap", overlap, 0)
    # One token less, because the end of the prompt and the start of the text may be tokenized together.
    most = model.max_seq_length - len(model.tokenizer.encode(prompt)) - 1
    if most < 1:
        raise InputError(
            f"The model can read {model.max_seq_length} tokens, and the prompt for documents leaves none of "
            f"them for a text: {shown_value(prompt)}."
        )
    if tokens is not None and tokens > most:
        raise InputError(
            f"chunk_tokens is {shown_value(tokens)}, but the model can read {most} tokens besides its prompt."
        )
    if tokens is None:
        tokens = min(recorded.chunk_tokens if recorded else _PASSAGE, most)
    if overlap is None and recorded:
        overlap = recorded.chunk_overlap * min(tokens, recorded.chunk_tokens) // recorded.chunk_tokens
    elif overlap is None:
        overlap = tokens // _OVERLAP
    if overlap >= tokens:
        raise InputError(
            f"chunk_overlap is {shown_value(overlap)}; it must be less than chunk_tokens, {tokens}."
        )
    return {"chunk_tokens": tokens, "chunk_overlap": overlap}


def _checked_fields(fields: object, embedded: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the checked names of the fields and of the fields to embed; ``embedded=None`` embeds all."""
    names = _names(fields, "fields")
    reserved = [name for name in names if name in _RESERVED]
    if not names or reserved:
        raise InputError(f"fields must have names other than {' and '.join(_RESERVED)}, got {list(names)}.")
    chosen = names if embedded is None else _names(embedded, "embedded")
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise InputError(f"embedded has '{unknown[0]}', which is not one of the fields {', '.join(names)}.")
    return names, tuple(name for name in names if name in chosen)


def _names(value: object, argument: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputTypeError(f"{argument} must be a list of names, got {shown_value(value)}.")
    names = tuple(checked_text(name, f"A name in {argument}") for name in value)
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise InputError(f"{argument} must be different, non-empty names, got {list(names)}.")
    return names


def open_model(
    settings: IndexSettings, *, offline: bool | None = None, threads: int | None = None
) -> SentenceTransformer:
    """Open the model that an index was made with, with the recorded settings.

    Raises `UnknownModelError` if the model is not found any more.
    """
    from munjang.sentence.transformer import SentenceTransformer

    modes = tuple(settings.pooling.split("+"))
    options: dict[str, Any] = {"prompts": settings.prompts, "similarity_fn_name": settings.similarity}
    try:
        model = SentenceTransformer(
            settings.model,
            pooling=modes if len(modes) > 1 else modes[0],
            revision=None if Path(settings.model).is_dir() else settings.revision,
            local_files_only=offline,
            threads=threads,
            dtype=settings.dtype,
            **options,
        )
    except UnknownModelError as error:
        error.add_note(
            "The index was made with this model; if it was moved, pass its new location as model=."
        )
        raise
    if settings.dimension < model.width:
        model.truncate_dim = settings.dimension
    model.max_seq_length = settings.max_seq_length
    return model


class IndexArguments(TypedDict, total=False):
    """Optional arguments of `Index.open` about an index's settings.

    An omitted argument keeps the recorded setting of an existing index. A new index has the default.

    Attributes:
        model: a name, a folder or an open model; a name is opened when the model is first needed. The
            default of a new index is multilingual-e5-small.
        fields: the names of the documents' text fields, such as ``["question", "answer"]``; by default a
            single field ``text``.
        embedded: the fields that are embedded for semantic search; by default all.
        analyzer: the analyzer that splits texts into words: ``"kiwi"`` or ``"hangul-bigrams"``; by default
            kiwi if the extra ``ko`` is installed.
        chunk_tokens: maximum tokens of a passage; by default 256.
        chunk_overlap: maximum tokens shared with the previous passage; by default an eighth of a passage.
        prompts: the prefix of a ``query`` and of a ``document``, instead of the model's own prompts.
        dtype: how a named model computes, ``float32`` or ``int8``.
        offline: open no connection to fetch a model.
    """

    model: str | os.PathLike[str] | SentenceTransformer | None
    fields: Sequence[str] | None
    embedded: Sequence[str] | None
    analyzer: str | None
    chunk_tokens: int | None
    chunk_overlap: int | None
    prompts: Mapping[str, str] | None
    dtype: str | None
    offline: bool | None


def opened_model(
    model: str | os.PathLike[str] | SentenceTransformer, offline: bool | None, dtype: str | None = None
) -> tuple[SentenceTransformer, str]:
    """Return a model and its name; a name or a folder is opened.

    Raises `InputError` for an open model of another ``dtype``.
    """
    from munjang.sentence.transformer import SentenceTransformer

    if isinstance(model, SentenceTransformer):
        if dtype not in (None, model.model.dtype):
            raise InputError(f"dtype is {shown_value(dtype)}, but the open model has {model.model.dtype}.")
        return model, model.tokenizer.name_or_path
    if not isinstance(model, str | os.PathLike):
        raise InputTypeError(
            f"model must be a name, a folder or a SentenceTransformer, got {shown_value(model)}."
        )
    name = os.fspath(model)
    return SentenceTransformer(name, local_files_only=offline, dtype=dtype or "float32"), name


def new_index(arguments: IndexArguments) -> tuple[SentenceTransformer, IndexSettings]:
    """Return the open model and the settings of a new index."""
    from munjang.checkpoints.catalogue import DEFAULT_MODEL

    given = _given(arguments)
    fields, embedded = _checked_fields(given.get("fields", (TEXT,)), given.get("embedded"))
    analyzer = analyzer_named(given.get("analyzer")).name
    model, name = opened_model(given.get("model", DEFAULT_MODEL), given.get("offline"), given.get("dtype"))
    of_model = model_settings(model, name, given.get("prompts"))
    lengths = chunk_settings(
        model, of_model["prompts"]["document"], given.get("chunk_tokens"), given.get("chunk_overlap")
    )
    settings = IndexSettings(fields=fields, embedded=embedded, analyzer=analyzer, **of_model, **lengths)
    return model, settings


def check_arguments(
    arguments: IndexArguments, recorded: IndexSettings, location: str
) -> SentenceTransformer | None:
    """Raise `IndexMismatchError` unless the recorded settings match; return the model if it is open.

    A model with the recorded name is not opened yet.
    """
    given = _given(arguments)
    requested: dict[str, Any] = {}
    if "fields" in given or "embedded" in given:
        fields, embedded = _checked_fields(given.get("fields", recorded.fields), given.get("embedded"))
        requested["fields"] = fields
        if "embedded" in given:
            requested["embedded"] = embedded
    if "analyzer" in given:
        requested["analyzer"] = analyzer_named(given["analyzer"]).name
    for name, least in (("chunk_tokens", 1), ("chunk_overlap", 0)):
        if name in given:
            requested[name] = checked_count(name, given[name], least)
    if "dtype" in given:
        requested["dtype"] = checked_choice("dtype", given["dtype"], DTYPES)
    if "prompts" in given:
        requested["prompts"] = {**recorded.prompts, **_checked_prompts(given["prompts"])}
    check_same_settings(recorded, replace(recorded, **requested), location)
    if given.get("model", recorded.model) == recorded.model:
        return None
    is_open = not isinstance(given["model"], str | os.PathLike)
    model, name = opened_model(
        given["model"], given.get("offline"), given.get("dtype") if is_open else recorded.dtype
    )
    check_model(recorded, model, name, location)
    return model


def _given(arguments: IndexArguments) -> dict[str, Any]:
    """Return the arguments that are not ``None``."""
    return {name: value for name, value in arguments.items() if value is not None}


def check_model(recorded: IndexSettings, model: SentenceTransformer, name: str, location: str) -> None:
    """Raise `IndexMismatchError` unless a model produces the same vectors as the index's model."""
    settings = replace(recorded, **model_settings(model, name, recorded.prompts))
    check_same_settings(recorded, settings, location)
