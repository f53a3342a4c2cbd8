"""Running a causal language model: prompts as ids, limits of their length, and decoding sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from munjang.choices import Weights
from munjang.errors import InputError
from munjang.models.program import LOGITS
from munjang.runtime.model import Model
from munjang.runtime.runner import Runner
from munjang.sentence.activations import log_softmax
from munjang.tasks.generation.decoding import Session, Writer, write
from munjang.tasks.generation.sampling import Sampling
from munjang.tasks.generation.streaming import text_stream
from munjang.tasks.loading import Loaded, text_list
from munjang.validation import optional_count

DEFAULT_NEW_TOKENS = 50
_PIECE = 64  # tokens whose scores are in memory at once: 13 MB for GPT-2's vocabulary


class GenerationArguments(TypedDict, total=False):
    """The fields of `GenerationOptions` as keyword arguments."""

    max_new_tokens: int | None
    max_length: int | None
    do_sample: bool | None
    temperature: float
    top_k: int | None
    top_p: float | None
    repetition_penalty: float
    stop: str | Sequence[str] | None
    seed: int | None
    return_full_text: bool
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions(Sampling):
    """How texts are generated from prompts; `TextGeneration.__call__` describes the fields.

    Raises `InputError` and `InputTypeError` for values that can't be used.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    stop: str | Sequence[str] | None = None
    return_full_text: bool = True
    prefix: str = ""

    def __post_init__(self) -> None:
        Sampling.__post_init__(self)  # super() fails in a class with slots
        optional_count("max_new_tokens", self.max_new_tokens)
        optional_count("max_length", self.max_length)
        if self.max_new_tokens is not None and self.max_length is not None:
            raise InputError(
                f"max_new_tokens={self.max_new_tokens} and max_length={self.max_length} exclude each other; "
                "pass only one of them."
            )
        if "" in self.stops:
            raise InputError("A stop string is empty, so it would end every text immediately; remove it.")

    @property
    def stops(self) -> list[str]:
        """The stop strings."""
        if self.stop is None:
            return []
        return text_list("stop", [self.stop] if isinstance(self.stop, str) else self.stop)


class Reader:
    """A causal model with the executor of its sessions, which uses all cores for one request."""

    def __init__(self, loaded: Loaded, weights: Weights) -> None:
        model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._vocab_size = model.config.vocab_size
        self._max_length = loaded.max_length
        self._ends = token_ids(model.raw_config.get("eos_token_id"), loaded.tokenizer.eos_token_id)
        self._starts = token_ids(model.raw_config.get("bos_token_id"), loaded.tokenizer.bos_token_id)
        self.session = session_maker(model, weights)
        """A function that creates an empty session with ``copies`` texts for each prompt."""

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of texts; `InputError` for an id outside the model's vocabulary."""
        rows = [text.input_ids for text in self._tokenizer.encode_ids(texts, truncation=False)]
        largest = max((max(ids, default=0) for ids in rows), default=0)
        if largest >= self._vocab_size:
            raise InputError(
                f"The tokenizer produces the id {largest}, but the model's vocabulary ends at "
                f"{self._vocab_size - 1}; they do not belong together."
            )
        return rows

    def prompts(self, texts: list[str], prefix: str) -> list[list[int]]:
        """Return the ids of prompts; an empty prompt starts with the beginning-of-text token.

        Raises `InputError` for a prompt as long as the model's maximum, and for an empty prompt if the model
        has no beginning-of-text token.
        """
        [prefix] = text_list("prefix", [prefix])
        prompts = self.encode([prefix + text for text in texts])
        for number, ids in enumerate(prompts):
            if not ids:
                ids += self._beginning(number)
            if len(ids) >= self._max_length:
                raise InputError(
                    f"Prompt {number} has {len(ids)} tokens, and the model takes {self._max_length} together "
                    "with the new tokens; shorten it."
                )
        return prompts

    def _beginning(self, number: int) -> list[int]:
        if not self._starts:
            raise InputError(
                f"Prompt {number} is empty, and the model has no token that starts a text; write a word."
            )
        return self._starts[:1]

    def _limit(self, number: int, ids: list[int], options: GenerationOptions) -> int:
        if options.max_length is None:
            return min(self._max_length, len(ids) + (options.max_new_tokens or DEFAULT_NEW_TOKENS))
        if options.max_length <= len(ids):
            raise InputError(
                f"max_length={options.max_length} counts the prompt, and prompt {number} has {len(ids)}; "
                "raise it, or use max_new_tokens."
            )
        return min(self._max_length, options.max_length)

    def pieces(
        self,
        prompts: list[list[int]],
        options: GenerationOptions,
        copies: int,
        generators: Sequence[np.random.Generator],
        first: int = 0,
    ) -> Iterator[tuple[int, str]]:
        """Start the generation after some prompts, ``copies`` times each; return the iterator of `write`.

        ``first`` is the index of the first prompt, for messages. Raises `InputError` before the iteration.
        """
        writers = [
            Writer(
                ids,
                limit=self._limit(first + number, ids, options),
                ends=self._ends,
                stream=text_stream(self._tokenizer, ids),
                stops=tuple(options.stops),
            )
            for number, ids in enumerate(prompts)
            for _ in range(copies)
        ]
        return write(self.session(copies), prompts, writers, options, generators)

    def write(
        self, prompts: list[list[int]], options: GenerationOptions, copies: int, batch_size: int
    ) -> list[list[str]]:
        """Return the texts generated after each prompt, without the prompts, ``batch_size`` at a time."""
        generators = options.generators(len(prompts) * copies)
        together = max(1, batch_size // copies)
        for number, ids in enumerate(prompts):  # before the generation starts
            self._limit(number, ids, options)
        texts: list[list[str]] = []
        for first in range(0, len(prompts), together):
            group = prompts[first : first + together]
            own = generators[first * copies : (first + len(group)) * copies]
            written = [""] * len(own)
            for number, piece in self.pieces(group, options, copies, own, first):
                written[number] += piece
            texts += [written[i : i + copies] for i in range(0, len(written), copies)]
        return texts

    def losses(self, texts: list[str]) -> list[NDArray[np.float64]]:
        """Return the negative log-likelihood of each token of each text, given the tokens before it.

        The first token of a text has none. A text longer than the model is split into parts, and the first
        token of each part has none.
        """
        limit = self._max_length
        return [
            np.concatenate(
                [
                    np.empty(0),
                    *(self._losses_of(ids[at : at + limit]) for at in range(0, len(ids) - 1, limit)),
                ]
            )
            for ids in self.encode(texts)
        ]

    def _losses_of(self, ids: list[int]) -> NDArray[np.float64]:
        session = self.session()
        losses = []
        for start in range(0, len(ids) - 1, _PIECE):
            piece = ids[start : min(start + _PIECE, len(ids) - 1)]
            likelihoods = log_softmax(session.read([piece], every_token=True))
            losses.append(-likelihoods[np.arange(len(piece)), ids[start + 1 : start + 1 + len(piece)]])
        return np.concatenate(losses)


def session_maker(model: Model, weights: Weights = "float32") -> Callable[..., Session]:
    """Return a function that creates sessions of a causal language model; its argument is ``copies``."""
    if weights not in ("float32", "int8"):
        raise InputError(f"Unknown weights {weights!r}; there are 'float32' and 'int8'.")
    executor = model.runner.executor.for_sessions(eight_bit=weights == "int8")
    runner = Runner(executor, model.runner.layout, weights=model.weights)
    program = replace(model.program(frozenset({LOGITS})), cached=True)

    def make(copies: int = 1) -> Session:
        return Session(runner.session(program), copies=copies)

    return make


def token_ids(configured: Any, named: int | None) -> list[int]:
    """Read a token id, or several, from a config; by default the tokenizer's."""
    given = named if configured is None else configured
    return [int(token) for token in (given if isinstance(given, list) else [given]) if token is not None]
