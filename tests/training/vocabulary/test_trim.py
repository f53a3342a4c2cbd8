"""A trimmed vocabulary: the same pieces and vectors for the wanted languages, in every reader."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from munjang import Model, SentenceTransformer, Tokenizer
from munjang.errors import InputError, InputTypeError
from munjang.training.vocabulary.trim import _Choice, trim_vocabulary, without_others
from support.vocabularies import KOREAN, MAKERS, OTHER_LANGUAGES, as_sentence_encoder
from support.wordpiece import VOCABULARY, model_with_words

MORE = [
    "부산의 영화는 서울까지 타고 좋았다",
    "The Republic of movies will love it",
    "갔다!!! ㅋ 654",
    "",
    "é뷁",
]


@pytest.fixture(scope="module", params=MAKERS)
def former(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "model"
    MAKERS[request.param](folder)
    return folder


def pieces(tokenizer: Tokenizer, text: str) -> list[str | None]:
    return tokenizer.convert_ids_to_tokens(tokenizer.encode(text))


def vectors(folder: Path, texts: list[str]) -> Any:
    return SentenceTransformer(folder, pooling="mean").encode(texts)


def test_a_script_filter_keeps_texts_unchanged(former: Path, tmp_path: Path) -> None:
    done = trim_vocabulary(former, None, tmp_path / "new")
    before, after = Tokenizer.from_pretrained(former), Tokenizer.from_pretrained(tmp_path / "new")
    assert (done.before, done.after) == (len(before), len(after))
    assert done.after < done.before * 0.75
    assert done.parameters_after < done.parameters_before
    assert "Hangul, Latin, Common" in done.same_for
    for text in [*KOREAN, *MORE]:
        assert pieces(after, text) == pieces(before, text)
        assert done.kept[after.encode(text)].tolist() == before.encode(text)
    assert np.abs(vectors(tmp_path / "new", KOREAN + MORE) - vectors(former, KOREAN + MORE)).max() < 1e-6
    assert not any("М" in piece or "東" in piece for piece in after.get_vocab())
    assert after.special_tokens_map == before.special_tokens_map


def test_any_text_in_the_scripts(former: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("new")
    trim_vocabulary(former, None, folder / "model")
    before, after = Tokenizer.from_pretrained(former), Tokenizer.from_pretrained(folder / "model")
    letters = sorted({letter for text in KOREAN for letter in text} | set("뷁éㅎ7(¿🎈"))

    @settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.text(st.sampled_from(letters), max_size=40))
    def same(text: str) -> None:
        assert pieces(after, text) == pieces(before, text)

    same()


def test_given_texts_keep_their_pieces(former: Path, tmp_path: Path) -> None:
    texts = [*KOREAN[:2], OTHER_LANGUAGES[0]]
    done = trim_vocabulary(former, iter(texts), tmp_path / "new")
    before, after = Tokenizer.from_pretrained(former), Tokenizer.from_pretrained(tmp_path / "new")
    safe = trim_vocabulary(former, None, tmp_path / "safe", scripts=["Hangul", "Latin", "Common", "Cyrillic"])
    assert done.after < safe.after
    assert done.same_for == "the given texts"
    for text in texts:
        assert pieces(after, text) == pieces(before, text)
    assert np.abs(vectors(tmp_path / "new", texts) - vectors(former, texts)).max() < 1e-6
    # What else is written in Hangul is no less known than before, if in shorter pieces.
    for text in (*KOREAN[:2], MORE[0], "부산 울산 까지 도 영화"):
        unknown = [tokenizer.encode(text).count(tokenizer.unk_token_id or 0) for tokenizer in (before, after)]
        assert unknown[0] == unknown[1]


def test_rare_pieces_can_be_left_out(former: Path, tmp_path: Path) -> None:
    texts = [KOREAN[0]] * 3 + [KOREAN[3]]
    every = trim_vocabulary(former, texts, tmp_path / "one")
    often = trim_vocabulary(former, texts, tmp_path / "two", min_count=2)
    assert set(often.kept.tolist()) < set(every.kept.tolist())
    assert "no texts for certain" in often.same_for
    after, before = (Tokenizer.from_pretrained(folder) for folder in (tmp_path / "two", former))
    assert pieces(after, KOREAN[0]) == pieces(before, KOREAN[0])
    both = trim_vocabulary(former, texts, tmp_path / "both", scripts=["Cyrillic"])
    assert set(both.kept.tolist()) > set(every.kept.tolist())
    assert both.same_for == "all texts in Cyrillic and the given texts"


def test_transformers_gives_the_same_logits(former: Path, tmp_path: Path) -> None:
    done = trim_vocabulary(former, None, tmp_path)
    name = json.loads((former / "config.json").read_text())["architectures"][0]
    outputs = []
    for folder in (former, tmp_path):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = getattr(transformers, name).from_pretrained(folder).eval()
        rows = tokenizer([*KOREAN, f"서울에서 {tokenizer.mask_token}"], padding=True, return_tensors="pt")
        with torch.no_grad():
            output = model(**rows)
        logits = output[0].numpy()
        mask = rows["attention_mask"].numpy() > 0
        outputs.append((rows["input_ids"].numpy(), logits, mask))
        assert model.config.pad_token_id == tokenizer.pad_token_id
        assert model.config.vocab_size == logits.shape[-1]
    (old_ids, old, mask), (new_ids, new, new_mask) = outputs
    assert np.array_equal(mask, new_mask)
    assert np.array_equal(done.kept[new_ids], old_ids)
    assert np.abs(old[mask][:, done.kept] - new[mask]).max() < 1e-5


def test_heads_are_kept(former: Path, tmp_path: Path) -> None:
    trim_vocabulary(former, None, tmp_path)
    assert Model.from_pretrained(tmp_path, None).heads == Model.from_pretrained(former, None).heads


def test_a_sentence_encoder_is_saved_as_sentence_encoder(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer as Reference

    MAKERS["unigram"](tmp_path / "model")
    as_sentence_encoder(tmp_path / "model")
    trim_vocabulary(tmp_path / "model", None, tmp_path / "new")
    before = SentenceTransformer(tmp_path / "model").encode(KOREAN)
    assert np.abs(SentenceTransformer(tmp_path / "new").encode(KOREAN) - before).max() < 1e-6
    theirs = Reference(str(tmp_path / "new"), device="cpu").encode(KOREAN)
    assert np.abs(theirs - before).max() < 1e-5


def test_tokens_added_before_stay(tmp_path: Path) -> None:
    MAKERS["wordpiece"](tmp_path / "model")
    encoder = SentenceTransformer(tmp_path / "model", pooling="mean")
    encoder.add_tokens(["москва7", "문장토큰"])
    encoder.save_pretrained(str(tmp_path / "more"))
    trim_vocabulary(tmp_path / "more", None, tmp_path / "new")
    texts = ["москва7 문장토큰 서울", *KOREAN]
    assert np.abs(vectors(tmp_path / "new", texts) - vectors(tmp_path / "more", texts)).max() < 1e-6
    assert Tokenizer.from_pretrained(tmp_path / "new").tokenize("문장토큰 москва7") == ["문장토큰", "москва7"]


def mistakes(former: Path) -> Iterator[tuple[type[Exception], str, dict[str, Any]]]:
    yield InputError, "is not empty", {"output": former}
    yield InputError, "'Klingon' is no script", {"scripts": ["Klingon"]}
    yield InputError, "is no script", {"scripts": ["^Han}"]}
    yield InputTypeError, "a list of names", {"scripts": "Hangul"}
    yield InputError, "texts are empty", {"texts": ["", " "]}
    yield InputTypeError, "not one text", {"texts": "한 문장"}
    yield InputTypeError, "not 3 of type int", {"texts": [3]}


def test_mistakes(tmp_path: Path) -> None:
    MAKERS["wordpiece"](tmp_path / "model")
    for error, message, arguments in mistakes(tmp_path / "model"):
        with pytest.raises(error, match=message):
            trim_vocabulary(
                **{"model": tmp_path / "model", "texts": None, "output": tmp_path / "new", **arguments}
            )
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["ElectraForMaskedLM", "DistilBertForMaskedLM", "BertForPreTraining"])
def test_every_family_with_a_vocabulary(name: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    reference = model_with_words(tmp_path / "model", name)
    done = trim_vocabulary(tmp_path / "model", None, tmp_path / "new", scripts=["Hangul", "Common"])
    assert done.after < done.before == len(VOCABULARY)
    trimmed = getattr(transformers, name).from_pretrained(tmp_path / "new").eval()
    ids = Tokenizer.from_pretrained(tmp_path / "new")("축구는 정말 [MASK] 스포츠다.", return_tensors="np")[
        "input_ids"
    ]
    with torch.no_grad():
        new = trimmed(torch.from_numpy(ids))[0].numpy()
        old = reference(torch.from_numpy(done.kept[ids]))[0].numpy()
    assert 1 not in ids
    assert np.abs(old[..., done.kept] - new).max() < 1e-5


def test_any_texts_have_the_same_pieces(former: Path) -> None:
    before = Tokenizer.from_pretrained(former)
    words = sorted({word for text in (*KOREAN, *OTHER_LANGUAGES) for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    word = st.one_of(st.sampled_from(words), st.text(st.sampled_from(letters), min_size=1, max_size=6))

    @settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.lists(st.lists(word, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=3))
    def same(texts: list[str]) -> None:
        chosen = _Choice(before)
        chosen.add_texts(texts, 1)
        kept = chosen.closed()
        after = before.with_backend(without_others(before, chosen.content, kept.tolist()))
        assert len(after) == len(kept)
        for text in texts:
            assert pieces(after, text) == pieces(before, text)

    same()


def test_unused_merges_are_removed(tmp_path: Path) -> None:
    MAKERS["byte-level"](tmp_path / "model")
    trim_vocabulary(tmp_path / "model", KOREAN[:1], tmp_path / "new")
    old, new = (json.loads((tmp_path / name / "tokenizer.json").read_text()) for name in ("model", "new"))
    assert 0 < len(new["model"]["merges"]) < len(old["model"]["merges"])
    assert new["model"]["merges"] == [
        merge for merge in old["model"]["merges"] if merge in new["model"]["merges"]
    ]
    assert len(set(new["model"]["vocab"]) & set(tokenizers.pre_tokenizers.ByteLevel.alphabet())) == 256


@pytest.mark.models
@pytest.mark.data
def test_multilingual_e5_small_in_korean_and_english(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = trim_vocabulary("multilingual-e5-small", None, tmp_path)
    with (data / "korsts" / "test.tsv").open(encoding="utf-8") as file:
        korean = [line.split("\t")[5] for line in file][1:]
    with (data / "stsb-en" / "test.csv").open(encoding="utf-8") as file:
        english = [row[0] for row in csv.reader(file)]
    texts = [*korean, *english]
    before, after = Tokenizer.from_pretrained("multilingual-e5-small"), Tokenizer.from_pretrained(tmp_path)
    for old, new in zip(before.encode_ids(texts), after.encode_ids(texts), strict=True):
        assert done.kept[new.input_ids].tolist() == old.input_ids
    some = texts[::40]
    old_model, new_model = SentenceTransformer("multilingual-e5-small"), SentenceTransformer(tmp_path)
    assert np.abs(old_model.encode(some) - new_model.encode(some)).max() < 1e-6
    assert done.after < 0.5 * done.before
    with capsys.disabled():
        print(f"\n{done.before} -> {done.after} tokens, {done.parameters_before} -> {done.parameters_after}")
