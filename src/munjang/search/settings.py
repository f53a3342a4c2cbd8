"""`IndexSettings`: JSON, defaults, and comparison with the settings that an index is opened with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from munjang.errors import IndexMismatchError, InputError, InputTypeError, StoreError, UnknownModelError
from munjang.search.documents import TEXT
from munjang.search.stores.base import DAMAGE, IndexSettings
from munjang.search.text.analysis import analyzer_named
from munjang.sentence.settings import DOCUMENT_PROMPTS
from munjang.sentence.similarity import PROBE, same_probe
from munjang.validation import checked_count, checked_text, shown_value

if TYPE_CHECKING:
    from munjang.sentence.transformer import SentenceTransformer

__all__ = [
    "Wanted",
    "check_fields",
    "check_model",
    "check_same_settings",
    "checked_prompts",
    "choose_chunks",
    "describe",
    "difference",
    "open_recorded",
    "read_settings",
    "room",
    "write_settings",
]

_TUPLES = ("fields", "embedded", "probe")
_NAMES = ("model", "revision")  # names of a model; its probe identifies it more reliably
_LARGEST = 2**31


def write_settings(settings: IndexSettings) -> str:
    """Return the settings as JSON."""
    return json.dumps(asdict(settings), ensure_ascii=False)


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
    right = (
        all(isinstance(one, str) for one in (*texts, *names, settings.revision or ""))
        and all(type(one) is int and 0 <= one < _LARGEST for one in numbers)
        and settings.dimension > 0
        and type(settings.normalize) is bool
        and settings.similarity in ("cosine", "dot")
        and {"query", "document"} <= {*settings.prompts}
        and all(isinstance(one, int | float) for one in settings.probe)
    )
    if not right:
        raise ValueError("a value of another type")


def difference(old: IndexSettings, new: IndexSettings) -> str | None:
    """Return the name and both values of the first setting that differs; ``None`` if they are compatible.

    A model may be opened by several names. So names are compared only when a probe is missing.
    """
    for name in (one.name for one in fields(IndexSettings)):
        before, now = getattr(old, name), getattr(new, name)
        if name == "probe":
            if not same_probe(before, now):
                return f"the model '{old.model}', now '{new.model}', which gives other vectors"
        elif before != now and not (name in _NAMES and old.probe and new.probe):
            return f"{name} {_shown(before)}, now {_shown(now)}"
    return None


def check_same_settings(stored: IndexSettings, wanted: IndexSettings, place: str) -> None:
    """Raise `IndexMismatchError` with the first difference and the index's location, if settings differ."""
    found = difference(stored, wanted)
    if found is not None:
        raise IndexMismatchError(
            f"The index '{place}' was made with {found}. Open it as it was made, "
            "or move it to other settings with `munjang index migrate`."
        )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"'{value}'" if isinstance(value, str) else str(value)


_PASSAGE = 256  # default tokens of a passage, unless the model's limit is lower
_OVERLAP = 8  # the default overlap is 1/8 of a passage
_SIMILARITIES = ("cosine", "dot")
_RESERVED = ("id", "metadata")
_COMMIT = re.compile(r"[/\\]snapshots[/\\]([0-9a-f]{40})(?:[/\\]|$)")


def describe(
    model: SentenceTransformer,
    name: str,
    *,
    fields: tuple[str, ...],
    embedded: tuple[str, ...],
    analyzer: str,
    chunk_tokens: int | None,
    chunk_overlap: int | None,
    revision: str | None = None,
    prompts: Mapping[str, str] | None = None,
) -> IndexSettings:
    """Return the settings that determine an index's vectors and words.

    Raises `InputError` for passages longer than the model's maximum length, and for a model whose similarity
    is not cosine or dot product.
    """
    similarity = model.similarity_fn_name
    if similarity not in _SIMILARITIES:
        raise InputError(
            f"The model '{name}' compares vectors by {similarity}; an index needs cosine or dot."
        )
    own = {
        "query": model.settings.first_prompt("query"),
        "document": model.settings.first_prompt(*DOCUMENT_PROMPTS),
    }
    prompts = {**own, **checked_prompts(prompts)}
    tokens, overlap = choose_chunks(model, chunk_tokens, chunk_overlap)
    settings = IndexSettings(
        model=_stored_name(name),
        revision=revision or _revision(name),
        dimension=model.get_sentence_embedding_dimension(),
        pooling="+".join(model.pooling.modes),
        prompts=prompts,
        normalize=similarity == "cosine",
        similarity=similarity,
        max_seq_length=model.max_seq_length,
        fields=fields,
        embedded=embedded,
        analyzer=analyzer,
        chunk_tokens=tokens,
        chunk_overlap=overlap,
        probe=(),
    )
    vector = model.encode(PROBE, prompt=prompts["document"], normalize_embeddings=settings.normalize)
    return replace(settings, probe=tuple(round(float(value), 7) for value in vector))


def checked_prompts(prompts: Mapping[str, str] | None) -> dict[str, str]:
    """Return a caller's prompts, checked, which override the model's own prompts."""
    if prompts is None:
        return {}
    if not isinstance(prompts, Mapping):
        raise InputTypeError(
            f"prompts must be a mapping like {{'query': 'query: '}}, got {shown_value(prompts)}."
        )
    for name in prompts:
        if name not in ("query", "document"):
            raise InputError(f"prompts are those of a query and of a document, got {shown_value(name)}.")
    return {name: checked_text(text, f"The prompt '{name}'") for name, text in prompts.items()}


def _stored_name(name: str) -> str:
    """Return the absolute path of a folder, so that it is valid in any working directory."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _revision(name: str) -> str | None:
    found = _COMMIT.search(name)
    return found[1] if found else None


def room(model: SentenceTransformer) -> int:
    """Return how many tokens of a text the model can read besides the prompt and the special tokens."""
    prompt = model.settings.first_prompt(*DOCUMENT_PROMPTS)
    return model.max_seq_length - len(model.tokenizer.encode(prompt)) - 1  # a prompt's end may join the text


def choose_chunks(model: SentenceTransformer, tokens: int | None, overlap: int | None) -> tuple[int, int]:
    """Return the tokens of a passage and of its overlap; `InputError` if they exceed the model's limit."""
    most = room(model)
    tokens = None if tokens is None else checked_count("chunk_tokens", tokens, 1)
    overlap = None if overlap is None else checked_count("chunk_overlap", overlap, 0)
    if tokens is not None and tokens > most:
        raise InputError(
            f"chunk_tokens is {shown_value(tokens)}, but the model reads {most} tokens beside its prompt."
        )
    tokens = max(1, min(_PASSAGE, most)) if tokens is None else tokens
    overlap = tokens // _OVERLAP if overlap is None else overlap
    if overlap >= tokens:
        raise InputError(
            f"chunk_overlap is {shown_value(overlap)}; it must be less than chunk_tokens, {tokens}."
        )
    return tokens, overlap


def check_fields(fields: object, embedded: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the checked names of the fields and of the fields to embed; ``embedded=None`` embeds all."""
    names = _names(fields, "fields")
    reserved = [name for name in names if name in _RESERVED]
    if not names or reserved:
        raise InputError(f"fields needs names other than {' and '.join(_RESERVED)}, got {list(names)}.")
    chosen = names if embedded is None else _names(embedded, "embedded")
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise InputError(f"embedded names '{unknown[0]}', which is not one of the fields {', '.join(names)}.")
    return names, tuple(name for name in names if name in chosen)


def _names(given: object, what: str) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InputTypeError(f"{what} must be a list of names, got {shown_value(given)}.")
    names = tuple(checked_text(name, f"A name in {what}") for name in given)
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise InputError(f"{what} must be different names, none empty, got {list(names)}.")
    return names


def open_recorded(
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
            **options,
        )
    except UnknownModelError as error:
        error.add_note("The index was made with it; if it lies elsewhere now, say where with model=.")
        raise
    if settings.dimension < model.width:
        model.truncate_dim = settings.dimension
    model.max_seq_length = settings.max_seq_length
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Requested settings of an index; ``None`` keeps the recorded setting, or the default of a new index."""

    model: str | os.PathLike[str] | SentenceTransformer | None = None
    fields: Sequence[str] | None = None
    embedded: Sequence[str] | None = None
    analyzer: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    prompts: Mapping[str, str] | None = None
    offline: bool | None = None

    def opened(self, default: str) -> tuple[SentenceTransformer, str]:
        """Return the opened model and its name."""
        from munjang.sentence.transformer import SentenceTransformer

        if isinstance(self.model, SentenceTransformer):
            return self.model, self.model.tokenizer.name_or_path
        name = default if self.model is None else self._name(self.model)
        return SentenceTransformer(name, local_files_only=self.offline), name

    def begin(self) -> tuple[SentenceTransformer, IndexSettings]:
        """Return the opened model and the settings of a new index."""
        from munjang.checkpoints.catalogue import DEFAULT_MODEL

        fields, embedded = check_fields((TEXT,) if self.fields is None else self.fields, self.embedded)
        analyzer = analyzer_named(self.analyzer).name
        model, name = self.opened(DEFAULT_MODEL)
        settings = describe(
            model,
            name,
            fields=fields,
            embedded=embedded,
            analyzer=analyzer,
            chunk_tokens=self.chunk_tokens,
            chunk_overlap=self.chunk_overlap,
            prompts=self.prompts,
        )
        return model, settings

    def check(self, recorded: IndexSettings, place: str) -> SentenceTransformer | None:
        """Raise `IndexMismatchError` unless the recorded settings match; return the model if it was opened.

        A model with the recorded name is not opened yet.
        """
        said: dict[str, object] = {}
        if self.fields is not None or self.embedded is not None:
            fields = recorded.fields if self.fields is None else self.fields
            said["fields"], embedded = check_fields(fields, self.embedded)
            if self.embedded is not None:
                said["embedded"] = embedded
        if self.analyzer is not None:
            said["analyzer"] = analyzer_named(self.analyzer).name
        for name, least in (("chunk_tokens", 1), ("chunk_overlap", 0)):
            if (value := getattr(self, name)) is not None:
                said[name] = checked_count(name, value, least)
        if self.prompts is not None:
            said["prompts"] = {**recorded.prompts, **checked_prompts(self.prompts)}
        check_same_settings(recorded, replace(recorded, **said), place)  # type: ignore[arg-type]
        if self.model is None or self.model == recorded.model:
            return None
        model, name = self.opened(recorded.model)
        check_model(recorded, model, name, place)
        return model

    @staticmethod
    def _name(model: object) -> str:
        if not isinstance(model, str | os.PathLike):
            raise InputTypeError(
                f"model must be a name, a folder or a SentenceTransformer, got {shown_value(model)}."
            )
        return os.fspath(model)


def check_model(recorded: IndexSettings, model: SentenceTransformer, name: str, place: str) -> None:
    """Raise `IndexMismatchError` unless a model produces the same vectors as the index's model."""
    found = describe(
        model,
        name,
        fields=recorded.fields,
        embedded=recorded.embedded,
        analyzer=recorded.analyzer,
        chunk_tokens=None,
        chunk_overlap=None,
        prompts=recorded.prompts,
    )
    same = {"chunk_tokens": recorded.chunk_tokens, "chunk_overlap": recorded.chunk_overlap}
    check_same_settings(recorded, replace(found, **same), place)  # type: ignore[arg-type]
