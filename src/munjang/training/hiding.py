"""Texts with hidden tokens, as packed batches: what every kind of pre-training feeds a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.runtime.batches import pack_arrays
from munjang.tokenization import Tokenizer
from munjang.training.corpus import TokenCorpus
from munjang.training.corpus_build import vocabulary_mark
from munjang.training.masking import Masked, MaskingVocabulary, mask_tokens
from munjang.training.word_starts import word_starts

__all__ = ["Hider", "Packed", "check_corpora"]

_BLOCK = 1 << 16  # tokens that are looked at together


@dataclass(frozen=True, slots=True)
class Packed:
    """Texts one after another.

    Attributes:
        ids: ``[T]``.
        lengths: ``[B]``.
        types: ``[T]``, which text of a pair a token is of; ``None`` for single texts.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    types: NDArray[np.int32] | None = None

    @classmethod
    def of(
        cls, texts: Sequence[NDArray[np.int32]], types: Sequence[NDArray[np.int32]] | None = None
    ) -> Packed:
        """Put texts one after another."""
        lengths = np.array([len(text) for text in texts], dtype=np.int32)
        return cls(np.concatenate(list(texts)), lengths, None if types is None else np.concatenate(types))

    @property
    def starts(self) -> NDArray[np.int32]:
        """Where each text begins, ``[B]``."""
        starts: NDArray[np.int32] = (np.cumsum(self.lengths) - self.lengths).astype(np.int32)
        return starts

    def batch(
        self, config: EncoderConfig, rows: NDArray[Any], ids: NDArray[Any] | None = None
    ) -> TokenBatch[NDArray[Any]]:
        """Make a batch that wants ``rows`` of the last layer, of these ids or of others in their place."""
        chosen = (self.ids if ids is None else ids).astype(np.int32)
        positions = np.arange(len(chosen)) - np.repeat(self.starts, self.lengths) + config.position_offset
        types = np.zeros(len(chosen), dtype=np.int32) if self.types is None else self.types
        batch = pack_arrays(chosen, types, positions.astype(np.int32), self.lengths)
        return replace(batch, rows=rows.astype(np.int32))


class Hider:
    """Hides tokens of texts as a vocabulary and the settings say.

    Args:
        tokenizer: of the texts.
        probability: the part of each text's tokens that is hidden.
        whole_words: hide all pieces of a word together (arXiv:1906.08101).
        share_mask: the share of the hidden tokens that become the mask token.
        share_random: the share of them that become a random token; the rest is kept.

    Raises `InputError` for a vocabulary without a mask token or, with ``whole_words``, without marks of
    words, and for a probability that is none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        probability: float = 0.15,
        whole_words: bool = False,
        share_mask: float = 0.8,
        share_random: float = 0.1,
    ) -> None:
        if not 0 < probability <= 1:
            raise InputError(f"probability must be above 0 and at most 1, got {probability}.")
        self.vocabulary = MaskingVocabulary.of(tokenizer)
        self._probability = probability
        self._shares = share_mask, share_random
        self._word_starts = word_starts(tokenizer) if whole_words else None

    def __call__(self, packed: Packed, rng: np.random.Generator) -> Masked:
        """Hide tokens of each text; others each time."""
        starts = self._word_starts
        return mask_tokens(
            packed.ids,
            self.vocabulary.maskable(packed.ids),
            rng,
            vocabulary=self.vocabulary,
            probability=self._probability,
            share_mask=self._shares[0],
            share_random=self._shares[1],
            word_starts=None if starts is None else starts[packed.ids],
            lengths=packed.lengths.astype(np.int64),
        )

    def describe(self) -> str:
        """What is hidden."""
        return f"{self._probability:g} of the tokens" + (
            ", whole words" if self._word_starts is not None else ""
        )


def check_corpora(tokenizer: Tokenizer, rows: int, *corpora: TokenCorpus | None) -> None:
    """Raise `InputError` unless the corpora were made with this vocabulary and the model has rows for it.

    There must be something to hide in each, too.
    """
    mark, vocabulary = vocabulary_mark(tokenizer), MaskingVocabulary.of(tokenizer)
    for corpus in corpora:
        if corpus is None:
            continue
        if corpus.vocabulary != mark:
            raise InputError(
                f"The corpus was made with another vocabulary than that of {tokenizer.name_or_path!r}; build "
                "it again with this tokeniser."
            )
        blocks = range(0, len(corpus.tokens), _BLOCK)
        if not any(vocabulary.maskable(corpus.tokens[at : at + _BLOCK]).any() for at in blocks):
            raise InputError("The vocabulary knows no word of the texts, so there is nothing to hide.")
    needed = max(tokenizer.get_vocab().values()) + 1
    if needed > rows:
        raise InputError(
            f"The tokeniser has {needed} tokens, the model rows for {rows}; they do not belong together."
        )
