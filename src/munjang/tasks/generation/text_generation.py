"""Text generation: GPT-2 continues a prompt."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.registry import CAUSAL_LM
from munjang.sentence.activations import softmax
from munjang.tasks.generation.causal import (
    GenerationArguments,
    GenerationOptions,
    Reader,
    Weights,
    checked_texts,
)
from munjang.tasks.generation.sampling import Sampling, keep_top_k, keep_top_p
from munjang.tasks.loading import Loaded, ModelOptions, Task
from munjang.validation import checked_count, takes_keywords

__all__ = ["Candidate", "GeneratedText", "TextGeneration"]


class GeneratedText(TypedDict):
    """A text that was written, as `transformers` gives it."""

    generated_text: str


class Candidate(TypedDict):
    """A token that may come next.

    ``cumulative`` is its probability and that of all better ones; ``kept_by_top_k`` and ``kept_by_top_p``
    say whether each filter alone would keep it.
    """

    token: int
    token_str: str
    probability: float
    cumulative: float
    kept_by_top_k: bool
    kept_by_top_p: bool


class TextGeneration(Task):
    """Writes on from a prompt with a model of GPT-2's kind.

    Example::

        write_on = munjang.pipeline("text-generation", "openai-community/gpt2")
        write_on("The cat sat on the", max_new_tokens=20)  # [{"generated_text": "The cat sat on the ..."}]
        for piece in write_on.stream("옛날 옛적에", top_p=0.9, seed=1):
            print(piece, end="", flush=True)

    ``weights="int8"`` holds the matrices in 8 bits, on the openvino backend; `perplexity` tells what that
    costs. Raises what `Model.from_pretrained` raises, and `InputError` for unknown weights.
    """

    head = CAUSAL_LM

    def __init__(
        self,
        model: str | os.PathLike[str] | Loaded,
        *,
        weights: Weights = "float32",
        options: ModelOptions | None = None,
    ) -> None:
        super().__init__(model, options=options)
        self.weights: Weights = weights
        self._reader = Reader(self._loaded, weights)

    @overload
    def __call__(  # type: ignore[overload-overlap] # a str is a sequence of str, and never taken for one
        self,
        prompts: str,
        *,
        num_return_sequences: int = 1,
        batch_size: int = 16,
        **options: Unpack[GenerationArguments],
    ) -> list[GeneratedText]: ...
    @overload
    def __call__(
        self,
        prompts: Sequence[str],
        *,
        num_return_sequences: int = 1,
        batch_size: int = 16,
        **options: Unpack[GenerationArguments],
    ) -> list[list[GeneratedText]]: ...
    @takes_keywords(GenerationArguments, GenerationOptions)
    def __call__(
        self,
        prompts: str | Sequence[str],
        *,
        num_return_sequences: int = 1,
        batch_size: int = 16,
        **options: Unpack[GenerationArguments],
    ) -> list[GeneratedText] | list[list[GeneratedText]]:
        """Write on from a prompt, ``num_return_sequences`` times; a list of prompts gives a list of lists.

        A text ends with the model's end token, before a stop string, after ``max_new_tokens`` tokens, at
        ``max_length`` tokens with the prompt's, or where the model's length ends. A stop string that is never
        met ends nothing. An empty prompt starts from the beginning-of-text token (GPT-2's
        ``<|endoftext|>``).

        Args:
            prompts: a text, or a list of texts of any lengths.
            max_new_tokens: 50 if neither this nor ``max_length`` is given.
            max_length: in tokens, the prompt's included.
            do_sample: draw each token by its probability instead of taking the best. None draws if any of
                temperature, top_k, top_p and seed is given.
            temperature: scores are divided by it; below 1 the likely become likelier.
            top_k: draw among the k best only; None for all.
            top_p: draw among the fewest tokens that together have this probability; None for all.
            repetition_penalty: above 1, tokens that the text has already become less likely.
            num_return_sequences: texts per prompt.
            stop: strings before which a text ends; looked for in what is written, not in the prompt.
            seed: makes the drawing repeatable. The k-th text of a call then depends on its prompt alone.
            return_full_text: begin the text with the prompt.
            prefix: is read before each prompt and not given back.
            batch_size: texts that are written side by side.

        Raises `InputError` for a prompt that fills the model, values out of range and settings that
        contradict each other; `InputTypeError` for anything but texts and numbers.
        """
        chosen = GenerationOptions(**options)
        copies = checked_count("num_return_sequences", num_return_sequences)
        if copies > 1 and not chosen.draws:
            raise InputError(
                f"num_return_sequences={copies} without sampling would give {copies} times the same text; "
                "set do_sample=True."
            )
        single = isinstance(prompts, str)
        texts = checked_texts([prompts] if single else prompts)
        batch_size = checked_count("batch_size", batch_size)
        written = self._reader.write(self._reader.prompts(texts, chosen.prefix), chosen, copies, batch_size)
        starts = texts if chosen.return_full_text else [""] * len(texts)
        found = [
            [GeneratedText(generated_text=start + text) for text in group]
            for start, group in zip(starts, written, strict=True)
        ]
        return found[0] if single else found

    @takes_keywords(GenerationArguments, GenerationOptions)
    def stream(self, prompt: str, **options: Unpack[GenerationArguments]) -> Iterator[str]:
        """Write on from a prompt and give the text piece by piece, each as soon as it is certain.

        No piece ends within a character, and joined they are what the same call without ``stream`` gives: the
        prompt, if ``return_full_text``, is the first. Arguments and errors are those of the call; errors are
        raised at once, not with the first piece. The iteration may be left at any time.
        """
        chosen = GenerationOptions(**options)
        [text] = checked_texts([prompt])
        prompts = self._reader.prompts([text], chosen.prefix)
        pieces = self._reader.pieces(prompts, chosen, 1, chosen.generators(1))
        return _joined(text if chosen.return_full_text else "", pieces)

    def candidates(
        self,
        prompt: str,
        *,
        rows: int | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
    ) -> list[Candidate]:
        """Return the most likely next tokens of a text, best first, and which of them each filter would keep.

        Probabilities are those of all tokens, after the temperature and before any filter. ``rows`` is how
        many tokens; by default as many as top_k, or 10. A filter that is not given keeps all. Raises as the
        call.
        """
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        shown = checked_count("rows", (top_k or 10) if rows is None else rows)
        logits = self._reader.session().read(self._reader.prompts(checked_texts([prompt]), ""))
        scores = logits / np.float32(sampling.temperature)
        probabilities = softmax(scores)[0]
        by_k = (scores if top_k is None else keep_top_k(scores, top_k))[0] > -np.inf
        by_p = (scores if top_p is None else keep_top_p(scores, top_p))[0] > -np.inf
        order = np.argsort(-probabilities, kind="stable")[:shown]
        masses = np.cumsum(probabilities[order], dtype=np.float64)
        return [
            Candidate(
                token=int(token),
                token_str=self.tokenizer.decode([int(token)]),
                probability=float(probabilities[token]),
                cumulative=float(mass),
                kept_by_top_k=bool(by_k[token]),
                kept_by_top_p=bool(by_p[token]),
            )
            for token, mass in zip(order, masses, strict=True)
        ]

    def perplexity(self, texts: str | Sequence[str]) -> float:
        """Return the perplexity of texts: the exponential of the mean negative log-likelihood of tokens.

        Each token is scored given those before it, the first token of a text not at all; the mean is over the
        tokens of all texts together. A text longer than the model is read in parts, each on its own. Raises
        `InputError` if no text has two tokens.
        """
        losses = np.concatenate([np.empty(0), *self.losses([texts] if isinstance(texts, str) else texts)])
        if not losses.size:
            raise InputError("Perplexity needs a text of at least two tokens.")
        return math.exp(float(losses.mean()))

    def losses(self, texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """Return each text's negative log-likelihoods, one for each token but the first; see `perplexity`.

        A text of one token has none. Raises `InputTypeError` for anything but texts.
        """
        return self._reader.losses(checked_texts(texts, "Text"))


def _joined(start: str, pieces: Iterator[tuple[int, str]]) -> Iterator[str]:
    if start:
        yield start
    yield from (piece for _, piece in pieces if piece)
