"""`AutoTokenizer` and its other names: `munjang.Tokenizer` with the arguments of `transformers`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from munjang.checkpoints import FetchOptions
from munjang.errors import InputError, InputTypeError
from munjang.runtime.tensors import is_torch, tensor, torch_tensor
from munjang.tokenization import BatchEncoding as Rows
from munjang.tokenization import Tokenizer
from munjang.tokenization.limits import library_errors
from munjang.tokenization.special_tokens import NAMES
from munjang.validation import check_device

if TYPE_CHECKING:
    from munjang.tokenization.inputs import TextOrPair

_TENSORS = ("pt", "tf", "np")
_SETTINGS = ("model_max_length", "padding_side", "truncation_side")


class BatchEncoding(Rows):
    """The inputs of a model by name; `to` does nothing, because there is only the CPU."""

    def to(self, device: object) -> Self:
        """Return the batch itself; `InputError` for a device other than the CPU."""
        check_device(device)
        return self


class AutoTokenizer(Tokenizer):
    """The tokenizer of a model of any family: its files define it, not the name of the class.

    ``return_tensors="pt"`` returns torch tensors, or without torch numpy arrays with their methods; ``"tf"``
    and ``"np"`` always return such arrays.
    """

    @classmethod
    def from_pretrained(  # type: ignore[override] # the arguments of `transformers`
        cls,
        name: str | os.PathLike[str],
        *,
        do_lower_case: bool | None = None,
        use_fast: bool = True,  # noqa: ARG003 - there is one implementation
        **settings: Any,
    ) -> Self:
        """Return the tokenizer of a folder, a catalogue name or a hub repository.

        ``settings`` are ``revision``, ``cache_dir``, ``token`` and ``local_files_only``, special tokens by
        name (``pad_token="<pad>"``), ``model_max_length``, ``padding_side`` and ``truncation_side``.

        Raises what `Tokenizer.from_pretrained` raises, and `InputTypeError` for another argument.
        """
        opening = FetchOptions.pop_from(settings)
        tokens = {key: settings.pop(key) for key in NAMES if key in settings}
        if unknown := [key for key in settings if key not in _SETTINGS]:
            raise InputTypeError(
                f"A tokenizer is not opened with {unknown[0]!r}; there are do_lower_case, "
                f"{', '.join(_SETTINGS)} and special tokens by name."
            )
        tokenizer = super().from_pretrained(name, opening)
        assert isinstance(tokenizer, cls)
        if do_lower_case is not None:
            _set_case(tokenizer, do_lower_case)
        tokenizer.add_special_tokens({key: token for key, token in tokens.items() if token is not None})
        for key, value in settings.items():
            setattr(tokenizer, key, value)
        return tokenizer

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return self.get_vocab()

    def __call__(
        self,
        text: str | Sequence[TextOrPair],
        text_pair: str | Sequence[str] | None = None,
        *,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_max_length: bool = False,
        return_tensors: str | None = None,
        **options: Any,
    ) -> BatchEncoding:
        """Return the rows of a text, a pair or a batch; the arguments are those of `Tokenizer`.

        ``pad_to_max_length=True``, as in older lessons, pads and truncates to ``max_length``.
        """
        if return_tensors not in (None, *_TENSORS):
            raise InputError(f"Unknown return_tensors {return_tensors!r}; use one of 'pt', 'tf', 'np'.")
        if pad_to_max_length:
            padding = "max_length"
            truncation = max_length is not None if truncation is None else truncation
        rows = super().__call__(
            text,
            text_pair,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            return_tensors=None if return_tensors is None else "np",
            **options,
        )
        if return_tensors is None:
            return BatchEncoding(dict(rows), rows.encodings)
        convert = torch_tensor if return_tensors == "pt" else tensor
        return BatchEncoding({name: convert(row) for name, row in rows.items()}, rows.encodings)

    encode_plus = __call__
    batch_encode_plus = __call__

    def encode(  # type: ignore[override] # more arguments, and tensors
        self, text: str, text_pair: str | None = None, **options: Any
    ) -> Any:
        """Return the ids of a text or pair: a list, or ``[1, L]`` with ``return_tensors``."""
        return self(text, text_pair, **options)["input_ids"]

    def decode(
        self,
        ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Return the text of ids in a list, an array or a tensor, or of a single id."""
        return super().decode(_plain(ids), skip_special_tokens, clean_up_tokenization_spaces)

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or of each of a list, an array or a tensor."""
        return super().convert_ids_to_tokens(_plain(ids), skip_special_tokens)

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Return the text of tokens; joined with spaces if the tokenizer has no decoder."""
        decoder = self.backend_tokenizer.decoder
        with library_errors(f"The tokens {list(tokens)!r} can't be decoded", InputError):
            return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))


def _plain(ids: Any) -> int | Iterable[int]:
    """Return the ids in a tensor or an array as a list or an int."""
    plain: int | Iterable[int] = ids.tolist() if is_torch(ids) or hasattr(ids, "tolist") else ids
    return plain


def _set_case(tokenizer: Tokenizer, lower: bool) -> None:
    normalizer = tokenizer.backend_tokenizer.normalizer
    if type(normalizer).__name__ == "BertNormalizer":
        normalizer.lowercase = lower
    elif lower:
        tokenizer.lower_case()
