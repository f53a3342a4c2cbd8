"""One call of `encode`: texts are tokenized, equal ones once, and run in requests of like length."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputTypeError, TruncationError
from munjang.models.batch import TokenBatch
from munjang.runtime.model import Model
from munjang.sentence.pooling import Pooling
from munjang.sentence.program import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS, SentenceProgram
from munjang.tokenization import TokenIds, Tokenizer

__all__ = ["CHUNK_TEXTS", "EncodeCall", "Encoder", "TruncationWarning", "check_text"]

T = TypeVar("T")
Vectors = NDArray[Any]
CHUNK_TEXTS = 4096  # texts that are sorted by length together; memory does not grow beyond them


class TruncationWarning(UserWarning):
    """Texts were longer than the model takes, and their ends were not read."""


class Encoder(Protocol):
    """What a call needs of the `SentenceTransformer` that it belongs to."""

    tokenizer: Tokenizer
    model: Model
    on_truncation: str
    width: int

    @property
    def pooling(self) -> Pooling:
        """How token vectors become one."""
        ...

    @property
    def max_seq_length(self) -> int:
        """The longest text in tokens."""
        ...

    def prepare(self, text: str) -> str:
        """Change a text before it is tokenized."""
        ...

    def program_of(self, model: Model, *, tokens: bool = False) -> SentenceProgram:
        """Describe the computation."""
        ...


def chunks(items: Iterable[T], size: int = CHUNK_TEXTS) -> Iterator[list[T]]:
    """Cut a stream into lists of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def unique(texts: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """Give the different texts, and for each text its place among them."""
    places: dict[str, int] = {}
    found = (places.setdefault(text, len(places)) for text in texts)
    inverse = np.fromiter(found, dtype=np.intp, count=len(texts))
    return list(places), inverse


def check_text(value: object, position: int) -> str:
    """Raise `InputTypeError`, with the position, if a value is not a text."""
    if not isinstance(value, str):
        raise InputTypeError(f"Text {position} is of type {type(value).__name__}, not str.")
    return value


class EncodeCall:
    """One call of `encode`: its prompt, and how many texts were cut."""

    def __init__(self, owner: Encoder, prompt: str, batch_size: int | None) -> None:
        self._owner = owner
        self._prompt = prompt
        self._budget = None if batch_size is None else batch_size * 32
        self._cut_texts = 0
        self._cut_tokens = 0
        include_prompt = owner.pooling.include_prompt
        self._prompt_length = 0 if include_prompt or not prompt else self._length_of_prompt()

    def vectors(self, texts: list[str], advance: Callable[[int], None]) -> Vectors:
        """Encode a list: ``[n, d]``."""
        result = np.empty((len(texts), self._owner.width), dtype=np.float32)
        for start in range(0, len(texts), CHUNK_TEXTS):
            part = texts[start : start + CHUNK_TEXTS]
            result[start : start + len(part)] = self._chunk(part, advance)
        self._report()
        return result

    def stream(self, texts: Iterable[Any], finish: Callable[[Vectors], Vectors]) -> Iterator[Vectors]:
        """Encode texts as they come."""
        position = 0
        for part in chunks(texts):
            checked = [check_text(text, position + i) for i, text in enumerate(part)]
            position += len(part)
            yield from finish(self._chunk(checked, _nothing))
        self._report()

    def features(
        self,
        texts: list[str],
        output_value: str | None,
        finish: Callable[[Vectors], Vectors],
        advance: Callable[[int], None],
    ) -> list[Any]:
        """Encode a list to one ``[L, H]`` per text, or to a dictionary per text."""
        ids = self._tokenize(texts)
        program = self._owner.program_of(self._owner.model, tokens=True)
        found: list[Any] = [None] * len(texts)
        for done in self._owner.model.runner.run(program, ids, token_budget=self._budget, edit=self._edit):
            tokens = done.split(TOKEN_EMBEDDINGS)
            sentences = finish(done.outputs[SENTENCE_EMBEDDING])
            for place, index in enumerate(done.indices):
                if output_value == TOKEN_EMBEDDINGS:
                    found[index] = tokens[place]
                else:
                    found[index] = {
                        "input_ids": np.array(ids[index].input_ids),
                        TOKEN_EMBEDDINGS: tokens[place],
                        SENTENCE_EMBEDDING: sentences[place],
                    }
            advance(len(done.indices))
        self._report()
        return found

    def _chunk(self, texts: list[str], advance: Callable[[int], None]) -> Vectors:
        different, inverse = unique(texts)
        ids = self._tokenize(different)
        owner = self._owner
        program = owner.program_of(owner.model)
        vectors = np.empty((len(different), owner.width), dtype=np.float32)
        weights = np.bincount(inverse)  # how often each text stands in the call, for the progress bar
        for done in owner.model.runner.run(program, ids, token_budget=self._budget, edit=self._edit):
            vectors[done.indices] = done.outputs[SENTENCE_EMBEDDING]
            advance(int(weights[done.indices].sum()))
        return vectors[inverse]

    def _edit(self, batch: TokenBatch[NDArray[Any]], _: Sequence[int]) -> TokenBatch[NDArray[Any]]:
        return self._owner.pooling.prepare(batch, self._prompt_length)

    def _tokenize(self, texts: list[str]) -> list[TokenIds]:
        owner = self._owner
        prepared = [owner.prepare(self._prompt + text) for text in texts]
        ids = owner.tokenizer.encode_ids(prepared, truncation=True, max_length=owner.max_seq_length)
        cut = [text.truncated for text in ids if text.truncated]
        if cut and owner.on_truncation == "error":
            raise TruncationError(
                f"{len(cut)} of {len(texts)} texts are longer than {owner.max_seq_length} tokens."
            )
        self._cut_texts += len(cut)
        self._cut_tokens += sum(cut)
        return ids

    def _length_of_prompt(self) -> int:
        """How many tokens the prompt takes at the start of a text, without the closing special token."""
        ids = self._owner.tokenizer.encode(self._owner.prepare(self._prompt))
        return len(ids) - (bool(ids) and ids[-1] in self._owner.tokenizer.all_special_ids)

    def _report(self) -> None:
        if self._cut_texts and self._owner.on_truncation == "warn":
            warnings.warn(
                f"{self._cut_texts} texts were longer than {self._owner.max_seq_length} tokens; "
                f"{self._cut_tokens} tokens at their ends were not read.",
                TruncationWarning,
                stacklevel=4,
            )


def _nothing(_: int) -> None:
    """Advance no progress bar."""
