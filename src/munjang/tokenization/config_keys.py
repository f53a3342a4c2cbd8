"""The keys of ``tokenizer_config.json`` and related files: obeyed, refused or ignored.

- **Obeyed** are the keys of `_OBEYED` and every other key that ends in ``_token`` and has a token as its
  value (a special token with a model-specific name). A value of another type is an error that names the
  file and the key; null counts as absent.
- **Refused**, unless there is a tokenizer.json, are the keys of `_REFUSED` with another value: they would
  change the tokens and are not implemented.
- **Ignored** are all others. `transformers` writes these without an effect on tokens: ``auto_map, backend,
  chat_template, errors, files_loaded, is_local, keep_accents, legacy, max_length, merges_file, name_or_path,
  pad_to_multiple_of, pad_token_type_id, processor_class, remove_space, slow_tokenizer_class,
  sp_model_kwargs, special_tokens_map_file, stride, tokenizer_file, truncation_strategy, use_fast, verbose,
  vocab_file``.

With a tokenizer.json, ``add_bos_token`` and ``add_eos_token`` repeat its template and are ignored, as in
`transformers`; without it only the GPT-2 family supports them, because other templates are fixed.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from munjang.errors import CheckpointError
from munjang.tokenization.special_tokens import EXTRA_KEYS, NAMES, is_text, is_token

if TYPE_CHECKING:
    from pathlib import Path


class _Kind(NamedTuple):
    wanted: str
    fits: Callable[[Any], bool]


def _are_tokens(value: object) -> bool:
    return isinstance(value, (list, dict)) and all(
        map(is_token, value.values() if isinstance(value, dict) else value)
    )


def _are_numbered_tokens(value: object) -> bool:
    return isinstance(value, dict) and all(
        _is_id(key) and isinstance(token, dict) and is_token(token) for key, token in value.items()
    )


def _is_id(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) <= _ID_DIGITS


_ID_DIGITS = 9  # an id of this length fits into 32 bits
_FLAG = _Kind("true or false", lambda value: isinstance(value, bool))
_TEXT = _Kind("a string", is_text)
_SIDE = _Kind("'left' or 'right'", lambda value: value in ("left", "right"))
_LENGTH = _Kind(
    "a number of at least 1",
    lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1,
)
_ROWS = _Kind("a list of strings", lambda value: isinstance(value, list) and all(map(is_text, value)))
_TOKEN = _Kind(
    "a token: a string, or an object with a string as 'content' and true or false as flags", is_token
)
_TOKENS = _Kind("a list or an object of tokens", _are_tokens)
_NUMBERED = _Kind("an object with ids as keys and token objects as values", _are_numbered_tokens)
_ID = _Kind(
    "an id",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_ID_DIGITS,
)

_OBEYED: dict[str, _Kind] = {
    **dict.fromkeys(NAMES, _TOKEN),
    **dict.fromkeys(EXTRA_KEYS, _TOKENS),
    "add_bos_token": _FLAG,
    "add_eos_token": _FLAG,
    "add_prefix_space": _FLAG,
    "added_tokens_decoder": _NUMBERED,
    "clean_up_tokenization_spaces": _FLAG,
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": _FLAG,
    "do_lower_case": _FLAG,
    "max_len": _LENGTH,
    "model_input_names": _ROWS,
    "model_max_length": _LENGTH,
    "padding_side": _SIDE,
    "split_special_tokens": _FLAG,
    "strip_accents": _FLAG,
    "tokenize_chinese_chars": _FLAG,
    "tokenizer_class": _TEXT,
    "trim_offsets": _FLAG,
    "truncation_side": _SIDE,
}

_REFUSED: dict[str, Any] = {
    "clean_text": True,
    "do_basic_tokenize": True,
    "init_inputs": [],
    "merges": [],
    "never_split": [],
    "vocab": [],
    "wordpieces_prefix": "##",
}
"""Key -> the value that asks for what is done anyway."""


def checked_config(path: Path, config: dict[str, Any], *, vocabulary_only: bool) -> dict[str, Any]:
    """Return a ``tokenizer_config.json`` with checked types, without null values.

    A special token that is null is kept: the tokeniser then has no token of that name. A tokenizer.json
    defines what the refused keys control; they are checked only without it (``vocabulary_only``).

    Raises:
        CheckpointError: a value has the wrong type, or requests behaviour that is not implemented.

    """
    present = checked_special_tokens(path, config)
    for key, value in present.items():
        if vocabulary_only and key in _REFUSED and value != _REFUSED[key]:
            raise CheckpointError(
                f"'{path}' asks for {key}={reprlib.repr(value)}, which is not supported for a vocabulary "
                "without a tokenizer.json; save the tokeniser as tokenizer.json, or remove the key."
            )
    return present


def checked_special_tokens(path: Path, tokens: dict[str, Any]) -> dict[str, Any]:
    """Return a ``special_tokens_map.json`` with checked types; raise CheckpointError for a wrong type."""
    present = {key: value for key, value in tokens.items() if value is not None or key in NAMES}
    for key, value in present.items():
        if value is not None and key in _OBEYED:
            _check(path, key, value, _OBEYED[key])
    return present


def checked_added_tokens(path: Path, tokens: dict[str, Any]) -> dict[str, int]:
    """Return an ``added_tokens.json`` after a check that every value is an id; else raise CheckpointError."""
    for token, index in tokens.items():
        if not is_text(token):
            raise CheckpointError(f"'{path}' has a token with a lone surrogate, {token!a}; correct the file.")
        _check(path, token, index, _ID)
    return tokens


def _check(path: Path, key: str, value: object, kind: _Kind) -> None:
    if not kind.fits(value):
        raise CheckpointError(
            f"'{path}' has {key} {reprlib.repr(value)}, which is not {kind.wanted}; correct the file."
        )
