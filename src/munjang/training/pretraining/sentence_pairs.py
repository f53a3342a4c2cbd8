"""Pairs for next-sentence prediction (https://arxiv.org/abs/1810.04805, section 3.1).

In half of the pairs the second sentence follows the first, in the other half it is from another document.
Here each side is a single sentence (a text of the corpus), so a corpus for long inputs needs lines of several
sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer
    from munjang.training.pretraining.corpus import TokenCorpus

FOLLOWS, RANDOM = 0, 1


_SPECIAL = 3  # [CLS] a [SEP] b [SEP]


class SentencePair(NamedTuple):
    """``[CLS] a [SEP] b [SEP]`` as ids ``[L]``, segments 0 and 1 ``[L]`` (both int32), and the label."""

    input_ids: NDArray[np.int32]
    token_type_ids: NDArray[np.int32]
    label: int


class SentencePairs:
    """The pairs of a corpus that was built with ``sentences=True``.

    There is a pair for each sentence that is not the last of its document. A document of a single sentence
    provides only random second sentences. Label 0 means that b follows a, label 1 that b is from another
    document.

    Args:
        corpus: the sentences.
        tokenizer: the tokenizer that the corpus was built with, for the ids of ``[CLS]`` and ``[SEP]``.
        max_length: the maximum number of tokens of a pair, including special tokens; the longer sentence is
            truncated first.
        seed: the seed of all random choices.

    Raises `InputError` for a corpus built without ``sentences=True``, with a single document, or without a
    document of two sentences, for a tokeniser that lacks the special tokens, and for a ``max_length`` that
    leaves no room for the sentences.
    """

    def __init__(
        self, corpus: TokenCorpus, tokenizer: Tokenizer, *, max_length: int = 128, seed: int = 0
    ) -> None:
        self._corpus, self._room, self._seed = corpus, max_length - _SPECIAL, seed
        if self._room < 2:
            raise InputError(f"max_length={max_length} leaves no room for two sentences; use at least 5.")
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            raise InputError(f"The vocabulary of {tokenizer.name_or_path!r} lacks [CLS] or [SEP].")
        self._cls, self._sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._firsts = _first_sentences(corpus)

    def __len__(self) -> int:
        """Return the number of pairs of an epoch."""
        return len(self._firsts)

    def costs(self) -> NDArray[np.intp]:
        """Return the approximate number of tokens of each pair, ``[n]``: the number if the label is 0."""
        lengths = np.diff(self._corpus.offsets)
        both = lengths[self._firsts] + lengths[self._firsts + 1]
        costs: NDArray[np.intp] = np.minimum(both, self._room).astype(np.intp) + _SPECIAL
        return costs

    def pair(self, epoch: int, index: int) -> SentencePair:
        """Return a pair. It depends only on seed, epoch and index, and is sampled again for each epoch.

        ``index`` counts from 0 in the order of the corpus; for another order, shuffle the indices.
        """
        first = int(self._firsts[range(len(self))[index]])
        rng = np.random.default_rng([self._seed, epoch, index % len(self)])
        label = int(rng.integers(2))
        second = first + 1 if label == FOLLOWS else self._elsewhere(first, rng)
        return self._join(self._corpus[first], self._corpus[second], label)

    def _elsewhere(self, sentence: int, rng: np.random.Generator) -> int:
        """Return a random sentence of all other documents, with uniform probability over the sentences."""
        documents = self._corpus.documents
        at = int(np.searchsorted(documents, sentence, side="right")) - 1
        begin, end = int(documents[at]), int(documents[at + 1])
        drawn = int(rng.integers(len(self._corpus) - (end - begin)))
        return drawn if drawn < begin else drawn + end - begin

    def _join(self, a: NDArray[Any], b: NDArray[Any], label: int) -> SentencePair:
        a_length, b_length = shared_lengths(len(a), len(b), self._room)
        ids = [self._cls, *a[:a_length].tolist(), self._sep, *b[:b_length].tolist(), self._sep]
        types = np.zeros(len(ids), dtype=np.int32)
        types[a_length + 2 :] = 1
        return SentencePair(np.array(ids, dtype=np.int32), types, label)


def shared_lengths(a: int, b: int, room: int) -> tuple[int, int]:
    """Return the lengths of two sentences after truncation to ``room`` tokens, the longer sentence first.

    For example 10 and 4 with a room of 9 -> 5 and 4.
    """
    if a + b <= room:
        return a, b
    half = room // 2
    if b <= half:
        return room - b, b
    kept = min(a, room - half)
    return kept, room - kept


def _first_sentences(corpus: TokenCorpus) -> NDArray[np.int64]:
    """Return the indices of the sentences that are not the last of their document."""
    if not corpus.sentences:
        raise InputError(
            "Next-sentence pairs need a corpus with documents of several sentences; build it with "
            "sentences=True."
        )
    if len(corpus.documents) == 2:
        raise InputError(
            "Next-sentence pairs need several documents, and the corpus has one; put blank lines between "
            "them."
        )
    follows = np.ones(len(corpus), dtype=np.bool_)
    follows[corpus.documents[1:] - 1] = False
    firsts = np.flatnonzero(follows)
    if not len(firsts):
        raise InputError(
            "No document of the corpus has two sentences; put one sentence on each line, and blank lines "
            "between documents only."
        )
    return firsts
