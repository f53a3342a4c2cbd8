"""``Tokenizer``: encoding of texts to tokens and ids, and decoding, compatible with `transformers`.

Every text is normalised to NFC first, and offsets are mapped back to the caller's string. Encoding never
changes the state of the library's object, so one tokeniser can be used by many threads.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from munjang.checkpoints import Checkpoint, FetchArguments, FetchOptions, open_checkpoint
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.tokenization.encoding import BatchEncoding, Encoding, TokenIds
from munjang.tokenization.files import Settings, load, save, tokenizer_folder
from munjang.tokenization.inputs import (
    Padding,
    TextOrPair,
    Truncation,
    as_arrays,
    as_batch,
    as_rows,
    as_text,
    checked_id,
    checked_side,
    checked_token,
    choose_padding,
    choose_truncation,
    composed,
    composed_with_maps,
    first_row,
    kept_positions,
    pad,
    pair_up,
    raise_for_surrogate,
    token_list,
)
from munjang.tokenization.limits import is_panic, library_errors, reason
from munjang.tokenization.special_tokens import EXTRA_KEYS, NAMES, SpecialToken, SpecialTokenId
from munjang.validation import takes_keywords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenizers import Encoding as LibraryEncoding
    from tokenizers import Tokenizer as LibraryTokenizer


_SPACED = (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're")


def _without_extra_spaces(text: str) -> str:
    """Delete spaces before English punctuation and contractions, as `transformers` does."""
    for spaced in _SPACED[:4]:
        text = text.replace(spaced, spaced[1:])
    text = text.replace(" ' ", "'")
    for spaced in _SPACED[4:]:
        text = text.replace(spaced, spaced[1:])
    return text


class Tokenizer:
    """A tokeniser that splits texts into a model's tokens, with the methods of `transformers`.

    Create it with `from_pretrained`. The argument ``truncation``: True is ``"longest_first"``, which cuts the
    longer text of a pair first; ``"only_first"`` and ``"only_second"`` cut only that text; None cuts only if
    a ``max_length`` is given; False never cuts. The default ``max_length`` is the model's, if known.
    ``max_length`` counts the special tokens.
    """

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

    @classmethod
    @takes_keywords(FetchArguments, FetchOptions)
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        options: FetchOptions | None = None,
        **changes: Unpack[FetchArguments],
    ) -> Tokenizer:
        """Return the tokeniser of a model: a folder, a repository of the hub, or a name of the catalogue.

        The keywords are fields of `FetchOptions` and take precedence over those of ``options``.

        Raises:
            UnknownModelError, FetchError: as `munjang.checkpoints.open_checkpoint`.
            CheckpointError: its tokeniser files are missing or broken.

        """
        # A folder written by `save_pretrained` has no model, and `open_checkpoint` requires a model.
        if (folder := tokenizer_folder(name)) is not None:
            return cls.from_checkpoint(Checkpoint(folder, os.fspath(name)))
        return cls.from_checkpoint(open_checkpoint(name, options, **changes))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Tokenizer:
        """Return the tokeniser of an opened checkpoint."""
        return cls(*load(checkpoint))

    def __repr__(self) -> str:
        """Return the name, size and special tokens."""
        return f"Tokenizer({self.name_or_path!r}, vocab_size={self.vocab_size}, {self.special_tokens_map})"

    @property
    def name_or_path(self) -> str:
        """The name by which the user opened the checkpoint."""
        return self._settings.name

    @property
    def model_max_length(self) -> int:
        """The model's maximum number of tokens from its files; about 1e30 if they define none."""
        return self._settings.model_max_length

    @model_max_length.setter
    def model_max_length(self, length: int) -> None:
        self._settings.model_max_length = length

    @property
    def model_input_names(self) -> list[str]:
        """The names of the model's inputs."""
        return list(self._settings.model_input_names)

    @property
    def padding_side(self) -> str:
        """The default side of padding: ``"right"`` or ``"left"``."""
        return self._settings.padding_side

    @padding_side.setter
    def padding_side(self, side: str) -> None:
        self._settings.padding_side = checked_side("padding_side", side)

    @property
    def truncation_side(self) -> str:
        """The side where texts are truncated: ``"right"`` or ``"left"``."""
        return self._settings.truncation_side

    @truncation_side.setter
    def truncation_side(self, side: str) -> None:
        self._settings.truncation_side = checked_side("truncation_side", side)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens added to a text or a pair."""
        return int(self._backend.num_special_tokens_to_add(pair))

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """Return the tokens of a text or pair."""
        texts = pair_up(as_text(text), pair)
        return self.encode_batch(texts, add_special_tokens=add_special_tokens)[0].tokens

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str | None = None,
        max_length: int | None = None,
    ) -> list[int]:
        """Return the ids of a text or pair."""
        return self.encode_batch(
            pair_up(as_text(text), pair),
            add_special_tokens=add_special_tokens,
            truncation=truncation,
            max_length=max_length,
        )[0].input_ids

    def encode_batch(
        self,
        texts: Iterable[TextOrPair],
        *,
        add_special_tokens: bool = True,
        truncation: bool | str | None = None,
        max_length: int | None = None,
    ) -> list[Encoding]:
        """Return the complete `Encoding` of each text or pair, in order, without padding.

        Raises:
            InputError: a lone surrogate (with its position), an invalid pair, or a too small ``max_length``.
            InputTypeError: a value is not a text (with its index).

        """
        batch = as_batch(texts)
        inputs, offset_maps = composed_with_maps(batch)
        cut = self._truncation(truncation, max_length, inputs, add_special_tokens)
        encodings = [
            Encoding.from_library(encoding, self._sequence_ids(encoding, text))
            for text, encoding in zip(
                inputs, self._run(self._backend.encode_batch, batch, inputs, add_special_tokens), strict=True
            )
        ]
        if cut is not None:
            encodings = [
                encoding
                if len(encoding) <= cut.max_length
                else encoding.select(kept_positions(encoding.sequence_ids, cut))
                for encoding in encodings
            ]
        for index, back in offset_maps.items():
            encodings[index] = encodings[index].with_offsets(back)
        return encodings

    def encode_ids(
        self, texts: Iterable[TextOrPair], *, truncation: bool | str = True, max_length: int | None = None
    ) -> list[TokenIds]:
        """Return only the ids of each text or pair, special tokens included; used by the engine.

        Raises:
            InputError, InputTypeError: as `encode_batch`.

        """
        batch = as_batch(texts)
        inputs = composed(batch)
        cut = self._truncation(truncation, max_length, inputs)
        limit = sys.maxsize if cut is None else cut.max_length
        rows: list[TokenIds] = []
        for text, encoding in zip(
            inputs, self._run(self._backend.encode_batch_fast, batch, inputs), strict=True
        ):
            ids: list[int] = encoding.ids
            has_types = self._types_of_single if isinstance(text, str) else self._types_of_pair
            types: list[int] = encoding.type_ids if has_types else []
            row = TokenIds(ids, types if any(types) else None)
            if len(ids) > limit:
                assert cut is not None
                row = row.select(kept_positions(self._sequence_ids(encoding, text), cut))
            rows.append(row)
        return rows

    def __call__(
        self,
        text: str | Sequence[TextOrPair],
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
    ) -> BatchEncoding:
        """Return the model inputs for a text, a pair, or a batch of either.

        ``padding``: True or ``"longest"`` pads to the longest text of the batch, ``"max_length"`` to
        ``max_length`` or the model's maximum. With ``return_tensors="np"`` the inputs are int64 arrays
        ``[B, L]``; otherwise lists of lists for a batch and plain lists for a single text. By default the
        inputs are `model_input_names`; the ``return_...`` arguments change this.

        Raises:
            InputError, InputTypeError: as `encode_batch`; or padding is not possible.

        """
        if return_tensors not in (None, "np"):
            raise InputError(
                f"Unknown return_tensors {return_tensors!r}; use 'np' for arrays, None for lists."
            )
        if truncation is None and padding is not False:
            truncation = False  # then max_length is only for padding
        encodings = self.encode_batch(
            pair_up(text, text_pair),
            add_special_tokens=add_special_tokens,
            truncation=truncation,
            max_length=max_length,
        )
        plan = self._padding(padding, truncation, max_length, pad_to_multiple_of, padding_side)
        if plan is not None:
            encodings = pad(encodings, plan)
        wanted = {
            "token_type_ids": return_token_type_ids,
            "attention_mask": return_attention_mask,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        names = [
            name
            for name, asked in wanted.items()
            if (name in self.model_input_names if asked is None else asked)
        ]
        batch = as_rows(encodings, ["input_ids", *names])
        if return_tensors == "np":
            return as_arrays(batch)
        return first_row(batch) if isinstance(text, str) else batch

    def _run(
        self,
        encode: Callable[..., list[LibraryEncoding]],
        batch: Sequence[TextOrPair],
        inputs: Sequence[TextOrPair],
        add_special_tokens: bool = True,
    ) -> list[LibraryEncoding]:
        try:
            return encode(inputs, add_special_tokens=add_special_tokens)
        except TypeError:  # the library's error for a str with a lone surrogate
            raise_for_surrogate(batch)
        except BaseException as error:
            if is_panic(error):
                raise self._failure(inputs, error) from error
            if not isinstance(error, Exception):
                raise
            message = f"The tokeniser of {self.name_or_path!r} fails: {reason(error)}."
            raise CheckpointError(message) from error  # such as no piece for an unknown word

    def _failure(self, inputs: Sequence[TextOrPair], failure: BaseException) -> InputError:
        """Return the error for a text that the library can't encode, with the text's index."""
        for index, text in enumerate(inputs):
            with library_errors(f"Text {index} can't be encoded by {self.name_or_path!r}", InputError):
                self._backend.encode_batch_fast([text])
        return InputError(f"The texts can't be encoded by {self.name_or_path!r}: {reason(failure)}.")

    def _truncation(
        self,
        truncation: bool | str | None,
        max_length: int | None,
        inputs: Sequence[TextOrPair],
        add_special_tokens: bool = True,
    ) -> Truncation | None:
        cut = choose_truncation(truncation, max_length, self.model_max_length, self.truncation_side)
        if (
            cut is None
            or not add_special_tokens
            or cut.max_length >= self.num_special_tokens_to_add(pair=True)
        ):
            return cut
        needed = self.num_special_tokens_to_add(pair=not all(isinstance(text, str) for text in inputs))
        if cut.max_length < needed:
            raise InputError(
                f"max_length={cut.max_length} leaves no room for the {needed} special tokens; raise it."
            )
        return cut

    def _padding(
        self,
        padding: bool | str,
        truncation: bool | str | None,
        max_length: int | None,
        multiple_of: int | None,
        side: str | None,
    ) -> Padding | None:
        return choose_padding(
            padding,
            length=self.model_max_length if max_length is None else max_length,
            multiple_of=multiple_of,
            side=self.padding_side if side is None else side,
            token=self.pad_token,
            token_id=self.pad_token_id,
            truncation=choose_truncation(truncation, max_length, self.model_max_length, self.truncation_side),
        )

    def _sequence_ids(self, encoding: LibraryEncoding, text: TextOrPair) -> list[int | None]:
        """Return for each token the index of its text; None for a special token."""
        numbers: list[int | None] = encoding.sequence_ids
        if type(self._backend.post_processor).__name__ != "Sequence":
            return numbers
        specials = encoding.special_tokens_mask
        if not any(specials):
            return numbers
        # With several post-processors, the library counts the first one's added tokens as texts too.
        texts = dict.fromkeys(numbers, 0) if isinstance(text, str) else self._numbers_in_pair
        return [
            None if special else texts.get(number) for number, special in zip(numbers, specials, strict=True)
        ]

    @functools.cached_property
    def _numbers_in_pair(self) -> dict[int | None, int]:
        """The library's index of a pair's text -> our index, if there are several post-processors."""
        (encoding,) = self._run(self._backend.encode_batch_fast, [("a", "a")], [("a", "a")])
        specials = encoding.special_tokens_mask
        texts = [
            number for number, special in zip(encoding.sequence_ids, specials, strict=True) if not special
        ]
        return {number: index for index, number in enumerate(dict.fromkeys(texts))}

    @functools.cached_property
    def _types_of_single(self) -> bool:
        """Whether a single text has token types other than 0; they are read only in this case."""
        return _has_types(*self._run(self._backend.encode_batch_fast, ["a"], ["a"]))

    @functools.cached_property
    def _types_of_pair(self) -> bool:
        return _has_types(*self._run(self._backend.encode_batch_fast, [("a", "a")], [("a", "a")]))

    # The vocabulary

    def __len__(self) -> int:
        """Return the number of tokens, added ones included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def __bool__(self) -> bool:
        """Return True, also for an empty vocabulary."""
        return True

    @property
    def backend_tokenizer(self) -> LibraryTokenizer:
        """The underlying tokeniser of the `tokenizers` library."""
        return self._backend

    @property
    def vocab_size(self) -> int:
        """The number of tokens without added tokens."""
        return int(self._backend.get_vocab_size(with_added_tokens=False))

    def get_vocab(self) -> dict[str, int]:
        """Return token -> id, added tokens included."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return vocabulary

    def get_added_vocab(self) -> dict[str, int]:
        """Return token -> id of the added tokens, which are never split, special tokens included."""
        tokens = self._backend.get_added_tokens_decoder()
        return {token.content: index for index, token in sorted(tokens.items())}

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Name -> text of the special tokens that have a name, such as ``cls_token``."""
        tokens = self._settings.special_tokens
        return {name: tokens[name] for name in NAMES if name in tokens}

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a name."""
        return list(self._settings.additional_special_tokens)

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens without duplicates, named tokens first."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.additional_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [index for index in self.convert_tokens_to_ids(self.all_special_tokens) if index is not None]

    def set_special_token(self, name: str, token: str | None) -> None:
        """Set a special token to a token of the vocabulary, or to None.

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
        """Return the id of a token, or of each token; the unknown token's id (or None) if not found."""
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
        """Return the token of an id, or of each id; None for an id outside the vocabulary.

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

        ``clean_up_tokenization_spaces`` deletes spaces before punctuation (None: as defined in the model's
        files); byte pair encodings keep these spaces, which are part of the text.

        Raises:
            InputError, InputTypeError: a value is not a token id.

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
        """Return the ids of the pieces that a text is currently split into, without special tokens."""
        token = checked_token(token)
        with library_errors(f"{token[:80]!r} can't be encoded by {self._settings.name!r}", InputError):
            ids: list[int] = self._backend.encode(token, add_special_tokens=False).ids
        return ids

    def normalized(self, text: str) -> str:
        """Return a text (in NFC) after the tokeniser's normaliser.

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
        """Add texts as tokens that are never split; new tokens get the ids after the vocabulary.

        Returns the number of added tokens, counted as in `transformers`: a token that is already a piece of
        the vocabulary keeps its id but counts. The model's embeddings must be resized to ``len(tokenizer)``;
        `added_pieces` has the former pieces of each new token.

        Raises:
            InputError: a token is empty.
            InputTypeError: a token is not a string.

        """
        if not isinstance(new_tokens, str | Iterable):
            raise InputTypeError(f"Tokens are a str or a list of them, not {new_tokens!r:.80}.")
        tokens = [
            checked_token(token) for token in ([new_tokens] if isinstance(new_tokens, str) else new_tokens)
        ]
        new = {token: self.pieces_of(token) for token in tokens if self._backend.token_to_id(token) is None}
        add = self._backend.add_special_tokens if special_tokens else self._backend.add_tokens
        with library_errors(f"Tokens can't be added to {self._settings.name!r}", InputError):
            count = int(add(tokens))
        added = self.get_added_vocab()
        self.added_pieces |= {added[token]: pieces for token, pieces in new.items() if token in added}
        return count

    def add_special_tokens(self, special_tokens: Mapping[str, str | Sequence[str]]) -> int:
        """Set special tokens by name (``{"cls_token": "<c>"}``) and add new tokens to the vocabulary.

        ``additional_special_tokens`` is a list, which replaces the previous list. Returns the number of added
        tokens, counted as in `add_tokens`.

        Raises:
            InputError: an unknown name, or an empty token.
            InputTypeError: a token is not a string, or the additional tokens are not a list.

        """
        named = {name: token for name, token in special_tokens.items() if name not in EXTRA_KEYS}
        extra = [token for key in EXTRA_KEYS for token in token_list(key, special_tokens.get(key, []))]
        for name in named:
            if name not in NAMES:
                raise InputError(
                    f"{name!r} names no special token; use one of {', '.join((*NAMES, EXTRA_KEYS[0]))}."
                )
        texts = {name: checked_token(token) for name, token in named.items()}
        count = self.add_tokens([*texts.values(), *extra], special_tokens=True)
        self._settings.special_tokens |= texts
        if extra:
            self._settings.additional_special_tokens = extra
        return count

    def lower_case(self) -> None:
        """Convert texts to lower case before all other steps; special tokens in them are unchanged."""
        from tokenizers import normalizers

        own: Any = self._backend.normalizer
        several = isinstance(own, normalizers.Sequence)
        steps = list(own) if several else [] if own is None else [own]
        if not any(isinstance(step, normalizers.Lowercase) for step in steps):
            self._backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])

    def with_backend(self, backend: LibraryTokenizer) -> Self:
        """Return a tokeniser with the same settings and another object of the library."""
        return type(self)(backend, copy.deepcopy(self._settings))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json into a folder."""
        save(self._backend, self._settings, Path(folder))


def _has_types(encoding: LibraryEncoding) -> bool:
    # If the tokeniser has no piece for this letter, the result is unknown, so types are read each time.
    return any(encoding.type_ids) or all(encoding.special_tokens_mask)
