"""Texts that are too long are truncated as by the reference, and the number of removed tokens is reported."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from munjang.errors import InputError, InputTypeError
from munjang.tokenization import Tokenizer

LENGTHS = (0, 1, 2, 3, 5, 9)
STRATEGIES = (True, "longest_first", "only_first", "only_second", False, "do_not_truncate")


def words(count: int) -> str:
    return " ".join(itertools.islice(itertools.cycle(["the", "cat", "서울", "sat", "mat"]), count))


def their_ids(theirs: Any, *texts: str, **options: Any) -> Any:
    """The reference's rows, or None where its library refuses to cut."""
    try:
        batch = theirs(*([text] for text in texts), **options)
    except Exception as error:  # noqa: BLE001 -- the library raises nothing more precise
        return None if "runcat" in str(error) else error
    return batch["input_ids"][0]


def our_ids(ours: Tokenizer, text: str | tuple[str, str], **options: Any) -> list[int] | None:
    try:
        (encoding,) = ours.encode_batch([text], **options)
    except InputError as error:
        return None if "would have to cut" in str(error) else [-1]
    whole = len(ours.encode_batch([text], add_special_tokens=options["add_special_tokens"])[0])
    assert encoding.truncated == whole - len(encoding)
    if options["add_special_tokens"]:
        (ids,) = ours.encode_ids([text], truncation=options["truncation"], max_length=options["max_length"])
        assert ids.input_ids == encoding.input_ids
        assert ids.token_type_ids in (None, encoding.token_type_ids)
        assert ids.truncated == encoding.truncated
    return encoding.input_ids


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("add_special_tokens", [True, False])
def test_pairs(ours: Tokenizer, theirs: Any, strategy: bool | str, add_special_tokens: bool) -> None:
    smallest = ours.num_special_tokens_to_add(pair=True) if add_special_tokens else 0
    for first, second in itertools.product(map(words, LENGTHS), repeat=2):
        for max_length in range(max(smallest, 1), 14):
            options = {
                "truncation": strategy,
                "max_length": max_length,
                "add_special_tokens": add_special_tokens,
            }
            expected = their_ids(theirs, first, second, **options)
            assert our_ids(ours, (first, second), **options) == expected, (first, second, max_length)


@pytest.mark.parametrize("strategy", [True, "only_first", False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_single_texts_from_either_side(folder: Path, strategy: bool | str, side: str) -> None:
    import transformers

    config = folder / "tokenizer_config.json"
    config.write_text(
        config.read_text().replace("{", f'{{"truncation_side": "{side}", ', 1).replace(", }", "}")
    )
    ours = Tokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert ours.truncation_side == theirs.truncation_side == side
    for text, max_length in itertools.product(map(words, LENGTHS), range(3, 9)):
        options = {"truncation": strategy, "max_length": max_length, "add_special_tokens": True}
        assert our_ids(ours, text, **options) == their_ids(theirs, text, **options), (text, max_length)


def test_all_texts_are_truncated_alike(small: Tokenizer) -> None:
    encoding = small.encode_batch([("서울 은 cats", "the mat")], truncation=True, max_length=6)[0]
    assert encoding.tokens == ["[CLS]", "서울", "은", "[SEP]", "the", "[SEP]"]
    assert encoding.token_type_ids == [0, 0, 0, 0, 1, 1]
    assert encoding.offsets == [(0, 0), (0, 2), (3, 4), (0, 0), (0, 3), (0, 0)]
    assert encoding.word_ids == [None, 0, 1, None, 0, None]
    assert encoding.sequence_ids == [None, 0, 0, None, 1, None]
    assert encoding.special_tokens_mask == [1, 0, 0, 1, 0, 1]
    assert encoding.truncated == 3


def test_max_length_alone_means_truncation_as_in_the_reference(ours: Tokenizer, theirs: Any) -> None:
    text = words(20)
    assert ours(text, max_length=8)["input_ids"] == theirs(text, max_length=8)["input_ids"]
    assert ours.encode(text, max_length=8) == theirs.encode(text, max_length=8)
    assert ours.encode(text, max_length=8, truncation=False) == theirs.encode(text)


def test_the_models_length_is_the_default(ours: Tokenizer, theirs: Any) -> None:
    text = words(60)
    assert ours(text, truncation=True)["input_ids"] == theirs(text, truncation=True)["input_ids"]
    (ids,) = ours.encode_ids([text])
    assert ids.input_ids == theirs(text, truncation=True)["input_ids"]
    ours.model_max_length = 10
    assert len(ours.encode_ids([text])[0].input_ids) == 10


def test_a_special_token_within_the_text_is_part_of_the_text(small: Tokenizer) -> None:
    encoding = small.encode_batch(["cat [SEP] [MASK] mat"], truncation=True, max_length=4)[0]
    assert encoding.tokens == ["[CLS]", "cat", "[SEP]", "[SEP]"]
    assert encoding.truncated == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2}, "max_length=2 leaves no room for the 3 special tokens"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"max_length": -1}, "max_length must be at least 1, got -1"),
        ({"truncation": "shortest", "max_length": 9}, "Unknown truncation 'shortest'"),
        ({"truncation": "only_second", "max_length": 4}, "would have to cut 2 of 1 tokens"),
    ],
)
def test_mistakes(small: Tokenizer, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small.encode_ids([("cat", "mat")] if "truncation" not in options else [("a cat", "mat")], **options)


def test_max_length_must_be_an_integer(small: Tokenizer) -> None:
    with pytest.raises(InputTypeError, match="max_length must be a whole number, got '8'"):
        small("cat", max_length="8")  # type: ignore[arg-type]


def test_a_single_text_needs_only_its_own_special_tokens(small: Tokenizer) -> None:
    assert small.encode_ids(["the cat"], max_length=2)[0] == ([2, 3], None, 2)
    with pytest.raises(InputError, match="3 special tokens"):
        small.encode_ids(["the cat", ("the", "cat")], max_length=2)


def test_two_long_texts_are_no_trouble(small: Tokenizer) -> None:
    long = words(50_000)
    (ids,) = small.encode_ids([(long, long)], max_length=128)
    assert len(ids.input_ids) == 128
    assert ids.truncated == 100_000 - 125


@pytest.mark.parametrize("order", [1, -1])
def test_several_post_processors_are_as_one(small: Tokenizer, tmp_path: Path, order: int) -> None:
    """The library numbers the texts wrongly after several post-processors."""
    content = json.loads(small.backend_tokenizer.to_str())
    both = [content["post_processor"], {"type": "ByteLevel", **dict.fromkeys(BYTE_LEVEL, True)}]
    content["post_processor"] = {"type": "Sequence", "processors": both[::order]}
    (tmp_path / "several").mkdir()
    (tmp_path / "several" / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    several = Tokenizer.from_pretrained(tmp_path / "several")
    texts: list[str | tuple[str, str]] = ["the cat sat on the mat", "", ("the cat", "서울은 cat mat")]
    texts += [("", "the cat sat"), ("the cat sat", ""), ("cafe\u0301", "e\u0301 cat")]
    every: tuple[dict[str, Any], ...] = (
        {},
        {"max_length": 5},
        {"add_special_tokens": False, "max_length": 3},
    )
    for options in every:
        assert several.encode_batch(texts, **options) == small.encode_batch(texts, **options)
    assert several.encode_ids(texts, max_length=5) == small.encode_ids(texts, max_length=5)
    with pytest.raises(InputError, match="would have to cut"):
        several.encode_batch([("the cat", "the cat sat on the mat")], truncation="only_first", max_length=6)


BYTE_LEVEL = ("add_prefix_space", "trim_offsets", "use_regex")
