"""Text generation after a prompt, with models such as GPT-2."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from munjang.choices import Weights
from munjang.errors import InputError
from munjang.models.registry import CAUSAL_LM
from munjang.sentence.activations import softmax
from munjang.tasks.generation.causal import GenerationArguments, GenerationOptions, Reader
from munjang.tasks.generation.sampling import Sampling, keep_top_k, keep_top_p
from munjang.tasks.loading import Loaded, ModelOptions, Task, text_list
from munjang.validation import checked_count, takes_keywords


class GeneratedText(TypedDict):
    """A generated text, in the form of `transformers`."""

    generated_text: str


class Candidate(TypedDict):
    """A candidate for the next token.

    ``cumulative`` is the sum of the probabilities of this and all better candidates; ``kept_by_top_k`` and
    ``kept_by_top_p`` are whether each filter alone would keep it.
    """

    token: int
    token_str: str
    probability: float
    cumulative: float
    kept_by_top_k: bool
    kept_by_top_p: bool


class TextGeneration(Task):
    """Generates text after a prompt, with a model such as GPT-2.

    Example::

        write_on = munjang.pipeline("text-generation", "openai-community/gpt2")
        write_on("The cat sat on the", max_new_tokens=20)  # [{"generated_text": "The cat sat on the ..."}]
        for piece in write_on.stream("옛날 옛적에", top_p=0.9, seed=1):
            print(piece, end="", flush=True)

    ``weights="int8"`` stores the matrices in 8 bits, with the openvino backend; `perplexity` measures the
    loss. Raises what `Model.from_pretrained` raises, and `InputError` for unknown weights.
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
    def __call__(  # type: ignore[overload-overlap] # a str is a sequence of str too
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
        """Generate ``num_return_sequences`` texts after a prompt; a list of prompts returns a list of lists.

        A text ends with the model's end token, before a stop string, after ``max_new_tokens`` tokens, at
        ``max_length`` tokens with the prompt's, or at the model's maximum length. An empty prompt starts with
        the beginning-of-text token (GPT-2's ``<|endoftext|>``).

        Args:
            prompts: a text, or a list of texts of any lengths.
            max_new_tokens: 50 if neither this nor ``max_length`` is set.
            max_length: in tokens, the prompt's included.
            do_sample: sample each token by its probability instead of taking the best. None samples if
                temperature, top_k, top_p or seed is set.
            temperature: scores are divided by it; a value below 1 makes likely tokens likelier.
            top_k: sample from the k best tokens only; None for all.
            top_p: sample from the fewest tokens that together have this probability; None for all.
            repetition_penalty: above 1, tokens that the text already contains become less likely.
            num_return_sequences: texts per prompt.
            stop: strings before which a text ends; searched for in the new text, not in the prompt.
            seed: makes sampling repeatable. The k-th text of a call then depends only on its prompt.
            return_full_text: start the text with the prompt.
            prefix: read before each prompt, but not returned.
            batch_size: texts that are generated in parallel.

        Raises `InputError` for a prompt as long as the model's maximum, values out of range and contradictory
        settings; `InputTypeError` for values other than texts and numbers.
        """
        chosen = GenerationOptions(**options)
        copies = chosen.checked_copies(num_return_sequences)
        single = isinstance(prompts, str)
        texts = text_list("prompts", [prompts] if single else prompts)
        batch_size = checked_count("batch_size", batch_size)
        written = self._reader.write(self._reader.prompts(texts, chosen.prefix), chosen, copies, batch_size)
        starts = texts if chosen.return_full_text else [""] * len(texts)
        results = [
            [GeneratedText(generated_text=start + text) for text in group]
            for start, group in zip(starts, written, strict=True)
        ]
        return results[0] if single else results

    @takes_keywords(GenerationArguments, GenerationOptions)
    def stream(self, prompt: str, **options: Unpack[GenerationArguments]) -> Iterator[str]:
        """Generate text after a prompt; yield its pieces as soon as they can't change any more.

        No piece ends within a character, and joined they are the text of a call: with ``return_full_text``
        the first is the prompt. Arguments and errors are those of a call; errors are raised before the
        iteration, which may be stopped at any time.
        """
        chosen = GenerationOptions(**options)
        [text] = text_list("prompt", [prompt])
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
        """Return the most likely next tokens of a text, best first, and whether each filter would keep them.

        Probabilities are over all tokens, after the temperature and before any filter. ``rows`` is the number
        of tokens, by default top_k or 10. A filter that is not set keeps all tokens. Raises as a call does.
        """
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        shown = checked_count("rows", (top_k or 10) if rows is None else rows)
        logits = self._reader.session().read(self._reader.prompts(text_list("prompt", [prompt]), ""))
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

        Each token but the first of a text is scored given the tokens before it; the mean is over the tokens
        of all texts. A text longer than the model is split into independent parts. Raises `InputError` if no
        text has two tokens.
        """
        losses = np.concatenate([np.empty(0), *self.losses([texts] if isinstance(texts, str) else texts)])
        if not losses.size:
            raise InputError("Perplexity needs a text of at least two tokens.")
        return math.exp(float(losses.mean()))

    def losses(self, texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """Return each text's negative log-likelihoods, one for each token but the first; see `perplexity`.

        A text of one token has none. Raises `InputTypeError` for values other than texts.
        """
        return self._reader.losses(text_list("texts", texts))


def _joined(start: str, pieces: Iterator[tuple[int, str]]) -> Iterator[str]:
    if start:
        yield start
    yield from (piece for _, piece in pieces if piece)
