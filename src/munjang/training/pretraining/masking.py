"""Masking of tokens for masked language modelling, as in BERT; dynamic: sampled each time a text is used.

15% of the tokens of each text are predicted. Of these 80% are replaced by ``[MASK]``, 10% by a random token,
and 10% are unchanged (https://arxiv.org/abs/1810.04805, section 3.1). Whole-word masking selects all pieces
of a word together (https://arxiv.org/abs/1906.08101).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.runtime.runner import pack_arrays
from munjang.tokenization.pieces import word_starts
from munjang.training.pretraining.corpus import TokenCorpus, vocabulary_mark

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer


@dataclass(frozen=True, slots=True)
class MaskingVocabulary:
    """The properties of a vocabulary that masking needs.

    Attributes:
        mask_id: the id of the mask token.
        random_ids: ``[n]``; the candidates for a random token: all but the special tokens.
        special: ``[V]`` bool; the tokens that are never masked, including the unknown token.
    """

    mask_id: int
    random_ids: NDArray[np.int64]
    special: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> MaskingVocabulary:
        """Create it from a tokeniser. Raises `InputError` if the tokeniser has no mask token."""
        if tokenizer.mask_token_id is None:
            raise InputError(f"The vocabulary of {tokenizer.name_or_path!r} has no mask token to mask with.")
        ids = np.fromiter(tokenizer.get_vocab().values(), dtype=np.int64)
        special = np.ones(ids.max() + 1, dtype=np.bool_)
        special[ids] = False
        special[tokenizer.all_special_ids] = True
        return cls(tokenizer.mask_token_id, np.flatnonzero(~special), special)

    def maskable(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Return for each token whether it may be masked."""
        allowed: NDArray[np.bool_] = ~self.special[ids]
        return allowed


class Masked(NamedTuple):
    """The input ids ``[T]``, the positions ``[M]`` to predict, ascending, and their original ids ``[M]``."""

    input_ids: NDArray[Any]
    positions: NDArray[np.int64]
    labels: NDArray[Any]


def mask_tokens(
    ids: NDArray[Any],
    maskable: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    vocabulary: MaskingVocabulary,
    probability: float = 0.15,
    share_mask: float = 0.8,
    share_random: float = 0.1,
    word_starts: NDArray[np.bool_] | None = None,
    lengths: NDArray[np.int64] | None = None,
) -> Masked:
    """Choose random tokens to predict, and mask them.

    Args:
        ids: ``[T]``, the tokens of a single text, or of several packed texts; not modified.
        maskable: ``[T]``; which tokens may be chosen, as `MaskingVocabulary.maskable` returns it.
        rng: the random generator; the same state leads to the same result.
        vocabulary: the source of the replacement tokens.
        probability: the fraction of each text's maskable tokens to choose. The count is rounded, and at least
            1 in a text with any maskable token.
        share_mask: the probability that a chosen token becomes the mask token, independently for each token.
        share_random: the probability that it becomes a random token; otherwise it is unchanged.
        word_starts: ``[T]``; choose whole words: a token that starts no word belongs to the word before it,
            in the same text. Words are chosen at random until the count is reached. A word that would exceed
            the count is chosen with the probability that makes the expected number equal to the count; but
            the first word in a text's random order is chosen even if it exceeds the count.
        lengths: ``[B]``; the number of tokens of each packed text, with sum T; without it there is one text.

    Raises `InputError` for shapes that do not match and shares outside 0 to 1.
    """
    lengths = np.array([len(ids)], dtype=np.int64) if lengths is None else np.asarray(lengths)
    _check(ids, maskable, word_starts, lengths)
    _check_shares(probability, share_mask, share_random)
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    candidates = np.flatnonzero(maskable)
    if not len(candidates):
        return Masked(ids.copy(), candidates, ids[:0].copy())
    texts = text_of[candidates]
    counts = np.bincount(texts, minlength=len(lengths))
    budgets = np.maximum(np.rint(counts * probability).astype(np.int64), counts > 0)
    if word_starts is None:
        chosen = _first(texts, budgets, rng)
    else:
        chosen = _words(_word_of(candidates, texts, word_starts), texts, budgets, rng)
    positions = candidates[chosen]
    hidden = _hide(ids, positions, rng, vocabulary, share_mask, share_random)
    return Masked(hidden, positions, ids[positions])


def _first(texts: NDArray[Any], budgets: NDArray[Any], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose ``budgets[b]`` random candidates of each text b; the candidates ``[C]`` are in text order."""
    # Texts are in order already, so sorting by text and then randomly shuffles only within each text.
    order = np.argsort(texts + rng.random(len(texts)))
    counts = np.bincount(texts, minlength=len(budgets))
    rank = np.arange(len(texts)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(len(texts), dtype=np.bool_)
    chosen[order] = rank < budgets[texts]
    return chosen


def _word_of(candidates: NDArray[Any], texts: NDArray[Any], starts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the word number of each candidate, counted from 0, ascending."""
    begins = starts[candidates].copy()
    begins[0] = True
    # A candidate after a token that can't be masked, or in the next text, begins a new word.
    begins[1:] |= (np.diff(texts) != 0) | (np.diff(candidates) > 1)
    word: NDArray[np.int64] = np.cumsum(begins) - 1
    return word


def _words(
    word_of: NDArray[np.int64], texts: NDArray[Any], budgets: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose whole words at random until each text's budget is reached."""
    sizes = np.bincount(word_of)
    text = texts[np.cumsum(sizes) - sizes]  # the text of each word
    order = np.argsort(text + rng.random(len(text)))
    size = sizes[order]
    ends = np.cumsum(size)
    before = ends - size  # tokens of the words earlier in the random order, in this and earlier texts
    first = np.diff(text, prepend=-1) != 0
    before -= np.maximum.accumulate(np.where(first, before, 0))  # in this text only
    room = budgets[text] - before
    taken = np.zeros(len(text), dtype=np.bool_)
    taken[order] = (room > 0) & (first | (rng.random(len(text)) * size < room))
    return taken[word_of]


def _hide(
    ids: NDArray[Any],
    positions: NDArray[Any],
    rng: np.random.Generator,
    vocabulary: MaskingVocabulary,
    share_mask: float,
    share_random: float,
) -> NDArray[Any]:
    draw = rng.random(len(positions))
    replaced = positions[(draw >= share_mask) & (draw < share_mask + share_random)]
    hidden = ids.copy()
    hidden[positions[draw < share_mask]] = vocabulary.mask_id
    if len(replaced):
        hidden[replaced] = vocabulary.random_ids[rng.integers(len(vocabulary.random_ids), size=len(replaced))]
    return hidden


def _check(
    ids: NDArray[Any],
    maskable: NDArray[Any],
    word_starts: NDArray[Any] | None,
    lengths: NDArray[Any],
) -> None:
    if ids.ndim != 1:
        raise InputError(f"ids must have one axis, of tokens, got shape {ids.shape}.")
    for name, array in (("maskable", maskable), ("word_starts", word_starts)):
        if array is not None and (array.shape != ids.shape or array.dtype != np.bool_):
            raise InputError(f"{name} must be bool of shape {ids.shape}, got {array.dtype} of {array.shape}.")
    if lengths.sum() != len(ids):
        raise InputError(f"The lengths of the texts sum to {lengths.sum()}, but there are {len(ids)} tokens.")


def _check_shares(probability: float, share_mask: float, share_random: float) -> None:
    if not 0 < probability <= 1:
        raise InputError(f"probability must be above 0 and at most 1, got {probability}.")
    if share_mask < 0 or share_random < 0 or share_mask + share_random > 1 + 1e-9:
        raise InputError(
            f"share_mask and share_random must lie from 0 to 1 together, got {share_mask} and {share_random}."
        )


_BLOCK = 1 << 16  # tokens that are checked at a time


@dataclass(frozen=True, slots=True)
class Packed:
    """Packed texts: the concatenation of their ids.

    Attributes:
        ids: ``[T]``, the concatenated ids.
        lengths: ``[B]``, the number of tokens of each text.
        types: ``[T]``, the token types, which number the texts of a pair; ``None`` for single texts.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    types: NDArray[np.int32] | None = None

    @classmethod
    def of(
        cls, texts: Sequence[NDArray[np.int32]], types: Sequence[NDArray[np.int32]] | None = None
    ) -> Packed:
        """Create packed texts by concatenation."""
        lengths = np.array([len(text) for text in texts], dtype=np.int32)
        return cls(np.concatenate(list(texts)), lengths, None if types is None else np.concatenate(types))

    @property
    def starts(self) -> NDArray[np.int32]:
        """Return the offset of each text, ``[B]``."""
        starts: NDArray[np.int32] = (np.cumsum(self.lengths) - self.lengths).astype(np.int32)
        return starts

    def batch(
        self, config: EncoderConfig, rows: NDArray[Any], ids: NDArray[Any] | None = None
    ) -> TokenBatch[NDArray[Any]]:
        """Create a packed batch that requests ``rows`` of the last layer; ``ids`` replaces the texts' ids."""
        chosen = (self.ids if ids is None else ids).astype(np.int32)
        positions = np.arange(len(chosen)) - np.repeat(self.starts, self.lengths) + config.position_offset
        types = np.zeros(len(chosen), dtype=np.int32) if self.types is None else self.types
        batch = pack_arrays(chosen, types, positions.astype(np.int32), self.lengths)
        return replace(batch, rows=rows.astype(np.int32))


class Hider:
    """Masks tokens of packed texts, with a vocabulary and fixed settings.

    Args:
        tokenizer: the tokenizer of the texts.
        probability: the fraction of each text's tokens that is masked.
        whole_words: mask all pieces of a word together (arXiv:1906.08101).
        share_mask: the probability that a chosen token becomes the mask token.
        share_random: the probability that it becomes a random token; otherwise it is unchanged.

    Raises `InputError` for a vocabulary without a mask token or, with ``whole_words``, without marks of word
    starts, and for a probability that is not above 0 and at most 1.
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
        _check_shares(probability, share_mask, share_random)
        self.vocabulary = MaskingVocabulary.of(tokenizer)
        self._probability = probability
        self._shares = share_mask, share_random
        self._word_starts = word_starts(tokenizer) if whole_words else None

    def __call__(self, packed: Packed, rng: np.random.Generator) -> Masked:
        """Mask random tokens of each text."""
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
        """Return the settings in words."""
        return f"{self._probability:.12g} of the tokens" + (
            ", whole words" if self._word_starts is not None else ""
        )


def check_corpora(tokenizer: Tokenizer, rows: int, *corpora: TokenCorpus | None) -> None:
    """Check that the corpora were built with this vocabulary and that the model has rows for it.

    Raises `InputError` if not, or if a corpus has no token that can be masked.
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
            raise InputError(
                "The vocabulary has no token for any word of the texts, so nothing can be masked."
            )
    needed = max(tokenizer.get_vocab().values()) + 1
    if needed > rows:
        raise InputError(
            f"The tokeniser has {needed} tokens, the model rows for {rows}; they do not belong together."
        )
