"""Learns the pieces of a WordPiece vocabulary from counted words.

The library `tokenizers` trains WordPiece by joining the most frequent pair of neighbouring pieces again and
again (byte-pair encoding, https://arxiv.org/abs/1508.07909, with ``##`` before what continues a word). Here
it does so over characters that are told apart by where they stand: one that continues a word is written as
another character, in the private planes of Unicode. So a word can be given in parts that may not grow
together while each part still knows whether it begins the word; and the same words always give the same
vocabulary, which the library's own ``##`` does not promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from munjang.errors import InputError
from munjang.tokenization.library import library_errors

__all__ = ["BREAK", "PREFIX", "WordCounts", "alphabet", "learn_pieces"]

PREFIX = "##"
BREAK = "\x1f"  # a control character, which no word holds
_SHIFT = 0xF0000  # takes the first two planes of Unicode to its private ones, 15 and 16
_PLANES = 0x20000  # what lies beyond is rare ideographs and private characters, not Korean or English
_LONGEST = 100  # characters; a longer word is unknown to every WordPiece tokeniser
_MOST_WORDS = 4_000_000  # about 500 MB


class WordCounts:
    """How often each word was seen, in bounded memory; `BREAK` stands where no piece may cross.

    When there are too many different words, the rarest go (lossy counting): little would have been learnt
    from them.
    """

    def __init__(self, most: int = _MOST_WORDS) -> None:
        self.words: Counter[str] = Counter()
        self._most = most

    def add(self, words: Iterable[str]) -> None:
        """Count words."""
        self.words.update(words)
        if len(self.words) > self._most:
            self._drop_rarest()

    def _drop_rarest(self) -> None:
        floor = 0
        while len(self.words) > self._most // 2:
            floor += 1
            self.words = Counter({word: n for word, n in self.words.items() if n > floor})

    def parts(self) -> Counter[str]:
        """Count the parts between breaks, each in the characters that tell where it stands."""
        counts: Counter[str] = Counter()
        for word, count in self.words.items():
            first, *others = word.split(BREAK)
            if first and len(word) - len(others) <= _LONGEST and _can_shift(word):
                for part in (first[0] + _shift(first[1:]), *map(_shift, others)):
                    counts[part] += count
        return counts


def _can_shift(word: str) -> bool:
    return word[0] < chr(_SHIFT) and all(ord(character) < _PLANES for character in word[1:])


def _shift(text: str) -> str:
    return "".join(chr(ord(character) + _SHIFT) for character in text)


def _plain(character: str) -> str:
    return chr(ord(character) - _SHIFT) if ord(character) >= _SHIFT else character


def alphabet(counts: Mapping[str, int], limit: int) -> list[str]:
    """Give the ``limit`` most frequent characters, each as a word's start and, if seen so, as its inside."""
    seen: Counter[str] = Counter()
    for part, count in counts.items():
        for character in part:
            seen[character] += count
    total: Counter[str] = Counter()
    for character, count in seen.items():
        total[_plain(character)] += count
    kept = set(sorted(total, key=lambda character: (-total[character], character))[:limit])
    # A single character is a word of its own somewhere, sooner or later.
    return sorted(kept | {character for character in seen if _plain(character) in kept})


def learn_pieces(
    counts: Mapping[str, int], characters: Sequence[str], size: int, min_frequency: int
) -> list[str]:
    """Give at most ``size`` pieces: the characters (of `alphabet`), then longer ones in learning order."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        show_progress=False,
        initial_alphabet=list(characters),
        limit_alphabet=len(characters),
    )
    with library_errors("The pieces can't be learned", InputError):
        backend.train_from_iterator(_repeated(counts), trainer)
    found = backend.get_vocab()
    return [_as_piece(piece) for piece in sorted(found, key=found.__getitem__)]


def _repeated(counts: Mapping[str, int], most: int = 1000) -> Iterator[str]:
    """Give each part as often as it was counted; the library takes texts, not counts."""
    for part, count in counts.items():
        for done in range(0, count, most):
            yield f"{part} " * min(most, count - done)


def _as_piece(shifted: str) -> str:
    text = "".join(map(_plain, shifted))
    return PREFIX + text if ord(shifted[0]) >= _SHIFT else text
