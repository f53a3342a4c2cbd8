"""Readers of texts with entities: KLUE-NER, Naver NER, CoNLL and JSON Lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import TypeAlias

from munjang.data.records import Entry, json_line_entries, nfc
from munjang.data.tables import FilePath, text_lines
from munjang.data.tags import OUTSIDE, Entity, TaggedText, entities_of_tags, has_suffixes, split_tag
from munjang.errors import DataFileError

Line: TypeAlias = tuple[int, str]
Reader: TypeAlias = Callable[[Sequence[Line], str], Iterable[TaggedText]]

_WORD = re.compile(r"\S+")
_TAG = re.compile(r"O|[BI]-\S+|\S+[-_][BI]")
_OBJECT = re.compile(r"\s*\{[^\t]")
_SPACE = re.compile(r"\s\t\S+")
_CHARACTER = re.compile(r".\t\S+")
_ONE_WORD = re.compile(r"\S+\t\S+")
_COMMENT = "##"
_DOCUMENT = "-DOCSTART-"


def read_tagged_texts(path: FilePath, *, encoding: str = "utf-8") -> list[TaggedText]:
    """Read texts with entities; the format is recognised from the lines. ``.gz`` is unpacked.

    - KLUE-NER (arXiv:2105.09680): a character, a tab and its tag per line, spaces too; a blank line between
      texts. Lines that begin with ``##`` are comments.
    - Naver NER: a sentence, a tab and the tags of its words (separated by white space, particles included).
    - CoNLL: per line a word, optional further columns, and its tag, separated by tabs or spaces; a blank line
      between sentences. The text is the words with one space between them. A first column that counts the
      words is ignored.
    - JSON Lines: ``{"text": ..., "entities": [[start, end, type], ...]}``.

    Tags are ``O``, ``B-PS``, ``I-PS`` or ``PS-B``, ``PS_I``; types are read in the normal form NFC.

    Raises `DataFileError`, with the line, for a file of another format or that could be of two formats, tags
    that do not match their words, and entities that lie outside the text, are empty or overlap; `InputError`
    for an unknown encoding.
    """
    name, raw_lines = text_lines(path, encoding)
    lines = [(number, line.removesuffix("\n")) for number, line in raw_lines]
    texts = list(_reader(lines, name)(lines, name))
    if not texts:
        raise DataFileError(f"{name} has no texts, only comments.")
    return texts


def _reader(lines: Sequence[Line], name: str) -> Reader:
    """Return the reader of a file's format, recognised by features unique to the format."""
    rows = [line for line in lines if line[1].strip()]
    examined = [line for line in rows if not line[1].startswith(_COMMENT)]
    if not examined:
        raise DataFileError(f"{name} has no texts: it is empty.")
    texts = [text for _, text in examined]
    if _OBJECT.match(texts[0]):
        return _object_texts
    if any(map(_SPACE.fullmatch, texts)):
        return klue_texts
    if all(map(_CHARACTER.fullmatch, texts)):
        if len(rows) == len(examined):
            raise DataFileError(
                f"{name} has a character and a tag in each line, and no line for a space. If they are the "
                "characters of a text (KLUE-NER), begin the file with a comment, a line that begins with ##. "
                "If they are words (CoNLL), separate word and tag by a space."
            )
        return klue_texts
    if any(map(_is_sentence, texts)):
        return naver_texts
    is_unbroken = len(rows) == len(lines) > 1
    if is_unbroken and all(map(_ONE_WORD.fullmatch, texts)) and all(map(_is_word, texts)):
        raise DataFileError(
            f"{name} has a word and a tag in each line, and no blank line. If they are the words of one text "
            "(CoNLL), end it with a blank line; if each line is a text (Naver NER), use JSON Lines."
        )
    if any(map(_is_word, texts)):
        return _conll_texts
    raise DataFileError(
        f"{name}, line {examined[0][0]}: {texts[0]!r:.40} is no text with tags; there is a character or a "
        "word with its tag (B-PS or O) per line, a sentence with the tags of its words, or a JSON object."
    )


def _is_sentence(text: str) -> bool:
    sentence, tab, tags = text.partition("\t")
    several = len(sentence.split()) > 1 or len(tags.split()) > 1
    return bool(tab) and several and "\t" not in tags and all(map(_TAG.fullmatch, tags.split() or [""]))


def _is_word(text: str) -> bool:
    columns = _columns(text)
    return len(columns) > 1 and _TAG.fullmatch(columns[-1]) is not None


def _columns(text: str) -> list[str]:
    text = text.rstrip()
    if "\t" in text:
        return text.split("\t")
    return [column for column in text.split(" ") if column]  # a no-break space is part of a word


def klue_texts(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    """Yield the texts of numbered lines of KLUE-NER; messages call the file ``name``.

    Raises `DataFileError`, with the line, for a line that is no character, tab and tag.
    """
    kept = (line for line in lines if not line[1].startswith(_COMMENT))
    for is_blank, group in groupby(kept, key=lambda line: not line[1]):
        if not is_blank:
            rows = [_character_and_tag(line, name) for line in group]
            tagged = ((offset, offset + 1, tag) for offset, (_, tag) in enumerate(rows))
            text = "".join(character for character, _ in rows)
            yield TaggedText(text=text, entities=entities_of_tags(tagged))


def _character_and_tag(line: Line, name: str) -> tuple[str, str]:
    character, tab, tag = line[1].rpartition("\t")
    if not tab or len(character) != 1 or (tag != OUTSIDE and split_tag(tag)[1] == tag):
        raise DataFileError(
            f"{name}, line {line[0]}: {line[1]!r:.40} is not a character, a tab and a tag (B-PS or O)."
        )
    return character, nfc(tag)


def naver_texts(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    """Yield the texts of numbered lines of Naver NER; messages call the file ``name``.

    Raises `DataFileError`, with the line, if there is not a tag for each word.
    """
    for number, line in lines:
        if not line.strip():
            continue
        text, _, tagged = line.partition("\t")
        words, tags = list(_WORD.finditer(text)), nfc(tagged).split()
        if len(words) != len(tags):
            raise DataFileError(f"{name}, line {number}: {len(words)} words, but {len(tags)} tags.")
        spans = ((word.start(), word.end(), tag) for word, tag in zip(words, tags, strict=True))
        yield TaggedText(text=text, entities=entities_of_tags(spans, suffixed=has_suffixes(tags)))


def _conll_texts(lines: Sequence[Line], name: str) -> Iterator[TaggedText]:
    rows = [(number, _columns(text)) for number, text in lines if not _is_comment(text)]
    groups = groupby(rows, key=lambda row: not any(row[1]))
    sentences = [[_checked(row, name) for row in group] for is_blank, group in groups if not is_blank]
    suffixed = has_suffixes({columns[-1] for sentence in sentences for columns in sentence})
    # Decide for the whole file, because a single sentence may be the word "1".
    word = 1 if all(map(_is_numbered, sentences)) else 0
    for sentence in sentences:
        text, spans = "", []
        for columns in sentence:
            start = len(text) + 1 if text else 0
            text = f"{text} {columns[word]}" if text else columns[word]
            spans.append((start, len(text), nfc(columns[-1])))
        yield TaggedText(text=text, entities=entities_of_tags(spans, suffixed=suffixed))


def _is_numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of several columns numbers the words of a sentence from 0 or 1."""
    numbers = [row[0] for row in rows if len(row) > 2]
    return numbers in ([str(number) for number in range(start, start + len(rows))] for start in (0, 1))


def _is_comment(text: str) -> bool:
    return (text.startswith("#") and not _is_word(text)) or text.startswith(_DOCUMENT)


def _checked(row: tuple[int, list[str]], name: str) -> list[str]:
    number, columns = row
    if len(columns) < 2 or not all(map(str.strip, columns[:2])) or not _TAG.fullmatch(columns[-1]):
        shown = " ".join(columns)
        raise DataFileError(f"{name}, line {number}: {shown!r:.40} is not a word and its tag (B-PS or O).")
    return columns


def _object_texts(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    for entry in json_line_entries(lines, name):
        text = entry.text("text")
        entities = sorted(_entity(entry, value, text) for value in entry.items("entities"))
        for first, second in pairwise(entities):
            if second[0] < first[1]:
                raise entry.error(f"the entities {list(first)} and {list(second)} overlap.")
        yield TaggedText(text=text, entities=entities)


def _entity(entry: Entry, value: object, text: str) -> Entity:
    start, end = entry.as_span(value, "an entity", text)
    if not isinstance(value, list) or len(value) != 3:
        raise entry.error(f"an entity is {value!r:.40}, not a list [start, end, type].")
    kind = nfc(entry.as_text(value[2], "the type of an entity"))
    if kind == OUTSIDE:
        raise entry.error(f"the type of an entity is {kind!r}, the tag of text outside of entities.")
    return start, end, kind
