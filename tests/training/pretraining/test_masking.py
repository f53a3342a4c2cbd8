"""Masked tokens: BERT's counts and shares, no special tokens, whole words, reproducible samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from munjang import Tokenizer
from munjang.errors import InputError
from munjang.training.options import VocabularyTask
from munjang.training.pretraining.masking import Masked, MaskingVocabulary, mask_tokens
from munjang.training.vocabulary.train import train_wordpiece

CLS, SEP, MASK, SIZE = 2, 3, 4, 1000
SPECIAL = np.arange(SIZE) < 5
VOCABULARY = MaskingVocabulary(MASK, np.arange(5, SIZE), SPECIAL)


def packed(rng: np.random.Generator, lengths: list[int]) -> NDArray[np.int64]:
    """Return texts with these numbers of tokens, [CLS] and [SEP] included if they fit."""
    texts = []
    for length in lengths:
        text = rng.integers(5, SIZE, size=length)
        if length > 2:
            text[0], text[-1] = CLS, SEP
        texts.append(text)
    return np.concatenate(texts) if texts else np.zeros(0, dtype=np.int64)


def mask(ids: NDArray[Any], seed: int, **settings: Any) -> Masked:
    rng = np.random.default_rng(seed)
    return mask_tokens(ids, VOCABULARY.maskable(ids), rng, vocabulary=VOCABULARY, **settings)


def per_text(masked: Masked, lengths: list[int]) -> NDArray[np.int64]:
    text_of = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(text_of[masked.positions], minlength=len(lengths))


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=8),
    st.integers(0, 2**32),
    st.sampled_from([0.05, 0.15, 0.4, 1.0]),
    st.booleans(),
)
def test_properties(lengths: list[int], seed: int, probability: float, whole_words: bool) -> None:
    rng = np.random.default_rng(seed)
    ids = packed(rng, lengths)
    starts = rng.random(len(ids)) < 0.6
    before = ids.copy()
    settings: dict[str, Any] = {"probability": probability, "lengths": np.array(lengths)}
    if whole_words:
        settings["word_starts"] = starts
    masked = mask(ids, seed, **settings)
    assert np.array_equal(ids, before)
    assert np.all(np.diff(masked.positions) > 0)
    assert np.array_equal(masked.labels, ids[masked.positions])
    assert not SPECIAL[masked.labels].any()
    untouched = np.ones(len(ids), dtype=bool)
    untouched[masked.positions] = False
    assert np.array_equal(masked.input_ids[untouched], ids[untouched])
    changed = masked.input_ids[masked.positions]
    assert np.all((changed == MASK) | ~SPECIAL[changed])
    maskable = np.array([(~SPECIAL[text]).sum() for text in np.split(ids, np.cumsum(lengths)[:-1])])
    counts = per_text(masked, lengths)
    if whole_words:
        assert np.array_equal(counts > 0, maskable > 0)
        check_whole_words(masked, ids, starts, lengths)
    else:
        assert np.array_equal(counts, np.maximum(np.rint(maskable * probability), maskable > 0))
    again = mask(ids, seed, **settings)
    assert all(np.array_equal(a, b) for a, b in zip(masked, again, strict=True))


def check_whole_words(masked: Masked, ids: NDArray[Any], starts: NDArray[Any], lengths: list[int]) -> None:
    chosen = set(masked.positions.tolist())
    firsts = {0, *np.cumsum(lengths).tolist()}
    for at in range(1, len(ids)):
        same_word = at not in firsts and not starts[at] and not SPECIAL[ids[at]] and not SPECIAL[ids[at - 1]]
        if same_word:
            assert (at in chosen) == (at - 1 in chosen)


def test_the_shares() -> None:
    ids = packed(np.random.default_rng(0), [402] * 50)
    lengths = np.array([402] * 50)
    kinds, positions = np.zeros(3), np.zeros(402)
    for seed in range(40):
        masked = mask(ids, seed, lengths=lengths)
        assert per_text(masked, [402] * 50).tolist() == [60] * 50
        after = masked.input_ids[masked.positions]
        kept = after == masked.labels
        kinds += [(after == MASK).sum(), (~kept & (after != MASK)).sum(), kept.sum()]
        positions += np.bincount(masked.positions % 402, minlength=402)
    drawn = kinds.sum()
    assert drawn == 120_000
    # Six standard deviations of a binomial; a random token is the right one in one of 995 draws.
    for found, share in zip(kinds / drawn, (0.8, 0.1 * 994 / 995, 0.1 + 0.1 / 995), strict=True):
        assert abs(found - share) < 6 * np.sqrt(share * (1 - share) / drawn)
    # Every place is as likely as any other.
    expected = drawn / 400
    assert positions[0] == positions[-1] == 0
    assert np.abs(positions[1:-1] - expected).max() < 6 * np.sqrt(expected)


def test_random_tokens_are_uniform_and_never_special() -> None:
    ids = packed(np.random.default_rng(1), [1002])
    small = MaskingVocabulary(MASK, np.array([7, 8, 9, 11]), SPECIAL)
    rng = np.random.default_rng(2)
    counts = np.zeros(SIZE)
    for _ in range(100):
        masked = mask_tokens(
            ids, ~SPECIAL[ids], rng, vocabulary=small, probability=1.0, share_mask=0.0, share_random=1.0
        )
        assert len(masked.positions) == 1000
        counts += np.bincount(masked.input_ids[masked.positions], minlength=SIZE)
    assert counts.sum() == counts[[7, 8, 9, 11]].sum() == 100_000
    assert np.abs(counts[[7, 8, 9, 11]] - 25_000).max() < 6 * np.sqrt(25_000)


def test_each_call_draws_anew() -> None:
    ids, rng = packed(np.random.default_rng(0), [100]), np.random.default_rng(5)
    first, second = (mask_tokens(ids, ~SPECIAL[ids], rng, vocabulary=VOCABULARY) for _ in range(2))
    assert not np.array_equal(first.positions, second.positions)


def test_whole_word_masking_reaches_the_same_share() -> None:
    rng = np.random.default_rng(3)
    lengths = [302] * 60
    ids = packed(rng, lengths)
    starts = rng.random(len(ids)) < 0.5
    counts = np.array(
        [per_text(mask(ids, i, lengths=np.array(lengths), word_starts=starts), lengths) for i in range(30)]
    )
    # 45 of 300 tokens are wanted. A word has two tokens on average, so a count is rarely far from it.
    assert abs(counts.mean() - 45) < 0.25
    assert np.abs(counts - 45).max() < 16


def test_a_word_longer_than_the_count_is_masked_whole() -> None:
    ids = np.array([CLS, 10, 11, 12, 13, SEP])
    starts = np.array([True, True, False, False, False, True])
    assert mask(ids, 0, word_starts=starts).positions.tolist() == [1, 2, 3, 4]


def test_no_maskable_tokens() -> None:
    for ids in (np.array([CLS, SEP]), np.zeros(0, dtype=np.int64)):
        for words in (None, np.ones(len(ids), dtype=bool)):
            masked = mask(ids, 0, word_starts=words)
            assert masked.input_ids.tolist() == ids.tolist()
            assert len(masked.positions) == len(masked.labels) == 0


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
def test_the_type_of_the_ids_stays(dtype: Any) -> None:
    masked = mask(packed(np.random.default_rng(0), [50]).astype(dtype), 0)
    assert masked.input_ids.dtype == masked.labels.dtype == dtype


def test_of_a_tokenizer(tmp_path: Any) -> None:
    tokenizer: Tokenizer = train_wordpiece(
        None, tmp_path, texts=["서울 부산 대전"] * 3, task=VocabularyTask(vocab_size=40)
    )
    vocabulary = MaskingVocabulary.of(tokenizer)
    assert vocabulary.mask_id == tokenizer.mask_token_id
    assert np.flatnonzero(vocabulary.special).tolist() == [0, 1, 2, 3, 4]
    assert vocabulary.random_ids.tolist() == list(range(5, len(tokenizer)))
    ids = np.array(tokenizer.encode("서울 뷁 [MASK] 부산"))
    assert vocabulary.maskable(ids).tolist() == [False, True, False, False, True, False]
    tokenizer.mask_token = None
    with pytest.raises(InputError, match="no mask token"):
        MaskingVocabulary.of(tokenizer)


def test_mistakes() -> None:
    ids = packed(np.random.default_rng(0), [10])
    bad: list[tuple[str, dict[str, Any]]] = [
        ("sum to 9", {"lengths": np.array([4, 5])}),
        ("word_starts must be bool", {"word_starts": np.ones(10)}),
        ("word_starts must be bool", {"word_starts": np.ones(9, dtype=bool)}),
        ("probability", {"probability": 0.0}),
        ("probability", {"probability": 1.5}),
        ("share_mask and share_random", {"share_mask": 0.95}),
        ("share_mask and share_random", {"share_random": -0.1}),
    ]
    for message, settings in bad:
        with pytest.raises(InputError, match=message):
            mask(ids, 0, **settings)
    with pytest.raises(InputError, match="one axis"):
        mask(ids[None], 0)
