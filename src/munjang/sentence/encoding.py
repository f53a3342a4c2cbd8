"""The options of `encode`, and its texts: checked, and split into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from munjang.choices import Precision
from munjang.errors import InputError, InputTypeError
from munjang.runtime.tensors import torch_tensor
from munjang.sentence.program import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from munjang.sentence.quantization import quantize_embeddings
from munjang.sentence.similarity import normalize_embeddings
from munjang.tokenization.inputs import TextOrPair
from munjang.validation import check_flags, checked_choice, optional_count, refuse_surrogates

T = TypeVar("T")
OutputValue: TypeAlias = Literal["sentence_embedding", "token_embeddings"]
TextInput: TypeAlias = str | Sequence[str] | Mapping[str, Any]  # a text, a pair, or either as {"text": ...}

# The texts that are tokenized and sorted by length together. Memory does not grow beyond them: a text of a
# million characters needs as much as many short texts.
CHUNK_TEXTS = 4096
CHUNK_CHARACTERS = 2**21
TOKENS_PER_TEXT = 32  # the length of a text that `batch_size` assumes


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """The options of `SentenceTransformer.encode`, which describes them; ``prompt`` is the prompt's text."""

    prompt: str = ""
    batch_size: int | None = None
    output_value: str | None = SENTENCE_EMBEDDING
    precision: Precision = "float32"
    convert_to_numpy: bool = True
    convert_to_tensor: bool = False
    normalize_embeddings: bool = False
    truncate_dim: int | None = None

    def __post_init__(self) -> None:
        checked_choice("output_value", self.output_value, (SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS, None))
        checked_choice("precision", self.precision, get_args(Precision))
        check_flags(
            convert_to_numpy=self.convert_to_numpy,
            convert_to_tensor=self.convert_to_tensor,
            normalize_embeddings=self.normalize_embeddings,
        )
        optional_count("batch_size", self.batch_size)
        optional_count("truncate_dim", self.truncate_dim)
        if self.output_value == TOKEN_EMBEDDINGS and self.normalize_embeddings:
            raise InputError("normalize_embeddings is for sentence vectors, not for token_embeddings.")
        if self.output_value is None and self.precision != "float32":
            raise InputError(f"precision {self.precision!r} needs an output_value, to know what to quantise.")

    def check_stream(self) -> None:
        """Raise `InputError` for an option that needs all vectors at once."""
        if self.precision in ("int8", "uint8"):
            raise InputError(
                f"precision {self.precision!r} takes its ranges from all vectors, which an iterator never "
                "shows together; use a list, or `quantize_embeddings` with ranges."
            )

    def check_ranges(self, count: int) -> None:
        """Raise `InputError` if quantization needs the ranges of several vectors, but there are fewer."""
        if self.precision in ("int8", "uint8") and self.output_value == SENTENCE_EMBEDDING and count < 2:
            raise InputError(
                f"precision={self.precision!r} needs the range of each component in several vectors, but "
                "there is only one text; use more texts, or binary, ubinary or float32."
            )

    def finish(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """Truncate and normalise float32 vectors ``[n, d]``, if requested."""
        if self.truncate_dim is not None:
            vectors = np.ascontiguousarray(vectors[:, : self.truncate_dim])
        return normalize_embeddings(vectors) if self.normalize_embeddings else vectors

    def quantize(self, vectors: Any) -> Any:
        """Convert vectors, or a list of matrices, to the requested precision."""
        return vectors if self.precision == "float32" else quantize_embeddings(vectors, self.precision)

    def convert(self, value: Any) -> Any:
        """Convert an array, or the arrays of a dictionary, to torch tensors if they are requested."""
        if isinstance(value, dict):
            return {name: self.convert(array) for name, array in value.items()}
        return torch_tensor(value) if self.convert_to_tensor or not self.convert_to_numpy else value


def check_truncation(truncate_dim: int | None, width: int) -> None:
    """Raise `InputError` if vectors of this width have fewer components."""
    if truncate_dim is not None and truncate_dim > width:
        raise InputError(
            f"truncate_dim={truncate_dim} is more than the {width} components of the model's vectors; "
            f"choose {width} at most."
        )


def chunks(
    items: Iterable[T],
    length: Callable[[T], int] = lambda _: 0,
    *,
    most: int = CHUNK_TEXTS,
    characters: int = CHUNK_CHARACTERS,
) -> Iterator[list[T]]:
    """Split an iterable into lists of at most ``most`` items and about ``characters`` characters.

    ``length`` returns the number of characters of an item.
    """
    chunk: list[T] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += length(item)
        if len(chunk) == most or size >= characters:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def checked_texts(texts: Iterable[Any]) -> Iterator[TextOrPair]:
    """Yield the texts, and pairs as tuples; `InputTypeError` with its index for any other value."""
    try:
        listed = iter(texts)
    except TypeError:  # an array of no dimension has an __iter__ that fails
        raise InputTypeError(f"Texts come in a list, got a {type(texts).__name__}.") from None
    for position, text in enumerate(listed):
        yield text if isinstance(text, str) else _checked_pair(text, position)


def _checked_pair(value: Any, position: int) -> TextOrPair:
    if isinstance(value, Mapping) and set(value) == {"text"}:
        value = value["text"]
        if isinstance(value, str):
            return value
    if not isinstance(value, list | tuple):
        keys = f" with {', '.join(map(repr, value)) or 'no key'}" if isinstance(value, Mapping) else ""
        raise InputTypeError(
            f"Text {position} is of type {type(value).__name__}{keys}, not str, nor a pair of str, "
            "nor a dict with the one key 'text'."
        )
    if len(value) != 2 or not all(isinstance(text, str) for text in value):
        kinds = ", ".join(type(text).__name__ for text in value[:3])
        raise InputTypeError(
            f"Text {position} is a {type(value).__name__} of {len(value)} ({kinds}), not str; "
            "a pair has two texts."
        )
    return value[0], value[1]


def text_length(text: TextOrPair) -> int:
    """Return the number of characters of a text, or of both texts of a pair."""
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])


def refuse_surrogates_in(texts: Iterable[TextOrPair], first: int) -> None:
    """Raise `InputError` for a text with a lone surrogate; ``first`` is the index of the first text."""
    for position, text in enumerate(texts, start=first):
        refuse_surrogates(text if isinstance(text, str) else "".join(text), f"Text {position}")
