"""Words of a domain: suggestions, and a model with them in its vocabulary, for all readers."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from munjang import Model, SentenceTransformer, Tokenizer
from munjang.errors import InputError, InputTypeError
from munjang.training.options import VocabularyTask
from munjang.training.vocabulary.add import add_domain_tokens, suggest_tokens
from munjang.training.vocabulary.train import train_wordpiece
from support.vocabularies import KOREAN, MAKERS, as_sentence_encoder

WORDS = ["기차영화", "lovemovie"]


@pytest.mark.parametrize("kind", MAKERS)
def test_a_new_word_starts_as_the_mean_of_its_pieces(kind: str, tmp_path: Path) -> None:
    MAKERS[kind](tmp_path / "model")
    before = Tokenizer.from_pretrained(tmp_path / "model")
    known = before.convert_ids_to_tokens(before.encode("서울", add_special_tokens=False)[-1])
    assert known is not None
    done = add_domain_tokens(tmp_path / "model", [*WORDS, known, WORDS[0]], tmp_path / "new")
    assert (list(done.tokens), done.known) == (WORDS, [known])
    after = Tokenizer.from_pretrained(tmp_path / "new")
    old, new = (Model.from_pretrained(tmp_path / name, "masked-lm").weights for name in ("model", "new"))
    table = next(name for name in old if name.endswith("word_embeddings.weight"))
    bias = next(name for name in old if name in ("cls.predictions.bias", "lm_head.bias"))
    for word, index in done.tokens.items():
        assert after.encode(word, add_special_tokens=False)[-1] == index
        pieces = before.encode(word, add_special_tokens=False)
        for name in (table, bias):
            np.testing.assert_allclose(new[name][index], old[name][pieces].mean(axis=0), atol=1e-6)
    size = len(before)
    assert np.array_equal(new[table][:size], old[table][:size])
    assert len(new[table]) == done.vocabulary_size >= len(after)


@pytest.mark.parametrize("kind", MAKERS)
def test_transformers_gives_the_same(kind: str, tmp_path: Path) -> None:
    MAKERS[kind](tmp_path / "model")
    add_domain_tokens(tmp_path / "model", WORDS, tmp_path / "new")
    texts = ["나는 기차영화 lovemovie 정말 좋다", *KOREAN]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "new")
    rows = tokenizer(texts, padding=True, return_tensors="pt")
    ours = Tokenizer.from_pretrained(tmp_path / "new")(texts, padding=True, return_tensors="np")
    assert np.array_equal(rows["input_ids"].numpy(), ours["input_ids"])
    reference = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "new").eval()
    with torch.no_grad():
        expected = reference(**rows).logits.numpy()
    logits = Model.from_pretrained(tmp_path / "new", "masked-lm")(**ours).logits
    assert logits is not None
    mask = ours["attention_mask"] > 0
    assert np.abs(logits[mask] - expected[mask]).max() < 1e-4
    old = Model.from_pretrained(tmp_path / "model", None)(
        **Tokenizer.from_pretrained(tmp_path / "model")(KOREAN[0:1], return_tensors="np")
    )
    new = Model.from_pretrained(tmp_path / "new", None)(
        **Tokenizer.from_pretrained(tmp_path / "new")(KOREAN[0:1], return_tensors="np")
    )
    assert old.last_hidden_state is not None
    assert new.last_hidden_state is not None
    assert np.abs(old.last_hidden_state - new.last_hidden_state).max() < 1e-6


def test_a_sentence_encoder_is_saved_as_sentence_encoder(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer as Reference

    MAKERS["unigram"](tmp_path / "model")
    as_sentence_encoder(tmp_path / "model")
    decomposed = unicodedata.normalize("NFD", WORDS[0])
    done = add_domain_tokens(tmp_path / "model", [decomposed], tmp_path / "new")
    assert list(done.tokens) == [WORDS[0]]
    texts = ["정말 기차영화를 좋았다", *KOREAN]
    ours = SentenceTransformer(tmp_path / "new")
    assert WORDS[0] in ours.tokenizer.tokenize(texts[0])
    theirs = Reference(str(tmp_path / "new"), device="cpu").encode(texts)
    assert np.abs(ours.encode(texts) - theirs).max() < 1e-5


def test_invalid_words(tmp_path: Path) -> None:
    MAKERS["wordpiece"](tmp_path / "model")
    with pytest.raises(InputError, match="list is empty"):
        add_domain_tokens(tmp_path / "model", [], tmp_path / "new")
    with pytest.raises(InputError, match="word to add is empty"):
        add_domain_tokens(tmp_path / "model", ["서울", " "], tmp_path / "new")
    with pytest.raises(InputTypeError, match="not one word"):
        add_domain_tokens(tmp_path / "model", "서울", tmp_path / "new")
    with pytest.raises(InputTypeError, match="not 3 of type int"):
        add_domain_tokens(tmp_path / "model", ["서울", 3], tmp_path / "new")  # type: ignore[list-item]
    with pytest.raises(InputError, match="is not empty"):
        add_domain_tokens(tmp_path / "model", WORDS, tmp_path / "model")
    assert not (tmp_path / "new").exists()


# Which words

LETTERS = " ".join("이번심근경색환자를진료했다은의에서가는좋아요").split()


@pytest.fixture
def letters(tmp_path: Path) -> Tokenizer:
    """A vocabulary of single letters, and one word."""
    pieces = [*LETTERS, *"abcdefghijklmnopqrstuvwxyz", "환자"]
    vocabulary = [*pieces, *(f"##{piece}" for piece in pieces)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "vocab.txt").write_text(
        "\n".join(dict.fromkeys([*special, *vocabulary])) + "\n", encoding="utf-8"
    )
    (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": false}')
    return Tokenizer.from_pretrained(tmp_path)


def test_words_are_ranked_by_saved_pieces(letters: Tokenizer) -> None:
    texts = [
        "심근경색은 심근경색의 진료",
        "심근경색에서 진료를",
        "진료가 좋아요 환자 환자를 123456 Stent stent",
        "뷁",
    ]
    found = suggest_tokens(texts, letters, min_count=1)
    assert [(s.word, s.count, s.saved) for s in found] == [
        ("심근경색", 3, 9),
        ("stent", 2, 8),
        ("진료", 3, 3),
        ("좋아요", 1, 2),
        ("뷁", 1, 1),
    ]
    assert found[0].pieces == ["심", "##근", "##경", "##색"]
    assert suggest_tokens(texts, letters, min_count=3) == [found[0], found[2]]
    assert suggest_tokens(texts, letters, min_count=1, limit=2) == found[:2]
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert suggest_tokens(iter(decomposed), letters, min_count=1) == found
    assert suggest_tokens([], letters) == []


def test_case_counts_where_the_tokenizer_keeps_it(tmp_path: Path) -> None:
    tokenizer = train_wordpiece(
        None, tmp_path, texts=["stent Stent"], task=VocabularyTask(vocab_size=60, min_frequency=9)
    )
    words = [s.word for s in suggest_tokens(["Stent stent"], tokenizer, min_count=1)]
    assert words == ["Stent", "stent"]


def test_suggestions_save_the_reported_pieces(tmp_path: Path, letters: Tokenizer) -> None:
    text = "심근경색은 진료가 심근경색에서 좋아요"
    suggestions = suggest_tokens([text], letters, min_count=1)
    before = len(letters.encode(text))
    letters.add_tokens([s.word for s in suggestions])
    assert before - len(letters.encode(text)) == sum(s.saved for s in suggestions)


def test_invalid_arguments_of_suggestions(letters: Tokenizer) -> None:
    with pytest.raises(InputError, match="limit must be at least 1"):
        suggest_tokens(["a"], letters, limit=0)
    with pytest.raises(InputError, match="min_count must be at least 1"):
        suggest_tokens(["a"], letters, min_count=0)
    with pytest.raises(InputTypeError, match="not one text"):
        suggest_tokens("a", letters)
    with pytest.raises(InputTypeError, match="not 3 of type int"):
        suggest_tokens([3], letters)  # type: ignore[list-item]
