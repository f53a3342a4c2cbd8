"""What an index writes down of a model, and the model opened again from that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from munjang.errors import InputError, InputTypeError, UnknownModelError
from munjang.search.checking import checked_count, checked_text, shown_value
from munjang.search.store import IndexSettings

if TYPE_CHECKING:
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["check_fields", "checked_prompts", "choose_chunks", "describe", "open_recorded", "room"]

_PROBE = "문장 하나, and a sentence."
_PASSAGE = 256  # tokens of a passage, unless a caller or the model says fewer
_OVERLAP = 8  # one part in so many of a passage repeats the one before
_SIMILARITIES = ("cosine", "dot")
_DOCUMENT = ("document", "passage", "corpus")  # the prompts for what is searched
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
    """Write down all that decides about an index's vectors and words.

    Raises `InputError` for passages longer than the model reads, and for a model whose vectors are not
    compared by cosine or dot product.
    """
    similarity = model.similarity_fn_name
    if similarity not in _SIMILARITIES:
        raise InputError(
            f"The model '{name}' compares vectors by {similarity}; an index needs cosine or dot."
        )
    own = {"query": _prompt(model, "query"), "document": _prompt(model, *_DOCUMENT)}
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
    vector = model.encode(_PROBE, prompt=prompts["document"], normalize_embeddings=settings.normalize)
    return replace(settings, probe=tuple(round(float(value), 7) for value in vector))


def _prompt(model: SentenceTransformer, *names: str) -> str:
    return next((model.prompts[name] for name in names if name in model.prompts), "")


def checked_prompts(prompts: Mapping[str, str] | None) -> dict[str, str]:
    """Return what a caller wants in place of the model's own prompts."""
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
    """Make a folder's name hold from everywhere."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _revision(name: str) -> str | None:
    found = _COMMIT.search(name)
    return found[1] if found else None


def room(model: SentenceTransformer) -> int:
    """Give how many tokens of a text the model reads beside its prompt and the special tokens."""
    prompt = _prompt(model, *_DOCUMENT)
    return model.max_seq_length - len(model.tokenizer.encode(prompt)) - 1  # a prompt's end may join the text


def choose_chunks(model: SentenceTransformer, tokens: int | None, overlap: int | None) -> tuple[int, int]:
    """Give the tokens of a passage and of its overlap; `InputError` for what the model can't read."""
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
    """Read the names of fields, and of those to embed; ``None`` for all."""
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
    """Open the model that an index was made with, used as it was then.

    Raises `UnknownModelError` if it is not there any more.
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
