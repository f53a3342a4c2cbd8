"""Markers around the two entities of a relation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from munjang.choices import MarkerKind
from munjang.data.examples import Span
from munjang.data.readers.relations import KLUE_RE_OBJECT_TYPES, KLUE_RE_SUBJECT_TYPES
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.models.heads import RELATION_MARKERS
from munjang.tasks.loading import Loaded

_KINDS: tuple[MarkerKind, ...] = get_args(MarkerKind)
_FIXED = {
    "plain": (("[E1]", "[/E1]"), ("[E2]", "[/E2]")),
    "klue": (("<subj>", "</subj>"), ("<obj>", "</obj>")),
}
_TYPED = re.compile(r"\[([SO]):(.+)\]")


@dataclass(frozen=True, slots=True)
class Markers:
    """The markers of a model; ``types`` are the types of subjects (S) and of objects (O), if any."""

    kind: MarkerKind
    types: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Marked:
    """A text with markers, and the markers: around the subject, then around the object."""

    text: str
    markers: tuple[str, ...]


def markers_of(loaded: Loaded, chosen: str | None = None) -> Markers:
    """Find the markers that a model was trained with.

    Their kind is the caller's, else the config's ``relation_markers``, else the kind whose tokens the
    tokenizer has. Raises `InputError` for an unknown kind, `CheckpointError` if the tokenizer lacks the
    tokens.
    """
    vocabulary = loaded.tokenizer.get_vocab()
    types = _types(vocabulary)
    have = [kind for kind in _KINDS if (all(types.values()) if kind == "typed" else _has(vocabulary, kind))]
    named = chosen or loaded.model.raw_config.get(RELATION_MARKERS)
    if named is not None and named not in _KINDS:
        raise InputError(f"Unknown kind of markers {named!r}; there are {', '.join(_KINDS)}.")
    for kind in have:
        if named in (None, kind):
            return Markers(kind, types)
    raise CheckpointError(
        f"The model's tokenizer has no {named or 'such'} markers for entities as [E1], [S:PER] or <subj>; it "
        f"has {', '.join(have) or 'none'}. Choose a model that was trained for relation extraction, or train "
        "one."
    )


def mark(text: str, subject: Span, object: Span, known: Markers) -> Marked:  # noqa: A002
    """Return a text with markers around two spans; the rest is unchanged.

    Raises `InputTypeError` or `InputError` for spans outside the text or overlapping, for a type
    that is missing or unknown to the model, and for a text that already contains a marker.
    """
    spans = [_checked(subject, "subject", text), _checked(object, "object", text)]
    if max(span[0] for span in spans) < min(span[1] for span in spans):
        raise InputError(f"The subject {spans[0]} and the object {spans[1]} overlap; mark two entities.")
    pairs = [_pair(span, role, known) for span, role in zip((subject, object), "SO", strict=True)]
    markers = tuple(marker for pair in pairs for marker in pair)
    for marker in markers:
        if marker in text:
            raise InputError(f"The text holds the marker {marker} already; take it out.")
    for (start, end), (before, after) in sorted(zip(spans, pairs, strict=True), reverse=True):
        text = f"{text[:start]}{before}{text[start:end]}{after}{text[end:]}"
    return Marked(text, markers)


def add_markers(
    loaded: Loaded,
    kind: MarkerKind = "plain",
    *,
    subject_types: Sequence[str] = KLUE_RE_SUBJECT_TYPES,
    object_types: Sequence[str] = KLUE_RE_OBJECT_TYPES,
) -> list[str]:
    """Add the markers to a model and its tokenizer, for training; return the markers.

    The new rows of the embeddings are initialised with the mean of the markers' former pieces. The types
    are used for ``"typed"`` markers only. Raises `InputError` for an unknown kind.
    """
    if kind not in _KINDS:
        raise InputError(f"Unknown kind of markers {kind!r}; there are {', '.join(_KINDS)}.")
    if kind == "typed":
        typed = [("S", name) for name in subject_types] + [("O", name) for name in object_types]
        tokens = [token for role, name in typed for token in (f"[{role}:{name}]", f"[/{role}:{name}]")]
    else:
        tokens = [token for pair in _FIXED[kind] for token in pair]
    tokenizer, model = loaded.tokenizer, loaded.model
    former = tokenizer.additional_special_tokens
    tokenizer.add_special_tokens({"additional_special_tokens": list(dict.fromkeys([*former, *tokens]))})
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), tokenizer.added_pieces)
    model.raw_config[RELATION_MARKERS] = kind
    return tokens


def _has(vocabulary: Mapping[str, int], kind: str) -> bool:
    return all(token in vocabulary for pair in _FIXED[kind] for token in pair)


def _types(vocabulary: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the types in ``[S:...]`` and ``[O:...]``, in the order of the ids."""
    types: dict[str, list[str]] = {"S": [], "O": []}
    typed = sorted((index, match) for token, index in vocabulary.items() if (match := _typed(token)))
    for _, (role, name) in typed:
        types[role].append(name)
    return types


def _typed(token: str) -> tuple[str, str] | None:
    match = _TYPED.fullmatch(token)
    return None if match is None else (match[1], match[2])


def _pair(span: Span, role: str, markers: Markers) -> tuple[str, str]:
    if markers.kind != "typed":
        return _FIXED[markers.kind]["SO".index(role)]
    known = markers.types[role]
    name = {"S": "subject", "O": "object"}[role]
    if len(span) < 3:
        raise InputError(f"The model's markers need the type of the {name}: one of {', '.join(known)}.")
    kind = str(span[2:][0])
    if kind not in known:
        raise InputError(f"The model has no {name} of type {kind!r}; there are {', '.join(known)}.")
    return f"[{role}:{kind}]", f"[/{role}:{kind}]"


def _checked(span: object, name: str, text: str) -> tuple[int, int]:
    if not isinstance(span, tuple | list) or len(span) not in (2, 3):
        raise InputTypeError(f"The {name} must be (start, end) or (start, end, type), got {span!r:.60}.")
    start, end = span[0], span[1]
    for offset in (start, end):
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise InputTypeError(f"The {name}'s places must be whole numbers, got {offset!r}.")
    if not 0 <= start < end <= len(text):
        raise InputError(
            f"The {name} ({start}, {end}) is no part of the text of {len(text)} characters; "
            "its start must be at least 0 and less than its end."
        )
    if not text[start:end].strip():
        raise InputError(f"The {name} ({start}, {end}) holds nothing but spaces.")
    return start, end
