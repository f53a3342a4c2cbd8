"""Text is composed first (NFC), and offsets refer to the original text."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from munjang.tokenization import Tokenizer, compose, nfc

# Characters that are composed, taken apart, reordered or left alone, mixed so that they meet.
TRICKY = (
    "aeq ᄀ하한ᅡᆨᆨ각힣ㄱ\u0301\u0323\u0308\u0345\u0344\u0340\u0f71\u0f72\u0f81\u09c7\u09be\u0958\ufb1d\u212b"
    "\uf900\U0002f800\U0001d15e\U0001d165é\u1ea5\u1f82\U00011131\U00011127👩\u200d👧🏽\u20e3!\n"
)
written = st.text(st.sampled_from(TRICKY)) | st.text(st.characters(exclude_categories=["Cs"]))
relaxed = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@relaxed
@given(written)
def test_nfc_is_that_of_the_standard_library(text: str) -> None:
    composed, offsets = compose(text)
    assert nfc(text) == composed == unicodedata.normalize("NFC", text)
    assert (offsets is None) == (composed == text)


@relaxed
@given(written)
def test_the_map_covers_the_text_in_order(text: str) -> None:
    composed, offsets = compose(text)
    if offsets is None:
        return
    spans = [offsets.span(index, index + 1) for index in range(len(composed))]
    assert spans == sorted(spans)
    covered = 0
    for (start, end), character in zip(spans, composed, strict=True):
        assert start <= covered <= end, "a gap"
        assert unicodedata.normalize("NFD", character)[0] in unicodedata.normalize("NFD", text[start:end])
        covered = end
    assert covered == len(text)
    assert offsets.span(0, len(composed)) == (0, len(text))


def test_every_character_alone_and_beside_others() -> None:
    for code in range(0, sys.maxunicode + 1, 7):  # every one takes too long; 7 shares no factor with blocks
        if 0xD800 <= code < 0xE000:
            continue
        for text in (chr(code), f"a{chr(code)}\u0323b"):
            assert compose(text)[0] == unicodedata.normalize("NFC", text), ascii(text)


def test_a_syllable_maps_to_all_its_jamo() -> None:
    composed, offsets = compose(unicodedata.normalize("NFD", "a한e\u0301b"))
    assert composed == "a한éb"
    assert offsets is not None
    assert [offsets.span(i, i + 1) for i in range(4)] == [(0, 1), (1, 4), (4, 6), (6, 7)]
    assert offsets.span(4, 4) == (7, 7)
    assert offsets.span(1, 1) == (1, 1)


def test_kept_marks_keep_their_offsets() -> None:
    _, offsets = compose("e\u0301\u0301\u0301")
    assert offsets is not None
    assert [offsets.span(i, i + 1) for i in range(3)] == [(0, 2), (2, 3), (3, 4)]


@pytest.mark.parametrize("text", ["한국어 é", "서울은 대한민국의 수도", "café ÀÉ"])
def test_either_form_gives_the_same_ids(ours: Tokenizer, text: str) -> None:
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    composed, decomposed = ours.encode_batch(forms)
    assert decomposed.input_ids == composed.input_ids
    assert decomposed.tokens == composed.tokens
    assert ours.encode_ids(forms)[0] == ours.encode_ids(forms)[1]
    for (start, end), (from_, to), sequence in zip(
        composed.offsets, decomposed.offsets, composed.sequence_ids, strict=True
    ):
        if sequence is not None:
            assert unicodedata.normalize("NFC", forms[1][from_:to]) == forms[0][start:end]


def test_each_text_of_a_pair_has_its_own_map(small: Tokenizer) -> None:
    decomposed = unicodedata.normalize("NFD", "서울")
    assert len(decomposed) == 5
    for pair in ((decomposed, "서울 cat"), ("서울 cat", decomposed)):
        encoding = small.encode_batch([pair])[0]
        for token, (start, end), sequence in zip(
            encoding.tokens, encoding.offsets, encoding.sequence_ids, strict=True
        ):
            if sequence is not None:
                assert unicodedata.normalize("NFC", pair[sequence][start:end]) == token


@relaxed
@given(
    text=written | st.text(st.sampled_from("the cat 서울 CAFÉcafé은는이가[MASK].,  ")),
    pair=st.none() | written,
)
def test_offsets_lie_in_the_text_in_order(small: Tokenizer, text: str, pair: str | None) -> None:
    texts = (text,) if pair is None else (text, pair)
    encoding = small.encode_batch([text if pair is None else (text, pair)])[0]
    last = {0: 0, 1: 0}
    for (start, end), sequence in zip(encoding.offsets, encoding.sequence_ids, strict=True):
        if sequence is None:
            assert (start, end) == (0, 0)
            continue
        assert last[sequence] <= start < end <= len(texts[sequence])
        last[sequence] = start


@relaxed
@given(st.text(st.sampled_from("the cat 서울 CAFÉcafé은는이가.,  ") | st.sampled_from(TRICKY)))
def test_the_range_of_the_text_contains_the_token(stripping: Tokenizer, text: str) -> None:
    """In an uncased vocabulary that strips accents, the text of a token normalises to the token."""
    encoding = stripping.encode_batch([text])[0]
    normalizer = stripping.backend_tokenizer.normalizer
    for token, (start, end), special in zip(
        encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True
    ):
        if special or token == "[UNK]":
            continue
        surface = normalizer.normalize_str(nfc(text[start:end])).strip()
        assert token.removeprefix("##") in surface


def test_ten_thousand_marks_and_more(stripping: Tokenizer) -> None:
    started = time.perf_counter()
    for marks in ("\u0301" * 10_000, "\u0301" * 5_000 + "\u0323" * 5_000, "\u0301\u0323" * 100_000):
        text = f"cat {'a' + marks} mat"
        encoding = stripping.encode_batch([text])[0]
        assert encoding.tokens == ["[CLS]", "cat", "a", "mat", "[SEP]"]
        start, end = encoding.offsets[3]
        assert text[start:end] == "mat"
        assert stripping.encode_ids([text])[0].input_ids == encoding.input_ids
    assert time.perf_counter() - started < 30, "it took quadratic time"


def test_five_megabytes(small: Tokenizer) -> None:
    text = "고양이 the cat 서울은 " * 200_000
    assert len(text.encode()) > 5_000_000
    (ids,) = small.encode_ids([text], max_length=64)
    assert len(ids.input_ids) == 64
    assert ids.truncated == 200_000 * 5 - 62
