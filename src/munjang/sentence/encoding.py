"""One call of `encode`: texts are tokenized, equal ones once, and run in requests of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError, TruncationError
from munjang.models.batch import TokenBatch
from munjang.progress import Advance
from munjang.runtime.model import Model
from munjang.runtime.notices import TruncationWarning, notify
from munjang.runtime.runner import Done
from munjang.runtime.tensors import torch_tensor
from munjang.sentence.pooling import Pooling
from munjang.sentence.program import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS, SentenceProgram
from munjang.sentence.quantization import Precision, quantize_embeddings
from munjang.sentence.similarity import check_truncation, normalize_embeddings
from munjang.tokenization import TokenIds, Tokenizer
from munjang.tokenization.texts import TextOrPair
from munjang.validation import check_choice, check_flags, checked_count

__all__ = [
    "CHUNK_TEXTS",
    "TOKENS_PER_TEXT",
    "EncodeCall",
    "EncodeOptions",
    "Encoder",
    "TextInput",
    "checked",
    "chunks",
    "cut_notice",
    "text_length",
]

T = TypeVar("T")
Vectors: TypeAlias = NDArray[Any]
TextInput: TypeAlias = str | Sequence[str] | Mapping[str, Any]  # a text, a pair, or either as {"text": ...}

# Texts that are tokenized and sorted by length together. Memory does not grow beyond them, and a text of a
# million characters takes as much of it as many short ones.
CHUNK_TEXTS = 4096
CHUNK_CHARACTERS = 2**21
TOKENS_PER_TEXT = 32  # what `batch_size` takes a text for


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """What `encode` was asked for, beside the texts; see there."""

    prompt: str = ""
    batch_size: int | None = None
    output_value: str | None = SENTENCE_EMBEDDING
    precision: Precision = "float32"
    convert_to_numpy: bool = True
    convert_to_tensor: bool = False
    normalize_embeddings: bool = False
    truncate_dim: int | None = None

    def __post_init__(self) -> None:
        check_choice("output_value", self.output_value, (SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS, None))
        check_choice("precision", self.precision, get_args(Precision))
        check_flags(
            convert_to_numpy=self.convert_to_numpy,
            convert_to_tensor=self.convert_to_tensor,
            normalize_embeddings=self.normalize_embeddings,
        )
        for name in ("batch_size", "truncate_dim"):
            if (value := getattr(self, name)) is not None:
                checked_count(name, value)
        if self.output_value == TOKEN_EMBEDDINGS and self.normalize_embeddings:
            raise InputError("normalize_embeddings is for sentence vectors, not for token_embeddings.")
        if self.output_value is None and self.precision != "float32":
            raise InputError(f"precision {self.precision!r} needs an output_value, to know what to quantise.")

    def check_stream(self) -> None:
        """Raise `InputError` for what needs all vectors at once."""
        if self.precision in ("int8", "uint8"):
            raise InputError(
                f"precision {self.precision!r} takes its ranges from all vectors, which an iterator never "
                "shows together; give a list, or use quantize_embeddings with ranges."
            )

    @property
    def tensors(self) -> bool:
        """Whether torch tensors are wanted, if torch is installed."""
        return self.convert_to_tensor or not self.convert_to_numpy

    def finish(self, vectors: Vectors) -> Vectors:
        """Shorten and normalise float32 vectors ``[n, d]``, as asked."""
        if self.truncate_dim is not None:
            vectors = np.ascontiguousarray(vectors[:, : self.truncate_dim])
        return normalize_embeddings(vectors) if self.normalize_embeddings else vectors

    def quantize(self, vectors: Any) -> Any:
        """Bring vectors, or a list of matrices, to the precision asked for."""
        return vectors if self.precision == "float32" else quantize_embeddings(vectors, self.precision)

    def convert(self, found: Any) -> Any:
        """Return an array, or a dictionary of them, in the form asked for."""
        if isinstance(found, dict):
            return {name: self.convert(value) for name, value in found.items()}
        return torch_tensor(found) if self.tensors else found


class Encoder(Protocol):
    """What a call needs of the `SentenceTransformer` that it belongs to."""

    tokenizer: Tokenizer
    model: Model
    width: int

    @property
    def on_truncation(self) -> str:
        """What happens to texts that are too long."""
        ...

    @property
    def pooling(self) -> Pooling:
        """How token vectors become one."""
        ...

    @property
    def max_seq_length(self) -> int:
        """The longest text in tokens."""
        ...

    def program(self, *, tokens: bool = False) -> SentenceProgram:
        """Describe the computation."""
        ...


def chunks(items: Iterable[T], length: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut a stream into lists of at most `CHUNK_TEXTS` items and about `CHUNK_CHARACTERS` characters."""
    chunk: list[T] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += length(item)
        if len(chunk) == CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def unique(texts: Sequence[TextOrPair]) -> tuple[list[TextOrPair], NDArray[np.intp]]:
    """Return the different texts, and for each text its place among them."""
    places: dict[TextOrPair, int] = {}
    found = (places.setdefault(text, len(places)) for text in texts)
    inverse = np.fromiter(found, dtype=np.intp, count=len(texts))
    return list(places), inverse


def checked(texts: Iterable[Any]) -> Iterator[TextOrPair]:
    """Yield the texts, and pairs as tuples; `InputTypeError` names the place of anything else."""
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
    """Return how many characters a text has, or both texts of a pair."""
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])


class EncodeCall:
    """One call of `encode`: how many texts it has read and how many of them were cut."""

    def __init__(self, owner: Encoder, options: EncodeOptions) -> None:
        check_truncation(options.truncate_dim, owner.width)
        self._owner = owner
        self._options = options
        batch_size = options.batch_size
        self._budget = None if batch_size is None else batch_size * TOKENS_PER_TEXT
        self._seen = 0
        self._cut_texts = 0
        self._cut_tokens = 0
        left_out = bool(options.prompt) and not owner.pooling.include_prompt
        self._prompt_length = self._length_of_prompt() if left_out else 0

    def all(self, texts: Iterable[Any], advance: Advance) -> Any:
        """Encode a list: ``[n, d]``, or a list of what was asked for."""
        listed = list(checked(texts))
        if self._options.output_value != SENTENCE_EMBEDDING:
            return self._all_features(listed, advance)
        vectors = np.empty((len(listed), self._owner.width), dtype=np.float32)
        for chunk in chunks(listed, text_length):
            start = self._seen
            vectors[start : start + len(chunk)] = self._vectors(chunk, advance)
        self._report()
        finished = self._options.quantize(self._options.finish(vectors))
        if not self._options.convert_to_numpy and not self._options.convert_to_tensor:
            return [self._options.convert(vector) for vector in finished]
        return self._options.convert(finished)

    def stream(self, texts: Iterable[Any], advance: Advance) -> Iterator[Any]:
        """Encode texts as they come, a chunk at a time."""
        options = self._options
        for chunk in chunks(checked(texts), text_length):
            if options.output_value != SENTENCE_EMBEDDING:
                yield from map(options.convert, options.quantize(self._features(chunk, advance)))
            else:
                vectors = options.finish(self._vectors(chunk, advance))
                yield from options.convert(options.quantize(vectors))
        self._report()

    def _all_features(self, texts: list[TextOrPair], advance: Advance) -> list[Any]:
        found = [item for chunk in chunks(texts, text_length) for item in self._features(chunk, advance)]
        self._report()
        return [self._options.convert(item) for item in self._options.quantize(found)]

    def _vectors(self, texts: list[TextOrPair], advance: Advance) -> Vectors:
        different, inverse = unique(texts)
        vectors = np.empty((len(different), self._owner.width), dtype=np.float32)
        times = np.bincount(inverse)  # how often each text stands in the chunk, for the progress bar
        ids = self._tokenize(different, texts, inverse)
        for done in self._run(ids, tokens=False):
            vectors[done.indices] = done.outputs[SENTENCE_EMBEDDING]
            advance(int(times[done.indices].sum()))
        return vectors[inverse]

    def _features(self, texts: list[TextOrPair], advance: Advance) -> list[Any]:
        """Encode texts to one ``[L, H]`` each, or to a dictionary of arrays."""
        ids = self._tokenize(texts, texts, np.arange(len(texts)))
        found: list[Any] = [None] * len(texts)
        for done in self._run(ids, tokens=True):
            for index, item in zip(done.indices, self._items(done, ids), strict=True):
                found[index] = item
            advance(len(done.indices))
        return found

    def _items(self, done: Done, ids: list[TokenIds]) -> Iterator[Any]:
        tokens = done.split(TOKEN_EMBEDDINGS)
        if self._options.output_value == TOKEN_EMBEDDINGS:
            yield from tokens
            return
        sentences = self._options.finish(done.outputs[SENTENCE_EMBEDDING])
        for index, its_tokens, sentence in zip(done.indices, tokens, sentences, strict=True):
            input_ids = np.array(ids[index].input_ids)
            yield {
                "input_ids": input_ids,
                "attention_mask": np.ones_like(input_ids),
                TOKEN_EMBEDDINGS: its_tokens,
                SENTENCE_EMBEDDING: sentence,
            }

    def _run(self, ids: list[TokenIds], *, tokens: bool) -> Iterator[Done]:
        program = self._owner.program(tokens=tokens)
        return self._owner.model.runner.run(program, ids, token_budget=self._budget, edit=self._edit)

    def _edit(self, batch: TokenBatch[NDArray[Any]], _: Sequence[int]) -> TokenBatch[NDArray[Any]]:
        return self._owner.pooling.prepare(batch, self._prompt_length)

    def _tokenize(
        self, different: list[TextOrPair], texts: list[TextOrPair], inverse: NDArray[np.intp]
    ) -> list[TokenIds]:
        """Tokenize the different ones of the texts of a chunk, and count what was cut of all of them."""
        owner, prompt = self._owner, self._options.prompt
        prompted = [_after(prompt, text) for text in different] if prompt else different
        try:
            ids = owner.tokenizer.encode_ids(prompted, truncation=True, max_length=owner.max_seq_length)
        except InputError:
            refuse_surrogates(texts, self._seen)
            raise
        cut = np.array([text.truncated for text in ids])[inverse]
        if owner.on_truncation == "error" and cut.any():
            place = int(cut.argmax())
            raise TruncationError(
                f"Text {self._seen + place} is {cut[place]} tokens longer than the {owner.max_seq_length} "
                "that are read."
            )
        self._seen += len(texts)
        self._cut_texts += int(np.count_nonzero(cut))
        self._cut_tokens += int(cut.sum())
        return ids

    def _length_of_prompt(self) -> int:
        """How many tokens the prompt takes at the start of a text, without the closing special token."""
        tokenizer = self._owner.tokenizer
        ids = tokenizer.encode(self._options.prompt)
        return len(ids) - (bool(ids) and ids[-1] in tokenizer.all_special_ids)

    def _report(self) -> None:
        if self._cut_texts and self._owner.on_truncation == "warn":
            limit = self._owner.max_seq_length
            notify(
                cut_notice("texts", self._cut_texts, self._seen, limit, self._cut_tokens), TruncationWarning
            )


def cut_notice(what: str, cut: int, total: int, limit: int, tokens: int) -> str:
    """Return how many texts or pairs were cut."""
    return f"{cut} of {total} {what} were longer than {limit} tokens; {tokens} tokens were cut off."


def _after(prompt: str, text: TextOrPair) -> TextOrPair:
    """Put a prompt before a text, or before the first of a pair."""
    return prompt + text if isinstance(text, str) else (prompt + text[0], text[1])


def refuse_surrogates(texts: Iterable[TextOrPair], first: int) -> None:
    """Raise `InputError` for a text that is not Unicode; the first text is number ``first``."""
    for position, text in enumerate(texts, start=first):
        text = text if isinstance(text, str) else "".join(text)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"Text {position} has a lone surrogate U+{ord(text[error.start]):04X} at position "
                f"{error.start}, which is no character; read it with its right encoding."
            ) from None
