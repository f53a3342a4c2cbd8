"""Added tokens outside the base vocabulary: registers a checkpoint's added tokens with the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from munjang.errors import CheckpointError
from munjang.tokenization.config_keys import checked_added_tokens
from munjang.tokenization.special_tokens import (
    NAMES,
    ROBERTA,
    Family,
    extra_tokens,
    token_text,
    written_extra_tokens,
)

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as LibraryTokenizer

    from munjang.tokenization.sources import Sources

__all__ = ["added_tokens_decoder", "register"]

_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")


def register(backend: LibraryTokenizer, sources: Sources, *, family: Family, special: dict[str, str]) -> None:
    """Register every added and special token, so that it is never split, with its id from the files.

    Raises:
        CheckpointError: a token is not in the vocabulary and its new id would differ from the files' id.

    """
    numbered = _numbered_tokens(sources, special)
    _add(backend, [token for _, token in sorted(numbered.items())])
    for index, token in numbered.items():
        if (actual := backend.token_to_id(token.content)) != index:
            raise CheckpointError(
                f"Added token {token.content!r} of {sources.files.name!r} should have id {index} but gets "
                f"{actual}; its added tokens do not fit its vocabulary."
            )
    spelled = _spelled_out(sources)
    unnamed = [token for token in extra_tokens(sources.token_sources) if token not in special.values()]
    _add(backend, [_special_token(text, spelled, family, special) for text in (*special.values(), *unnamed)])


def _add(backend: LibraryTokenizer, tokens: list[AddedToken]) -> None:
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    for token in tokens:
        if token.content not in known:
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])


def _numbered_tokens(sources: Sources, special: dict[str, str]) -> dict[int, AddedToken]:
    """Return id -> token from the config's `added_tokens_decoder` or the older file ``added_tokens.json``."""
    if decoder := sources.config.get("added_tokens_decoder"):
        return {int(index): _token(token_text(token), token) for index, token in decoder.items()}
    if not sources.files.has("added_tokens.json"):
        return {}
    names = {*special.values(), *extra_tokens(sources.token_sources)}
    path = sources.files.path / "added_tokens.json"
    older = checked_added_tokens(path, sources.files.read_json(path.name))
    return {i: _token(text, {"special": text in names}) for text, i in older.items()}


def _token(text: str, flags: dict[str, Any]) -> AddedToken:
    from tokenizers import AddedToken

    special = bool(flags.get("special", False))
    known = {flag: bool(flags[flag]) for flag in _FLAGS if flag in flags}
    return AddedToken(text, special=special, **{"normalized": not special, **known})


def _spelled_out(sources: Sources) -> dict[str, dict[str, Any]]:
    """Return text -> object for the special tokens that are objects with flags in the files."""
    tokens = [source[name] for source in sources.token_sources for name in NAMES if name in source]
    tokens += written_extra_tokens(sources.token_sources)
    return {token_text(token): token for token in tokens if isinstance(token, dict)}


def _special_token(
    text: str, spelled: dict[str, dict[str, Any]], family: Family, special: dict[str, str]
) -> AddedToken:
    # RoBERTa was trained with a mask token that includes the space before it (lstrip).
    takes_space = family is ROBERTA and text == special.get("mask_token")
    return _token(text, {"lstrip": takes_space, **spelled.get(text, {}), "special": True})


def added_tokens_decoder(backend: LibraryTokenizer) -> dict[str, dict[str, Any]]:
    """Return id (as a JSON key) -> text and flags for every token that the library never splits."""
    tokens = sorted(backend.get_added_tokens_decoder().items())
    return {
        str(index): {
            "content": token.content,
            **{flag: getattr(token, flag) for flag in _FLAGS},
            "special": token.special,
        }
        for index, token in tokens
    }
