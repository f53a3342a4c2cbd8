"""Words of texts: matches, offsets, and that no text makes an analyser fail."""

from __future__ import annotations

import threading
import unicodedata
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from munjang.errors import IndexMismatchError, InputError, MissingExtraError
from munjang.search.text import analysis
from munjang.search.text.analysis import Analyzer, HangulBigrams, analyzer_named
from support.processes import run_python

BIGRAMS = HangulBigrams()


@pytest.fixture(scope="module")
def kiwi() -> Analyzer:
    return analyzer_named("kiwi")


@pytest.fixture(scope="module", params=["kiwi", "hangul-bigrams"])
def analyzer(request: pytest.FixtureRequest) -> Analyzer:
    return analyzer_named(request.param)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


# Korean by morphemes


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("서울", "어제 서울에서 만났어요"),
        ("맛있다", "음식이 정말 맛있었어요"),
        ("맛있는", "거기는 맛있더라고요."),
        ("아름답다", "하늘이 아름다웠다"),
        ("춥다", "밖이 추워서 집에 있었다"),
        ("파랗다", "하늘이 파래서 좋다"),
        ("듣다", "노래를 들었어요"),
        ("공부", "학생들이 공부했다"),
        ("헌법", "대한민국헌법재판소"),
        ("자연어 처리", "자연어처리를 배운다"),
    ],
)
def test_an_inflected_word_is_found(kiwi: Analyzer, query: str, text: str) -> None:
    assert set(kiwi.words(query)) <= set(kiwi.words(text))
    assert set(kiwi.words(nfd(query))) <= set(kiwi.words(nfd(text)))


def test_particles_and_endings_are_no_words(kiwi: Analyzer) -> None:
    assert kiwi.words("서울에서 밥을 먹었습니다.") == ["서울", "밥", "먹다"]


def test_a_long_text_is_cut_between_words(kiwi: Analyzer) -> None:
    sentence = "서울에서 음식을 먹었다. "
    assert kiwi.words(sentence * 200) == ["서울", "음식", "먹다"] * 200


def test_kiwi_is_loaded_once_and_only_for_korean(tmp_path: Path) -> None:
    code = (
        "import sys, threading; from munjang.search.text import analysis;"
        "analyzer = analysis.analyzer_named(); analyzer.words('no Korean here');"
        "assert 'kiwipiepy' not in sys.modules;"
        "runs = [threading.Thread(target=analyzer.words, args=('서울',)) for _ in range(4)];"
        "[run.start() for run in runs]; [run.join() for run in runs];"
        "print(analysis._loaded.cache_info().misses)"
    )
    assert run_python(code, home=tmp_path) == "1\n"


# Bigrams


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("서울에서", ["서울", "울에", "에서"]),
        ("책 iPhone을", ["책", "iphone", "을"]),
        ("", []),
    ],
)
def test_bigrams(text: str, words: list[str]) -> None:
    assert BIGRAMS.words(text) == words
    assert BIGRAMS.words(nfd(text)) == words


# Every analyser


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COVID-19, iPhone15!", ["covid", "19", "iphone15"]),
        ("ＡＢＣ ﬁne ½", ["abc", "fine", "1", "2"]),
        ("Straße naïve", ["strasse", "naïve"]),
        ("हिन्दी 東京", ["हिन्दी", "東京"]),
        ("snake_case don't", ["snake", "case", "don", "t"]),
        ("\ufdfa", ["صلى", "الله", "عليه", "وسلم"]),
        ("x" * 100, ["x" * 64]),
        (" *\"'()-:^~\0\ud800😀", []),
    ],
)
def test_other_scripts_are_words(analyzer: Analyzer, text: str, words: list[str]) -> None:
    assert analyzer.words(text) == words


def test_offsets_refer_to_the_callers_string(analyzer: Analyzer) -> None:
    for form in (str, nfd):
        text = form("😀 서울에서 \ud800 맛있었어요 Café")
        found = [(word, unicodedata.normalize("NFC", text[a:b])) for word, a, b in analyzer.spans(text)]
        assert found[0] == ("서울", "서울")
        assert found[-1] == ("café", "Café")


def test_a_batch_is_its_texts(analyzer: Analyzer) -> None:
    texts = ["서울에서", "", nfd("맛있었어요 hello"), "x", "가나다 " * 300]
    assert analyzer.words_batch(texts) == [analyzer.words(text) for text in texts]


def test_words_and_spans_agree(analyzer: Analyzer) -> None:
    text = nfd("서울에서 3월 15일에 맛있는 김치찌개를 iPhone으로 찍었어요. " * 9)
    assert [word for word, _, _ in analyzer.spans(text)] == analyzer.words(text)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters() | st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)))
def test_no_text_breaks_bigrams(text: str) -> None:
    check_robust(BIGRAMS, text)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("가나다각ᄀ\u1161\u0301\ud800😀 a1.\n＋")))
def test_no_text_breaks_kiwi(text: str) -> None:
    check_robust(analyzer_named("kiwi"), text)


def check_robust(analyzer: Analyzer, text: str) -> None:
    spans = analyzer.spans(text)
    assert [word for word, _, _ in spans] == analyzer.words(text)
    assert all(0 <= start < end <= len(text) for _, start, end in spans)
    assert not any(set(word) & set(" \"'*()-_\0") for word, _, _ in spans)
    assert all(0 < len(word) <= 64 for word, _, _ in spans)


def test_a_megabyte() -> None:
    assert len(BIGRAMS.words("가" * 1_000_000)) == 999_999
    assert BIGRAMS.words("x" * 1_000_000) == ["x" * 64]
    assert analyzer_named("kiwi").words("x y " * 250_000)[:3] == ["x", "y", "x"]


def test_threads(analyzer: Analyzer) -> None:
    texts = [f"서울에서 {number}번 만났어요" for number in range(300)]
    wanted, found = analyzer.words_batch(texts), {}
    threads = [
        threading.Thread(target=lambda key: found.update({key: analyzer.words_batch(texts)}), args=(key,))
        for key in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(3), wanted)


# Names


def test_names_have_versions() -> None:
    assert analyzer_named("hangul-bigrams").name == "hangul-bigrams/1"
    assert analyzer_named(None).name == f"kiwi/{version('kiwipiepy')}/1"
    assert analyzer_named(analyzer_named("kiwi").name) is analyzer_named("kiwi")


@pytest.mark.parametrize("name", ["kiwi/0.0.1/1", "hangul-bigrams/99"])
def test_another_version_is_refused(name: str) -> None:
    with pytest.raises(IndexMismatchError, match=r"is installed.*migrate"):
        analyzer_named(name)


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="no analyser 'mecab'"):
        analyzer_named("mecab")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_kiwi_version", lambda: None)
    assert analyzer_named(None).name == "hangul-bigrams/1"
    with pytest.raises(MissingExtraError, match=r"pip install .*kiwipiepy"):
        analyzer_named("kiwi")
