"""Pairs for next-sentence prediction (https://arxiv.org/abs/1810.04805, section 3.1).

Half of them are a sentence and the one after it, half a sentence and one of another document. Here each side
is one sentence (one text of the corpus), so a corpus for long inputs has lines of several sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer
    from munjang.training.pretraining.corpus import TokenCorpus

__all__ = ["FOLLOWS", "RANDOM", "SentencePair", "SentencePairs", "shared_lengths"]

FOLLOWS, RANDOM = 0, 1


_SPECIAL = 3  # [CLS] a [SEP] b [SEP]


class SentencePair(NamedTuple):
    """``[CLS] a [SEP] b [SEP]`` as ids ``[L]``, segments 0 and 1 ``[L]`` (both int32), and the label."""

    input_ids: NDArray[np.int32]
    token_type_ids: NDArray[np.int32]
    label: int


class SentencePairs:
    """The pairs of a corpus that was built with ``sentences=True``.

    There is one pair for each sentence that another follows. Documents of one sentence begin no pair, but may
    give the random second side. Label 0 means that b follows a, label 1 that it is from another document.

    Args:
        corpus: the sentences.
        tokenizer: for the ids of ``[CLS]`` and ``[SEP]``; the one that the corpus was built with.
        max_length: the most tokens of a pair, special ones included; the longer sentence is cut first.
        seed: of all draws.

    Raises `InputError` for a corpus without sentences, with one document only, or without a document of two
    sentences, for a tokeniser that lacks the tokens, and for a length that leaves no room.
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
        """Count the pairs of an epoch."""
        return len(self._firsts)

    def costs(self) -> NDArray[np.intp]:
        """Return about how many tokens each pair has, ``[n]``: as many as with the sentence that follows."""
        lengths = np.diff(self._corpus.offsets)
        both = lengths[self._firsts] + lengths[self._firsts + 1]
        costs: NDArray[np.intp] = np.minimum(both, self._room).astype(np.intp) + _SPECIAL
        return costs

    def pair(self, epoch: int, index: int) -> SentencePair:
        """Return a pair; the same for the same seed, epoch and index, and a new draw in each epoch.

        ``index`` counts from 0 in the order of the corpus; whoever wants another order shuffles the indices.
        """
        first = int(self._firsts[range(len(self))[index]])
        rng = np.random.default_rng([self._seed, epoch, index % len(self)])
        label = int(rng.integers(2))
        second = first + 1 if label == FOLLOWS else self._elsewhere(first, rng)
        return self._join(self._corpus[first], self._corpus[second], label)

    def _elsewhere(self, sentence: int, rng: np.random.Generator) -> int:
        """Draw a sentence from all the other documents, each as likely as any other."""
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
    """Return how many tokens of each of two sentences fit when the longer one is cut first.

    For example 10 and 4 in a room of 9 -> 5 and 4.
    """
    if a + b <= room:
        return a, b
    half = room // 2
    if b <= half:
        return room - b, b
    kept = min(a, room - half)
    return kept, room - kept


def _first_sentences(corpus: TokenCorpus) -> NDArray[np.int64]:
    """Return the numbers of the sentences that another one of the same document follows."""
    if not corpus.sentences:
        raise InputError(
            "Next-sentence pairs need to know which lines are sentences of one document; build the corpus "
            "with sentences=True."
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
