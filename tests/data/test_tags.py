"""Conversion of tags between characters, words and tokens, also for the published Korean data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.data import read_tagged_texts
from munjang.data.readers.tagged import Line, klue_texts, naver_texts
from munjang.data.tags import (
    Entity,
    TaggedText,
    align,
    character_tags,
    entities_of_tags,
    entities_of_tokens,
    has_suffixes,
    split_tag,
    trimmed,
)
from munjang.errors import DataFileError, InputError
from munjang.tokenization import Tokenizer
from munjang.tokenization.encoding import Encoding

KLUE = "## a comment\n\n## id\t<이순신:PS>은\n"
KLUE += "이\tB-PS\n순\tI-PS\n신\tI-PS\n은\tO\n \tO\n3\tB-QT\n#\tO\n\n가\tI-LC\n"
NAVER = "이순신은 한산 섬에서  이겼다 .\tPER_B LOC_B LOC_I O O\nSeoul 1\tLOC_B NUM_B\n"
KINDS = {"PER", "FLD", "AFW", "ORG", "LOC", "CVL", "DAT", "TIM", "NUM", "EVT", "ANM", "PLT", "MAT", "TRM"}


def encoding_of(spans: list[tuple[int, int]]) -> Encoding:
    """Tokens at these offsets, between two special tokens."""
    whole = [(0, 0), *spans, (0, 0)]
    count = len(whole)
    own = [None, *[0] * len(spans), None]
    special = [1, *[0] * len(spans), 1]
    return Encoding(
        ["x"] * count, [5] * count, [0] * count, [1] * count, special, whole, list(own), list(own)
    )


@st.composite
def tokens_and_entities(draw: st.DrawFn) -> tuple[str, Encoding, list[Entity]]:
    """A text cut into tokens, with some spaces, and entities that begin and end at the edges of tokens."""
    lengths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=12))
    spaces = draw(st.lists(st.integers(0, 2), min_size=len(lengths), max_size=len(lengths)))
    text, spans = "", []
    for length, space in zip(lengths, spaces, strict=True):
        text += " " * space
        spans.append((len(text), len(text) + length))
        text += "가" * length
    entities: list[Entity] = []
    at = 0
    while at < len(spans):
        count = draw(st.integers(0, 3))
        if count:
            last = min(at + count, len(spans)) - 1
            entities.append((spans[at][0], spans[last][1], draw(st.sampled_from(["PS", "LC"]))))
        at += max(count, 1)
    return text, encoding_of(spans), entities


@given(tokens_and_entities())
def test_alignment_round_trips(made: tuple[str, Encoding, list[Entity]]) -> None:
    text, encoding, entities = made
    tags = align(entities, encoding)
    assert tags[0] is tags[-1] is None
    assert entities_of_tokens(tags, encoding, text) == entities
    characters = character_tags({"text": text, "entities": entities})
    assert entities_of_tags((at, at + 1, tag) for at, tag in enumerate(characters)) == entities


def test_tokens_that_do_not_end_with_the_entity() -> None:
    # 이순신은 as one token, and 서울역 as 서|울역 with two entities in the second
    encoding = encoding_of([(0, 4), (5, 6), (6, 8)])
    assert align([(0, 3, "PS")], encoding) == [None, "B-PS", "O", "O", None]
    assert align([(5, 7, "LC"), (7, 8, "OG")], encoding) == [None, "O", "B-LC", "I-LC", None]
    assert align([(6, 7, "OG"), (7, 8, "LC")], encoding) == [None, "O", "O", "B-OG", None]


def test_tokens_of_a_part_of_a_character() -> None:
    encoding = encoding_of([(0, 1), (0, 1), (0, 1), (1, 2), (2, 2), (2, 3)])
    tags = align([(0, 1, "PS"), (1, 3, "LC")], encoding)
    assert tags == [None, "B-PS", "I-PS", "I-PS", "B-LC", "I-LC", "I-LC", None]
    assert entities_of_tokens(tags, encoding, "가나다") == [(0, 1, "PS"), (1, 3, "LC")]


def test_spaces_in_tokens_are_no_part_of_an_entity() -> None:
    encoding = encoding_of([(0, 2), (2, 5)])
    tags = align([(3, 5, "LC")], encoding)
    assert tags == [None, "O", "B-LC", None]
    assert entities_of_tokens(tags, encoding, "가나 다라") == [(3, 5, "LC")]


@pytest.mark.parametrize(
    ("entities", "message"),
    [([(0, 2, "A"), (1, 3, "B")], "overlap"), ([(2, 2, "A")], "is empty"), ([(3, 1, "A")], "is empty")],
)
def test_entities_that_can_not_be_tagged(entities: list[Entity], message: str) -> None:
    with pytest.raises(InputError, match=message):
        align(entities, encoding_of([(0, 4)]))


def test_entities_outside_the_text() -> None:
    with pytest.raises(InputError, match="outside the text of 2"):
        character_tags({"text": "가나", "entities": [(1, 3, "A")]})


def test_tag_schemes() -> None:
    assert split_tag("B-PS") == ("B", "PS")
    assert split_tag("I-per-title") == ("I", "per-title")
    assert split_tag("NOUN") == ("I", "NOUN")
    assert split_tag("PER_B", suffixed=True) == split_tag("PER-B", suffixed=True) == ("B", "PER")
    assert has_suffixes(["O", "PER-B", "PER-I"])
    assert not has_suffixes(["O", "B-PER", "I-PER"])
    assert not has_suffixes(["O"])


def lines_of(path: Path) -> list[Line]:
    return list(enumerate(path.read_text(encoding="utf-8").split("\n"), 1))


def test_reading_characters(tmp_path: Path) -> None:
    path = tmp_path / "klue.tsv"
    path.write_text(KLUE, encoding="utf-8")
    assert list(klue_texts(lines_of(path), path.name)) == [
        {"text": "이순신은 3#", "entities": [(0, 3, "PS"), (5, 6, "QT")]},
        {"text": "가", "entities": [(0, 1, "LC")]},
    ]


def test_reading_words(tmp_path: Path) -> None:
    path = tmp_path / "naver.tsv"
    path.write_text(NAVER, encoding="utf-8")
    assert list(naver_texts(lines_of(path), path.name)) == [
        {"text": "이순신은 한산 섬에서  이겼다 .", "entities": [(0, 4, "PER"), (5, 11, "LOC")]},
        {"text": "Seoul 1", "entities": [(0, 5, "LOC"), (6, 7, "NUM")]},
    ]


@pytest.mark.parametrize("line", ["가나\tO", "가 O", "가\tPS-B", "\tO"])
def test_malformed_character_lines(line: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tsv"
    path.write_text(f"가\tO\n{line}\n", encoding="utf-8")
    with pytest.raises(DataFileError, match="line 2"):
        list(klue_texts(lines_of(path), path.name))


def test_words_without_their_tags(tmp_path: Path) -> None:
    path = tmp_path / "bad.tsv"
    path.write_text("가 나\tO\n", encoding="utf-8")
    with pytest.raises(DataFileError, match="line 1: 2 words, but 1 tags"):
        list(naver_texts(lines_of(path), "bad.tsv"))
    path.write_bytes("가".encode("cp949"))
    with pytest.raises(DataFileError, match="not UTF-8"):
        read_tagged_texts(path)
    with pytest.raises(DataFileError, match="There is no file"):
        read_tagged_texts(tmp_path / "none.tsv")


def tokenizer_for(examples: list[TaggedText], folder: Path, *, whole: bool) -> Tokenizer:
    """A WordPiece tokenizer with all letters of the data, and with ``whole`` its frequent words."""
    letters = {letter for example in examples for letter in example["text"] if not letter.isspace()}
    words: list[str] = []
    if whole:
        words = re.findall(r"\w{2,4}", " ".join(example["text"] for example in examples))[::7]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *sorted(letters), *(f"##{letter}" for letter in sorted(letters)), *words]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)) + "\n", encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}', encoding="utf-8")
    return Tokenizer.from_pretrained(folder)


def check_every_sentence(examples: list[TaggedText], tokenizer: Tokenizer, *, exactly: bool) -> None:
    encodings = tokenizer.encode_batch([example["text"] for example in examples])
    for example, encoding in zip(examples, encodings, strict=True):
        tags = align(example["entities"], encoding)
        found = entities_of_tokens(tags, encoding, example["text"])
        if exactly:
            # A few entities of the data begin with a space, which no token holds.
            whole = [
                (*trimmed(example["text"], start, end), kind) for start, end, kind in example["entities"]
            ]
            assert found == whole
        assert len(tags) == len(encoding)
        for start, end, _ in example["entities"]:
            assert any(entity[0] < end and start < entity[1] for entity in found)


def marked_up(example: TaggedText) -> str:
    text = example["text"]
    for start, end, kind in reversed(example["entities"]):
        text = f"{text[:start]}<{text[start:end]}:{kind}>{text[end:]}"
    return text


@pytest.mark.data
def test_klue_ner(data: Path, tmp_path: Path) -> None:
    path = data / "klue-ner" / "train.tsv"
    examples = list(klue_texts(lines_of(path), path.name))
    assert len(examples) == 4000
    marked = [line for line in path.read_text(encoding="utf-8").split("\n") if line.startswith("## klue-ner")]
    for example, line in zip(examples, marked, strict=True):
        assert line.endswith(f"\t{marked_up(example)}")
    check_every_sentence(examples, tokenizer_for(examples, tmp_path, whole=False), exactly=True)
    check_every_sentence(examples, tokenizer_for(examples, tmp_path, whole=True), exactly=False)


@pytest.mark.data
def test_naver_ner(data: Path, tmp_path: Path) -> None:
    examples = list(naver_texts(lines_of(data / "naver-ner" / "test.tsv"), "test.tsv"))
    assert len(examples) == 9000
    kinds = {kind for example in examples for _, _, kind in example["entities"]}
    assert kinds == KINDS
    check_every_sentence(examples, tokenizer_for(examples, tmp_path, whole=False), exactly=True)
