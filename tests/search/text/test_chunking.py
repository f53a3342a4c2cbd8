"""Sentences and passages: the positions of the cuts, and that no text is lost."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from munjang import Tokenizer
from munjang.search.text.chunking import Chunker, Place, sentences
from support.tiny import tiny_sentence_model


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One token for each letter, so that lengths can be seen."""
    return Tokenizer.from_pretrained(tiny_sentence_model(tmp_path_factory.mktemp("cut") / "tiny"))


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "parts",
    [
        ["밥을 먹었다.", "맛있었어요!", "또 갈까?", "그래…", "좋아"],
        ["He came.", "She left!", "Why?"],
        ["첫 줄", "둘째 줄", "셋째 문단."],
        ['그는 "간다. 그리고 안 온다."라고 했다.', "끝."],
        ["“정말요? 네.”", "그가 웃었다."],
        ["Dr. Kim met J. K. Rowling at 3.14 p.m. on www.a.com/b.html, e.g. there.", "Then left."],
        ["It was 3.", "Then 4."],
        ["1. 서론은 짧다.", "2. 결론도 짧다."],
        ["물가가 3.5% 올랐다.", "2023. 5. 1. 기준이다."],
        ["값은 U.S. 달러로 (약 3. 5배) 적는다.", "끝."],
    ],
)
def test_sentence_ends(parts: list[str]) -> None:
    assert split(" ".join(parts)) == parts or split("\n".join(parts)) == parts


def test_sentences_without_a_space() -> None:
    assert split("먹었다.그리고 갔어요!왜요?") == ["먹었다.", "그리고 갔어요!", "왜요?"]
    assert split("서울.부산은 v1.0.2다") == ["서울.부산은 v1.0.2다"]
    assert split("これは本です。はい！") == ["これは本です。", "はい！"]


def test_lines_and_paragraphs_end_sentences() -> None:
    assert split("# 제목\n본문이 있다\n\n  다른 문단 \n") == ["# 제목", "본문이 있다", "다른 문단"]


def test_an_unclosed_quote_hides_few_lines() -> None:
    text = '"열린 따옴표. ' + "문장이다. " * 100
    assert len(split(text)) > 50


# Passages


def shown(text: str, places: list[Place]) -> list[str]:
    return [text[start:end] for start, end in places]


def cut(tokenizer: Tokenizer, text: str, tokens: int, overlap: int = 0) -> list[str]:
    (places,) = Chunker(tokenizer, tokens=tokens, overlap=overlap).cut([text])
    return shown(text, places)


def test_a_short_text_is_one_passage(tokenizer: Tokenizer) -> None:
    assert cut(tokenizer, " 가나. 다라. \n", 20) == ["가나. 다라."]
    assert cut(tokenizer, "", 20) == cut(tokenizer, " \n\t", 20) == []


def test_passages_are_whole_sentences(tokenizer: Tokenizer) -> None:
    text = "가나다. 라마바. 사아자. 차카타. 파하."
    assert cut(tokenizer, text, 8) == ["가나다. 라마바.", "사아자. 차카타.", "파하."]


def test_passages_overlap_by_whole_sentences(tokenizer: Tokenizer) -> None:
    text = "가나다. 라마바. 사아자. 차카타. 파하."
    assert cut(tokenizer, text, 8, 4) == [
        "가나다. 라마바.",
        "라마바. 사아자.",
        "사아자. 차카타.",
        "차카타. 파하.",
    ]
    assert cut(tokenizer, text, 8, 3) == cut(tokenizer, text, 8)  # no sentence is so short


def test_a_long_sentence_is_cut_between_words(tokenizer: Tokenizer) -> None:
    assert cut(tokenizer, "가나다 라마바 사아자 차카", 7) == ["가나다 라마바", "사아자 차카"]


def test_a_long_word_is_cut_between_characters(tokenizer: Tokenizer) -> None:
    assert cut(tokenizer, "가나다라마바사아자차 카", 4) == ["가나다라", "마바사아", "자차 카"]


def test_offsets_in_decomposed_text(tokenizer: Tokenizer) -> None:
    text = unicodedata.normalize("NFD", "가나다. 라마바. 사아자.")
    found = cut(tokenizer, text, 8)
    assert [unicodedata.normalize("NFC", part) for part in found] == ["가나다. 라마바.", "사아자."]


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("가나다요. ?!\n\"'()“”aB1😀ᄀ\u1161…。"), max_size=200),
    st.integers(3, 30),
    st.integers(0, 10),
)
def test_passages_cover_the_text_and_fit_the_limit(
    tokenizer: Tokenizer, text: str, tokens: int, overlap: int
) -> None:
    (places,) = Chunker(tokenizer, tokens=tokens, overlap=overlap).cut([text])
    covered = {i for start, end in places for i in range(start, end)}
    assert all(i in covered for i, character in enumerate(text) if not character.isspace())
    assert places == sorted(places)
    assert all(0 <= start < end <= len(text) for start, end in places)
    lengths = [len(part) for part in tokenizer.encode_batch(shown(text, places), add_special_tokens=False)]
    assert max(lengths, default=0) <= tokens


def test_texts_in_a_batch_do_not_mix(tokenizer: Tokenizer) -> None:
    texts = ["가나다. " * 20, "짧다.", "", "나" * 50]
    chunker = Chunker(tokenizer, tokens=10, overlap=4)
    assert chunker.cut(texts) == [chunker.cut([text])[0] for text in texts]


def test_a_megabyte(tokenizer: Tokenizer) -> None:
    for text in ("가나다라 마바사. " * 100_000, "x" * 1_000_000):
        (places,) = Chunker(tokenizer, tokens=38, overlap=8).cut([text])
        assert places[-1][1] == len(text.rstrip())


def test_no_text_has_no_sentence() -> None:
    assert list(sentences("")) == list(sentences(" \n")) == []


LONG = 60_000  # characters
MONSTERS = {
    "a word of syllables that the vocabulary lacks": "뷁" * LONG,
    "a word of letters": "a" * LONG,
    "dots": "." * LONG,
    "opening quotes": "“" * LONG,
    "brackets": "(" * LONG,
    "white space": "a" + " " * LONG + "b",
    "combining marks": "e" + "\u0301\u0323" * (LONG // 2),
    "zero-width characters": "a\u200b " * (LONG // 3),
    "labels in one line": "1. a " * (LONG // 5),
    "one sentence": "word after word " * (LONG // 16),
}


@pytest.mark.parametrize("name", MONSTERS)
def test_a_passage_has_a_limit_in_characters_and_any_text_is_cut_in_linear_time(
    tokenizer: Tokenizer, name: str
) -> None:
    text = MONSTERS[name]
    started = time.perf_counter()
    (places,) = Chunker(tokenizer, tokens=30, overlap=4).cut([text])
    # Takes a second or two; finding no end in a run of dots took minutes.
    assert time.perf_counter() - started < 60
    assert max(end - start for start, end in places) <= 16 * 30
    covered = 0
    for start, end in places:
        assert not text[covered:start].strip()
        assert end > covered
        covered = end
    assert not text[covered:].strip()


def test_dots_inside_an_ellipsis_end_no_sentence() -> None:
    assert split("그래... 좋아...! 가자") == ["그래...", "좋아...!", "가자"]
    assert split("그래...좋아") == ["그래...좋아"]
