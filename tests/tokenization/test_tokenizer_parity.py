"""Ids, types, masks, offsets, padding and decoded text equal those of the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang.errors import InputError, InputTypeError
from munjang.tokenization import Tokenizer

TEXTS = [
    "The cat sat on the mat.",
    "서울은 대한민국의 수도이다!",
    "I love Seoul, 정말 love it… 中文字 naïve café ÀÉÎ",
    "mixed한국어text 123,456 (ㅋㅋㅋ) don't",
    "👩‍👩‍👧 family \U0001d4d7 astral \u1eb9\u0301 q\u0323",
    "",
    "   ",
    "tab\tnew\nline\r\nno-break\u00a0space\u200b",
    "nul\x00inside",
    "x" * 300,
    "cats cat's cat",
]
PAIRS = list(zip(TEXTS, [*TEXTS[3:], *TEXTS[:3]], strict=True))
ALL: dict[str, Any] = {"return_offsets_mapping": True, "return_special_tokens_mask": True}


def rows(batch: Any) -> dict[str, Any]:
    """Plain rows; the reference gives offsets as tuples in one place and lists in another."""
    return {name: [list(map(plain, row)) for row in value] for name, value in batch.items()}


def plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (tuple, list)) else value


def test_single_texts(ours: Tokenizer, theirs: Any) -> None:
    assert rows(ours(TEXTS, **ALL)) == rows(theirs(TEXTS, **ALL))


def test_pairs(ours: Tokenizer, theirs: Any) -> None:
    first, second = map(list, zip(*PAIRS, strict=True))
    expected = rows(theirs(first, second, **ALL))
    assert rows(ours(first, second, **ALL)) == expected
    assert rows(ours(PAIRS, **ALL)) == expected


def test_without_special_tokens(ours: Tokenizer, theirs: Any) -> None:
    first, second = map(list, zip(*PAIRS, strict=True))
    options: dict[str, Any] = {**ALL, "add_special_tokens": False}
    assert rows(ours(first, second, **options)) == rows(theirs(first, second, **options))
    assert rows(ours(first, **options)) == rows(theirs(first, **options))


@pytest.mark.parametrize("text", TEXTS)
def test_one_text(ours: Tokenizer, theirs: Any, text: str) -> None:
    assert dict(ours(text)) == dict(theirs(text))
    assert ours.encode(text) == theirs.encode(text)
    assert ours.tokenize(text) == theirs.tokenize(text)
    assert ours.tokenize(text, "the cat", add_special_tokens=True) == theirs.tokenize(
        text, "the cat", add_special_tokens=True
    )


def test_all_outputs_of_a_pair(ours: Tokenizer, theirs: Any) -> None:
    for pair, encoding in zip(PAIRS, ours.encode_batch(PAIRS), strict=True):
        expected = theirs([pair[0]], [pair[1]]).encodings[0]
        assert encoding.tokens == expected.tokens
        assert encoding.word_ids == expected.word_ids
        assert encoding.sequence_ids == expected.sequence_ids
        assert encoding.token_type_ids == expected.type_ids
        assert encoding.special_tokens_mask == expected.special_tokens_mask
        assert encoding.truncated == 0


@pytest.mark.parametrize(
    "options",
    [
        {"padding": True},
        {"padding": "longest", "pad_to_multiple_of": 8},
        {"padding": True, "padding_side": "left"},
        {"padding": "max_length", "max_length": 40, "truncation": True},
        {"padding": "max_length", "max_length": 24, "truncation": True, "pad_to_multiple_of": 8},
        {"padding": "max_length", "max_length": 30},
        {"padding": "max_length", "max_length": 30, "pad_to_multiple_of": 16},
        {"padding": "max_length"},
        {"padding": "do_not_pad"},
    ],
    ids=str,
)
def test_padding(ours: Tokenizer, theirs: Any, options: dict[str, Any]) -> None:
    first, second = map(list, zip(*PAIRS, strict=True))
    assert rows(ours(first, second, **options, **ALL)) == rows(theirs(first, second, **options, **ALL))


def test_padded_encodings_are_kept(small: Tokenizer) -> None:
    batch = small(["the cat", "cat"], padding=True)
    assert batch.tokens(1) == ["[CLS]", "cat", "[SEP]", "[PAD]"]
    assert batch.encodings[1].special_tokens_mask == [1, 0, 1, 1]
    assert batch.encodings[1].attention_mask == [1, 1, 1, 0]
    assert batch.word_ids(1) == batch.sequence_ids(1) == [None, 0, None, None]


def test_arrays(ours: Tokenizer, theirs: Any) -> None:
    batch = ours(TEXTS, padding=True, return_tensors="np", **ALL)
    expected = theirs(TEXTS, padding=True, return_tensors="np", **ALL)
    assert set(batch) == set(expected)
    for name, array in batch.items():
        assert array.dtype == np.int64
        np.testing.assert_array_equal(array, expected[name])
    assert ours("the cat", return_tensors="np").input_ids.ndim == 2


def test_requested_rows(ours: Tokenizer, theirs: Any) -> None:
    assert ours.model_input_names == theirs.model_input_names
    options: dict[str, Any] = {"return_token_type_ids": True, "return_attention_mask": False}
    assert dict(ours("cat", "mat", **options)) == dict(theirs("cat", "mat", **options))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("clean", [None, False, True])
def test_decoding(ours: Tokenizer, theirs: Any, skip: bool, clean: bool | None) -> None:
    texts = [*TEXTS, "I do n't know , it 's the cat 's mat . Is it ? Yes !"]
    ids = [theirs.encode(text) for text in texts]
    options: dict[str, Any] = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
    expected = [theirs.decode(row, **options) for row in ids]
    assert [ours.decode(row, **options) for row in ids] == expected
    assert ours.batch_decode(ids, **options) == expected
    assert ours.decode(np.array(ids[0]), **options) == expected[0]


def test_vocabulary(ours: Tokenizer, theirs: Any) -> None:
    assert ours.get_vocab() == theirs.get_vocab()
    assert (len(ours), ours.vocab_size) == (len(theirs), theirs.vocab_size)
    assert ours.model_max_length == theirs.model_max_length
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.all_special_tokens == theirs.all_special_tokens
    assert ours.all_special_ids == theirs.all_special_ids
    assert (ours.cls_token, ours.cls_token_id) == (theirs.cls_token, theirs.cls_token_id)
    assert (ours.pad_token, ours.pad_token_id) == (theirs.pad_token, theirs.pad_token_id)
    assert ours.num_special_tokens_to_add(pair=True) == theirs.num_special_tokens_to_add(pair=True)
    tokens = ["cat", "no such token", theirs.unk_token]
    assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)
    assert ours.convert_ids_to_tokens([7, 8, 9, 10**6]) == theirs.convert_ids_to_tokens([7, 8, 9, 10**6])
    assert ours.convert_ids_to_tokens(8) == theirs.convert_ids_to_tokens(8)


def test_ids_alone_equal_the_full_encodings(ours: Tokenizer) -> None:
    mixed: list[str | tuple[str, str]] = [*TEXTS, *PAIRS]
    for ids, encoding in zip(ours.encode_ids(mixed), ours.encode_batch(mixed, truncation=True), strict=True):
        assert ids.input_ids == encoding.input_ids
        assert ids.token_type_ids in (None, encoding.token_type_ids)
        assert (ids.token_type_ids is None) == (not any(encoding.token_type_ids))
        assert ids.truncated == encoding.truncated


def test_an_empty_second_text_is_still_a_second_text(small: Tokenizer) -> None:
    assert small("cat", "")["input_ids"] == small(["cat"], [""])["input_ids"][0]


def test_text_pairs_must_match(small: Tokenizer) -> None:
    with pytest.raises(InputError, match="2 texts cannot be paired with 1"):
        small(["a", "b"], ["c"])
    with pytest.raises(InputTypeError, match="str and list"):
        small("a", ["c"])
    with pytest.raises(InputTypeError, match="list and str"):
        small(["a"], "c")


def test_padding_mistakes(small: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="padding=True"):
        small(["cat", "the cat"], return_tensors="np")
    with pytest.raises(InputError, match="Unknown padding 'yes'"):
        small("cat", padding="yes")
    with pytest.raises(InputError, match="padding_side 'up'"):
        small("cat", padding=True, padding_side="up")
    with pytest.raises(InputError, match="Unknown return_tensors 'tf'"):
        small("cat", return_tensors="tf")
    with pytest.raises(InputError, match="no multiple of pad_to_multiple_of=8"):
        small("cat", padding=True, truncation=True, max_length=12, pad_to_multiple_of=8)
    with pytest.raises(InputError, match="pad_to_multiple_of is beyond 1,048,576"):
        small("cat", padding=True, pad_to_multiple_of=10**400)
    for length in (10**7, 10**20):
        with pytest.raises(InputError, match="max_length is beyond 1,048,576"):
            small("cat", padding="max_length", max_length=length)
    with pytest.raises(InputTypeError, match="pad_to_multiple_of must be a whole number, got '8'"):
        small("cat", padding=True, pad_to_multiple_of="8")  # type: ignore[arg-type]
    small.pad_token = None
    with pytest.raises(InputError, match="no padding token"):
        small("cat", padding=True)


def test_empty_batches(small: Tokenizer) -> None:
    assert small.encode_batch([]) == []
    assert small.encode_ids([]) == []
    assert small([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert small([], padding=True, return_tensors="np").input_ids.shape == (0, 0)
