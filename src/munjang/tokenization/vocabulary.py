"""The vocabulary side of a tokeniser: tokens and ids, special tokens by name, tokens added later."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from munjang.errors import InputError, InputTypeError
from munjang.tokenization.files import Settings, save
from munjang.tokenization.korean import nfc
from munjang.tokenization.limits import library_errors
from munjang.tokenization.special_tokens import EXTRA_KEYS, NAMES
from munjang.tokenization.texts import raise_for_surrogate

if TYPE_CHECKING:
    import os

    from tokenizers import Tokenizer as LibraryTokenizer

__all__ = ["Vocabulary"]


class SpecialToken:
    """An attribute such as ``cls_token``: the text of a special token, or None if there is none."""

    def __set_name__(self, owner: type[Vocabulary], name: str) -> None:
        self.name = name

    def __get__(self, instance: Vocabulary, owner: type[Vocabulary]) -> str | None:
        return instance.special_tokens_map.get(self.name)

    def __set__(self, instance: Vocabulary, token: str | None) -> None:
        instance.set_special_token(self.name, token)


class SpecialTokenId:
    """An attribute such as ``cls_token_id``: the id of a special token, or None if there is none."""

    def __set_name__(self, owner: type[Vocabulary], name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, instance: Vocabulary, owner: type[Vocabulary]) -> int | None:
        token = instance.special_tokens_map.get(self.name)
        return None if token is None else instance.convert_tokens_to_ids(token)


class Vocabulary:
    """Tokens and their ids; special tokens under the names of `transformers`."""

    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()
    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()

    def __init__(self, backend: LibraryTokenizer, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings
        self.added_pieces: dict[int, list[int]] = {}
        """For each token added to this object: its id -> the ids of the pieces that it used to be."""

    def __len__(self) -> int:
        """Return the number of tokens, added ones included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def __bool__(self) -> bool:
        """Return True: a tokeniser is one even if its vocabulary is empty."""
        return True

    @property
    def backend_tokenizer(self) -> LibraryTokenizer:
        """The tokeniser of the `tokenizers` library that does the work."""
        return self._backend

    @property
    def vocab_size(self) -> int:
        """The number of tokens without added ones."""
        return int(self._backend.get_vocab_size(with_added_tokens=False))

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return vocabulary

    def get_added_vocab(self) -> dict[str, int]:
        """Token -> id of the tokens that are matched whole, special ones included."""
        tokens = self._backend.get_added_tokens_decoder()
        return {token.content: index for index, token in sorted(tokens.items())}

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Name -> text of the special tokens that have a name, such as ``cls_token``."""
        tokens = self._settings.special_tokens
        return {name: tokens[name] for name in NAMES if name in tokens}

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a name of their own."""
        return list(self._settings.additional_special_tokens)

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, those with a name first."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [index for index in self.convert_tokens_to_ids(self.all_special_tokens) if index is not None]

    def set_special_token(self, name: str, token: str | None) -> None:
        """Give a special token another text from the vocabulary, or none.

        Raises:
            InputError: the vocabulary lacks the token.

        """
        if token is None:
            self._settings.special_tokens.pop(name, None)
            return
        if self._id_of(token) is None:
            raise InputError(
                f"{token!r} is not in the vocabulary; use add_special_tokens({{{name!r}: {token!r}}})."
            )
        self._settings.special_tokens[name] = token

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int | None: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int | None]: ...
    def convert_tokens_to_ids(
        self, tokens: str | list[str] | tuple[str, ...]
    ) -> int | list[int | None] | None:
        """Return the id of a token, or of each; that of the unknown token (or None) if it is not there."""
        if isinstance(tokens, (list, tuple)):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        index = self._id_of(tokens)
        unknown = self._settings.special_tokens.get("unk_token")
        return self._id_of(unknown) if index is None and unknown is not None else index

    def _id_of(self, token: object) -> int | None:
        if not isinstance(token, str):
            raise InputTypeError(f"A token is a str, not {token!r} of type {type(token).__name__}.")
        try:
            index: int | None = self._backend.token_to_id(token)
        except UnicodeEncodeError:  # a lone surrogate is in no vocabulary
            return None
        return index

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """Return the token of an id, or of each; None for an id beyond the vocabulary.

        Raises:
            InputError: an id is negative.
            InputTypeError: an id is not an integer.

        """
        if not isinstance(ids, Iterable):
            return self._token_of(checked_id(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token_of(index) for index in map(checked_id, ids) if index not in skipped]

    def _token_of(self, index: int) -> str | None:
        token: str | None = self._backend.id_to_token(index)
        return token

    def decode(
        self,
        ids: int | Iterable[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Return the text of a row of ids (a list, an array or a single id).

        ``clean_up_tokenization_spaces`` takes out spaces before punctuation (None: as the model's files say);
        pair encodings keep theirs, which are part of the text.

        Raises:
            InputError, InputTypeError: something is no token id.

        """
        row = [checked_id(index) for index in (ids if isinstance(ids, Iterable) else [ids])]
        with library_errors(f"The ids can't be decoded by {self._settings.name!r}", InputError):
            text: str = self._backend.decode(row, skip_special_tokens=skip_special_tokens)
        clean = clean_up_tokenization_spaces
        if clean is None:
            clean = self._settings.clean_up_tokenization_spaces
        of_pairs = type(self._backend.model).__name__ == "BPE" and not self._settings.clean_up_pair_encodings
        return _without_extra_spaces(text) if clean and not of_pairs else text

    def batch_decode(
        self,
        sequences: Iterable[Iterable[int]],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return the text of each row of ids; the arguments are those of `decode`."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def pieces_of(self, token: str) -> list[int]:
        """Return the ids of the pieces that a text is cut into now, without special tokens."""
        token = _checked_token(token)
        with library_errors(f"{token[:80]!r} can't be encoded by {self._settings.name!r}", InputError):
            ids: list[int] = self._backend.encode(token, add_special_tokens=False).ids
        return ids

    def normalized(self, text: str) -> str:
        """Return a text (in NFC) as the tokeniser's own normaliser changes it before it cuts it.

        Raises:
            InputError: the normaliser fails for this text.

        """
        normalizer = self._backend.normalizer
        if normalizer is None:
            return text
        with library_errors(f"{text[:80]!r} can't be normalised by {self._settings.name!r}", InputError):
            normal: str = normalizer.normalize_str(text)
        return normal

    def add_tokens(self, new_tokens: str | Sequence[str], special_tokens: bool = False) -> int:
        """Make texts tokens of their own, matched whole; new ones get the ids after the vocabulary.

        Returns how many were added, counted as in `transformers`: one that is a piece of the vocabulary
        already keeps its id but counts. The model's embedding rows must grow to ``len(tokenizer)``;
        `added_pieces` says what each new token used to be.

        Raises:
            InputError: a token is empty.
            InputTypeError: a token is not a string.

        """
        if not isinstance(new_tokens, str | Iterable):
            raise InputTypeError(f"Tokens are a str or a list of them, not {new_tokens!r:.80}.")
        tokens = [
            _checked_token(token) for token in ([new_tokens] if isinstance(new_tokens, str) else new_tokens)
        ]
        new = {token: self.pieces_of(token) for token in tokens if self._backend.token_to_id(token) is None}
        add = self._backend.add_special_tokens if special_tokens else self._backend.add_tokens
        with library_errors(f"Tokens can't be added to {self._settings.name!r}", InputError):
            count = int(add(tokens))
        added = self.get_added_vocab()
        self.added_pieces |= {added[token]: pieces for token, pieces in new.items() if token in added}
        return count

    def add_special_tokens(self, special_tokens: Mapping[str, str | Sequence[str]]) -> int:
        """Set special tokens by name (``{"cls_token": "<c>"}``) and add those that are new.

        ``additional_special_tokens`` takes a list, which replaces the former one. Returns how many were
        added, counted as by `add_tokens`.

        Raises:
            InputError: an unknown name, or an empty token.
            InputTypeError: a token is not a string, or the additional ones are no list.

        """
        named = {name: token for name, token in special_tokens.items() if name not in EXTRA_KEYS}
        extra = [token for key in EXTRA_KEYS for token in _token_list(key, special_tokens.get(key, []))]
        for name in named:
            if name not in NAMES:
                raise InputError(
                    f"{name!r} names no special token; use one of {', '.join((*NAMES, EXTRA_KEYS[0]))}."
                )
        texts = {name: _checked_token(token) for name, token in named.items()}
        count = self.add_tokens([*texts.values(), *extra], special_tokens=True)
        self._settings.special_tokens |= texts
        if extra:
            self._settings.additional_special_tokens = extra
        return count

    def lower_case(self) -> None:
        """Bring texts to lower case before all else; special tokens in them stay as they are."""
        from tokenizers import normalizers

        own: Any = self._backend.normalizer
        several = isinstance(own, normalizers.Sequence)
        steps = list(own) if several else [] if own is None else [own]
        if not any(isinstance(step, normalizers.Lowercase) for step in steps):
            self._backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])

    def with_backend(self, backend: LibraryTokenizer) -> Self:
        """Return a tokeniser with this one's settings over another object of the library."""
        return type(self)(backend, copy.deepcopy(self._settings))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json into a folder."""
        save(self._backend, self._settings, Path(folder))


_SPACED = (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're")


def _without_extra_spaces(text: str) -> str:
    """Join English punctuation and contractions to the word before, as `transformers` does."""
    for spaced in _SPACED[:4]:
        text = text.replace(spaced, spaced[1:])
    text = text.replace(" ' ", "'")
    for spaced in _SPACED[4:]:
        text = text.replace(spaced, spaced[1:])
    return text


def checked_id(value: Any) -> int:
    """Return the value as a plain int; InputTypeError or InputError if it can be no id."""
    try:
        index = operator.index(value)
    except TypeError:
        raise InputTypeError(f"An id is an integer, not {value!r} of type {type(value).__name__}.") from None
    if not 0 <= index < 2**32:
        raise InputError(f"{index} is no token id; ids count from 0.")
    return index


def _token_list(name: str, tokens: object) -> list[str]:
    if not isinstance(tokens, (list, tuple)):
        raise InputTypeError(f"{name} is a list of tokens, not {tokens!r} of type {type(tokens).__name__}.")
    return list(map(_checked_token, tokens))


def _checked_token(token: object) -> str:
    if not isinstance(token, str):
        raise InputTypeError(f"A token is a str, not {token!r} of type {type(token).__name__}.")
    if not token:
        raise InputError("A token is empty; give it at least one character.")
    if not token.isascii() and any("\ud800" <= character <= "\udfff" for character in token):
        raise_for_surrogate([token])
    return nfc(token)
