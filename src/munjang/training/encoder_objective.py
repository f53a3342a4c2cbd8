"""What the objectives on a sentence encoder have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.runtime.batches import pack
from munjang.sentence.transformer import SentenceTransformer
from munjang.tokenization.encoding import TokenIds
from munjang.training.objective import Objective, Tokenised, costs_of

__all__ = ["EncoderObjective"]

X = TypeVar("X", bound=Tokenised)


class EncoderObjective(Objective[X]):
    """A loss on what a sentence encoder makes of texts.

    Args:
        model: a `SentenceTransformer` with the backend ``torch``.
        prompts: put before the first text of an example, and before its other texts.

    Raises `InputError` for two prompts where the model leaves the prompt out when it pools.
    """

    def __init__(self, model: SentenceTransformer, prompts: tuple[str, str]) -> None:
        self.model = model
        self._prompts = prompts
        self._prompt_length = self._tokens_of_prompt()

    def _tokens_of_prompt(self) -> int:
        if self.model.pooling.include_prompt or not any(self._prompts):
            return 0
        if len(set(self._prompts)) > 1:
            raise InputError(
                "This model leaves the prompt out when it pools, so both texts need the same prompt."
            )
        return len(self.model.tokenizer.encode(self._prompts[0])) - 1  # without the token that ends a text

    def tokenised(self, texts: Sequence[str], prompt: str) -> list[TokenIds]:
        """The ids of texts, with a prompt before each."""
        return self.model.tokenizer.encode_ids(
            [prompt + text for text in texts], truncation=True, max_length=self.model.max_seq_length
        )

    def packed(self, texts: Sequence[TokenIds]) -> TokenBatch[NDArray[Any]]:
        """Texts one after another, prepared for the model's pooling."""
        return self.model.pooling.prepare(pack(texts, self.model.model.runner.layout), self._prompt_length)

    def costs(self) -> NDArray[np.intp]:
        """The tokens of each example, all its texts together."""
        return costs_of(self.examples)

    def save(self, folder: Path) -> None:
        """Write the model so that this library and `sentence-transformers` load it."""
        self.model.model.set_weights(self.network.weights())
        self.model.save_pretrained(folder)

    def usage(self, folder: Path) -> str:
        """Show how to encode."""
        first, other = self._prompts
        lines = ["import munjang", "", f'model = munjang.SentenceTransformer("{folder}")']
        if first == other:
            prompt = f", prompt={first!r}" if first else ""
            lines.append(f'vectors = model.encode(["...", "..."]{prompt})')
        else:
            lines.append(f'queries = model.encode(["..."], prompt={first!r})')
            lines.append(f'documents = model.encode(["..."], prompt={other!r})')
        return "\n".join(lines)
