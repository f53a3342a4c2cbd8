"""Next-sentence pairs: half follow, half are random, and each pair is reproducible."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang import Tokenizer
from munjang.errors import InputError
from munjang.training.pretraining.corpus import TokenCorpus
from munjang.training.pretraining.sentence_pairs import (
    FOLLOWS,
    RANDOM,
    SentencePair,
    SentencePairs,
    shared_lengths,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Each sentence is a different word, so that its id identifies its position.
DOCUMENTS = [["a0", "a1", "a2", "a3"], ["b0"], ["c0", "c1"], ["d0", "d1", "d2"]]


def make(
    folder: Path, documents: list[list[str]], *, sentences: bool = True
) -> tuple[TokenCorpus, Tokenizer]:
    words = sorted({word for document in documents for line in document for word in line.split()})
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words]) + "\n")
    tokenizer = Tokenizer.from_pretrained(folder)
    file = folder / "text.txt"
    file.write_text("\n\n".join("\n".join(document) for document in documents) + "\n")
    return TokenCorpus.build(file, tokenizer, folder / "corpus", sentences=sentences), tokenizer


def words_of(tokenizer: Tokenizer, pair: SentencePair) -> list[str]:
    return [str(token) for token in tokenizer.convert_ids_to_tokens(pair.input_ids.tolist())]


def test_every_pair(tmp_path: Path) -> None:
    corpus, tokenizer = make(tmp_path, DOCUMENTS)
    pairs = SentencePairs(corpus, tokenizer, seed=3)
    assert len(pairs) == 6
    second: dict[tuple[str, int], set[str]] = {}
    for epoch in range(200):
        for index in range(len(pairs)):
            pair = pairs.pair(epoch, index)
            cls, a, sep, b, end = words_of(tokenizer, pair)
            assert (cls, sep, end) == ("[CLS]", "[SEP]", "[SEP]")
            assert pair.token_type_ids.tolist() == [0, 0, 0, 1, 1]
            assert pair.input_ids.dtype == pair.token_type_ids.dtype == np.int32
            second.setdefault((a, pair.label), set()).add(b)
    every = {sentence for document in DOCUMENTS for sentence in document}
    for document in DOCUMENTS:
        for a, after in pairwise(document):
            assert second.pop((a, FOLLOWS)) == {after}
            assert second.pop((a, RANDOM)) == every - set(document)
    assert not second


def test_half_of_the_pairs_follow_and_the_others_are_uniform(tmp_path: Path) -> None:
    corpus, tokenizer = make(tmp_path, DOCUMENTS)
    pairs = SentencePairs(corpus, tokenizer)
    drawn = [pairs.pair(epoch, 0) for epoch in range(3000)]
    follows = sum(pair.label == FOLLOWS for pair in drawn)
    assert abs(follows - 1500) < 6 * np.sqrt(750)
    counts = np.bincount([pair.input_ids[3] for pair in drawn if pair.label == RANDOM])
    counts = counts[counts > 0]
    assert len(counts) == 6
    assert np.abs(counts - counts.mean()).max() < 6 * np.sqrt(counts.mean())


def test_a_pair_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    corpus, tokenizer = make(tmp_path, DOCUMENTS)
    one, same, other = (SentencePairs(corpus, tokenizer, seed=seed) for seed in (7, 7, 8))

    def drawn(pairs: SentencePairs, epoch: int) -> list[list[int]]:
        return [pairs.pair(epoch, index).input_ids.tolist() for index in range(len(pairs))]

    backwards = [same.pair(2, index).input_ids.tolist() for index in reversed(range(len(same)))]
    assert drawn(one, 2) == backwards[::-1]
    assert len({str(drawn(pairs, epoch)) for pairs in (one, other) for epoch in range(4)}) == 8
    assert one.pair(0, -1).input_ids.tolist() == one.pair(0, 5).input_ids.tolist()
    with pytest.raises(IndexError):
        one.pair(0, 6)


def test_the_longer_sentence_is_cut_first(tmp_path: Path) -> None:
    long, short = " ".join(f"x{i}" for i in range(9)), "y0 y1 y2"
    corpus, tokenizer = make(tmp_path, [[long, short], [long, short]])
    for room, a, b in ((12, 9, 3), (11, 8, 3), (7, 4, 3), (6, 3, 3), (5, 3, 2), (2, 1, 1)):
        pairs = SentencePairs(corpus, tokenizer, max_length=room + 3)
        pair = next(pairs.pair(epoch, 0) for epoch in range(50) if pairs.pair(epoch, 0).label == FOLLOWS)
        expected = ["[CLS]", *long.split()[:a], "[SEP]", *short.split()[:b], "[SEP]"]
        assert words_of(tokenizer, pair) == expected
        assert pair.token_type_ids.tolist() == [0] * (a + 2) + [1] * (b + 1)
        assert pairs.costs().tolist() == [len(expected)] * 2


def cut_one_by_one(a: int, b: int, room: int) -> tuple[int, int]:
    while a + b > room:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    return a, b


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 80))
def test_shared_lengths(a: int, b: int, room: int) -> None:
    found, expected = shared_lengths(a, b, room), cut_one_by_one(a, b, room)
    assert found == expected


def test_mistakes(tmp_path: Path) -> None:
    for name in "pqrs":
        (tmp_path / name).mkdir()
    lines, tokenizer = make(tmp_path / "p", DOCUMENTS, sentences=False)
    one, _ = make(tmp_path / "q", [["a", "b"]])
    single, _ = make(tmp_path / "r", [["a"], ["b"]])
    good, _ = make(tmp_path / "s", DOCUMENTS)
    for corpus, message in ((lines, "sentences=True"), (one, "has one"), (single, "two sentences")):
        with pytest.raises(InputError, match=message):
            SentencePairs(corpus, tokenizer)
    with pytest.raises(InputError, match="no room for two sentences"):
        SentencePairs(good, tokenizer, max_length=4)
    tokenizer.sep_token = None
    with pytest.raises(InputError, match=r"lacks \[CLS\] or \[SEP\]"):
        SentencePairs(good, tokenizer)
