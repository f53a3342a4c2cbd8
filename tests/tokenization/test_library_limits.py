"""Tokenisers that are broken, grow texts or take unbounded time are refused; panics become errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from munjang.errors import CheckpointError, InputError
from munjang.tokenization import Tokenizer
from munjang.tokenization.limits import library_errors

Opener = Callable[..., Tokenizer]


@pytest.fixture
def opened(small: Tokenizer, tmp_path: Path) -> Opener:
    """Open the small WordPiece tokeniser with other parts in its ``tokenizer.json``."""

    def make(**parts: Any) -> Tokenizer:
        content = {**json.loads(small.backend_tokenizer.to_str()), **parts}
        folder = tmp_path / "changed"
        folder.mkdir()
        (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        return Tokenizer.from_pretrained(folder)

    return make


def replace(pattern: str, content: str = " ", kind: str = "Regex") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def several(key: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", key: list(steps)}


def table(raw: bytes) -> dict[str, Any]:
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(raw).decode()}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x01", bytes(4), b"\x08\0\0\0" + b"\xff" * 8 + b"abc", b"\x10\0\0\0" + bytes(range(16)) + b"a\0"],
    ids=repr,
)
def test_a_broken_normaliser_table(opened: Opener, raw: bytes) -> None:
    with pytest.raises(
        CheckpointError, match=r"can't be read as a tokeniser file|normaliser of .* is broken"
    ):
        opened(normalizer=table(raw))


ENDLESS = ["(a+)+$", "^(a|aa)+$", r"(\w+\s?)*$", "(.*)*;", "a*a*b", r"([\u3400-\u9fff]+)+$", "(ab|a|b)+$"]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_regular_expression_with_exponential_time(opened: Opener, pattern: str) -> None:
    message = "which can take for ever"
    with pytest.raises(CheckpointError, match=message):
        opened(normalizer=several("normalizers", {"type": "NFC"}, replace(pattern)))


def test_slow_patterns_are_refused_in_every_component(opened: Opener, tmp_path: Path) -> None:
    for parts in ({"pre_tokenizer": split("(a+)+$")}, {"decoder": replace("(a+)+$")}):
        with pytest.raises(CheckpointError, match="which can take for ever"):
            opened(**parts)
        (tmp_path / "changed" / "tokenizer.json").unlink()
        (tmp_path / "changed").rmdir()


LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
)


@pytest.mark.parametrize("pattern", [" {2,}", r"\s+(?!\S)|\s+", r"\s+$", f"{LLAMA}|\\s+(?!\\S)|\\s+"])
def test_usual_regular_expressions_are_allowed(opened: Opener, pattern: str) -> None:
    assert opened(pre_tokenizer=split(pattern)).encode("the cat")


SPACED = {"type": "Prepend", "prepend": "a" * 200}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
MARK = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}


def template(*pieces: dict[str, Any]) -> dict[str, Any]:
    special = {"[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    kinds = {"single": list(pieces), "pair": [TEXT, second], "special_tokens": special}
    return {"type": "TemplateProcessing", **kinds}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"normalizer": replace("a", "a" * 1000)}, "1,000 characters for one"),
        (
            {"normalizer": several("normalizers", *[replace("a", "aaa", "String")] * 6)},
            "729 characters for one",
        ),
        ({"normalizer": several("normalizers", *[replace("x*", "xx")] * 6)}, "729 characters for one"),
        ({"normalizer": several("normalizers", *[replace("a", "a" * 9999)] * 900)}, "1,000,000,000,000 char"),
        ({"normalizer": table(bytes(4) + b"a" * 300 + b"\0")}, "300 characters for one"),
        ({"normalizer": several("normalizers", SPACED, SPACED)}, "400 characters put before a text"),
        ({"normalizer": several("normalizers", *[{"type": "NFC"}] * 1001)}, "1,001 steps in its normalizer"),
        ({"pre_tokenizer": several("pretokenizers", *[BYTES] * 4)}, "1,024 characters for one"),
        (
            {"pre_tokenizer": several("pretokenizers", *map(split, map(str, range(65))))},
            "65 different regular",
        ),
        ({"decoder": replace("a", "a" * 1000, "String")}, "1,000 characters for one character of a token"),
        ({"post_processor": template(*[MARK] * 257)}, "257 tokens and texts in a template"),
        (
            {"post_processor": template(TEXT, MARK, TEXT)},
            "2 as the times that a template takes the same text",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_growth_is_bounded(opened: Opener, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        opened(**parts)


def test_words_are_not_longer_than_wordpiece_can_cut(small: Tokenizer, opened: Opener) -> None:
    model = json.loads(small.backend_tokenizer.to_str())["model"]
    with pytest.raises(CheckpointError, match="1,000,000 as max_input_chars_per_word; 1,000 is the most"):
        opened(model={**model, "max_input_chars_per_word": 10**6})


def test_usual_growth_is_allowed(opened: Opener) -> None:
    steps = [{"type": "NFKC"}, replace("…", "..."), replace(" {2,}")]
    tokenizer = opened(normalizer=several("normalizers", *steps))
    assert tokenizer.tokenize("the … ﷺ cat")[:4] == ["the", ".", ".", "."]


def test_a_panic_at_a_text_names_the_text(opened: Opener, capfd: pytest.CaptureFixture[str]) -> None:
    """The probes for patterns have no letters of this pattern's script."""
    tokenizer = opened(normalizer=replace(r"(\p{Cherokee}+)+$"))
    bad = "Ꭰ" * 40 + "a"
    message = "Text 1 can't be encoded by .*retry-limit"
    for call in (tokenizer.encode_ids, tokenizer.encode_batch, tokenizer):
        with pytest.raises(InputError, match=message):
            call(["cat", bad, "mat"])
    for one in (tokenizer.normalized, tokenizer.pieces_of, tokenizer.add_tokens):
        with pytest.raises(InputError, match="retry-limit"):
            one(bad)
    assert tokenizer.tokenize("the cat") == ["the", "cat"]
    assert "retry-limit" in capfd.readouterr().err, "the library reports panics by itself"


def test_other_interrupts_come_through() -> None:
    for stop in (KeyboardInterrupt, SystemExit):
        with pytest.raises(stop), library_errors("work", InputError):
            raise stop
    with pytest.raises(InputError, match=r"^work: KeyError\.$"), library_errors("work", InputError):
        raise KeyError
    with pytest.raises(CheckpointError, match="own"), library_errors("work", InputError):
        raise CheckpointError("own")
