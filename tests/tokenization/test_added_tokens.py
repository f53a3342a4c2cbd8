"""Tokens added to a tokeniser: ids after the vocabulary, matched whole, with their former pieces."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from munjang.errors import InputError, InputTypeError
from munjang.tokenization import Tokenizer


def test_as_in_the_reference(ours: Tokenizer, theirs: Any) -> None:
    tokens = ["munjang", "문장토큰", "cat", "munjang"]
    assert ours.add_tokens(tokens) == theirs.add_tokens(tokens)
    special = {"additional_special_tokens": ["<e1>", "<e2>"], "cls_token": "<go>"}
    assert ours.add_special_tokens(special) == theirs.add_special_tokens(special)
    assert (len(ours), ours.vocab_size) == (len(theirs), theirs.vocab_size)
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.all_special_tokens == theirs.all_special_tokens
    for text in ("munjang 문장토큰 cat", "a munjang<e1> cat MUNJANG 문장토큰을", "<go> the <e2>"):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        ids = ours.encode(text)
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)


def test_the_former_pieces_of_new_words_are_recorded(small: Tokenizer) -> None:
    size = len(small)
    former = {text: small.encode(text, add_special_tokens=False) for text in ("서울은", "sats")}
    assert small.add_tokens(["서울은", "sats", "cat"]) == 3
    assert len(small) == size + 2
    assert small.vocab_size == size
    assert small.added_pieces == {size: former["서울은"], size + 1: former["sats"]}
    assert small.convert_ids_to_tokens(former["서울은"]) == ["서울", "##은"]
    assert small.encode("서울은 sats cat", add_special_tokens=False) == [
        size,
        size + 1,
        *small.pieces_of("cat"),
    ]
    assert small.pieces_of("서울은") == [size]
    assert small.add_tokens(["서울은"]) == 0
    assert small.add_special_tokens({"additional_special_tokens": ["[새]"]}) == 1
    assert small.convert_ids_to_tokens(small.added_pieces[size + 2]) == ["[UNK]", "[UNK]", "[UNK]"]


def test_a_decomposed_token_is_composed(small: Tokenizer) -> None:
    decomposed = unicodedata.normalize("NFD", "문장")
    assert small.add_tokens(decomposed) == 1
    encoding = small.encode_batch([f"cat {decomposed}"])[0]
    assert encoding.tokens == ["[CLS]", "cat", "문장", "[SEP]"]
    assert encoding.offsets[2] == (4, 4 + len(decomposed))


def test_special_tokens_by_name(small: Tokenizer) -> None:
    assert small.add_special_tokens({"bos_token": "<s>", "mask_token": "cat"}) == 2
    assert (small.bos_token, small.bos_token_id) == ("<s>", len(small) - 1)
    assert small.mask_token_id == small.get_vocab()["cat"]
    assert small.add_special_tokens({"additional_special_tokens": ["<a>"]}) == 1
    assert small.add_special_tokens({"additional_special_tokens": ["<b>"]}) == 1
    assert small.additional_special_tokens == ["<b>"]
    assert small.add_special_tokens({}) == 0


def test_a_special_token_can_be_set(small: Tokenizer) -> None:
    small.pad_token = small.sep_token
    assert (small.pad_token, small.pad_token_id) == ("[SEP]", 3)
    assert small(["cat", "the cat"], padding=True)["input_ids"][0][-1] == 3
    small.pad_token = None
    assert (small.pad_token, small.pad_token_id) == (None, None)
    with pytest.raises(InputError, match=r"'<x>' is not in the vocabulary; use add_special_tokens"):
        small.pad_token = "<x>"


def test_mistakes(small: Tokenizer) -> None:
    with pytest.raises(InputError, match="empty"):
        small.add_tokens([""])
    with pytest.raises(InputTypeError, match="not 3 of type int"):
        small.add_tokens(["a", 3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="lone surrogate"):
        small.add_tokens(["a\ud800"])
    with pytest.raises(InputError, match="'first_token' names no special token; use one of bos_token"):
        small.add_special_tokens({"first_token": "<f>"})
    with pytest.raises(InputTypeError, match="additional_special_tokens is a list"):
        small.add_special_tokens({"additional_special_tokens": "<e>"})
    with pytest.raises(InputTypeError, match="not None of type NoneType"):
        small.convert_tokens_to_ids(None)  # type: ignore[call-overload]
    assert small.convert_tokens_to_ids(["\ud800"]) == [small.unk_token_id]
    assert small.added_pieces == {}
