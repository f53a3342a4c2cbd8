"""Readers of texts with entities: KLUE-NER, Naver NER, CoNLL and JSON Lines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, pairwise
from pathlib import Path

from munjang.data.files import json_records, numbered_lines, opened, shown_name
from munjang.data.tables import Entry, FilePath
from munjang.data.tags import OUTSIDE, Entity, TaggedText, entities_of_tags, has_suffixes, split_tag
from munjang.errors import DataFileError

__all__ = [
    "Line",
    "klue_sentences",
    "naver_sentences",
    "read_klue_ner",
    "read_naver_ner",
    "read_tagged_texts",
]

Line = tuple[int, str]
_WORD = re.compile(r"\S+")


def read_klue_ner(path: str | os.PathLike[str]) -> Iterator[TaggedText]:
    """Read KLUE-NER (arXiv:2105.09680): a character, a tab and its tag per line, a blank line between texts.

    Lines that begin with ``##`` are comments. Raises `DataFileError`, with the line, for anything else.
    """
    yield from klue_sentences(_lines(path), f"'{path}'")


def read_naver_ner(path: str | os.PathLike[str]) -> Iterator[TaggedText]:
    """Read Naver NER: a sentence, a tab and the tags of its words, which are written ``PER-B`` or ``PER_B``.

    Words are what stands between white space, particles included. Raises `DataFileError`, with the line, if
    there is not a tag for each word.
    """
    yield from naver_sentences(_lines(path), f"'{path}'")


def klue_sentences(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    """Yield the texts of numbered lines as `read_klue_ner` does; messages call the file ``name``."""
    kept = (line for line in lines if not line[1].startswith("##"))
    for blank, group in groupby(kept, key=lambda line: not line[1]):
        if not blank:
            rows = [_character(name, line) for line in group]
            pieces = ((at, at + 1, tag) for at, (_, tag) in enumerate(rows))
            yield TaggedText(
                text="".join(character for character, _ in rows), entities=entities_of_tags(pieces)
            )


def naver_sentences(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    """Yield the texts of numbered lines as `read_naver_ner` does; messages call the file ``name``."""
    for number, line in lines:
        if line:
            yield _sentence(name, number, line)


def _lines(path: str | os.PathLike[str]) -> Iterator[Line]:
    """Yield the numbered lines of a file, and an empty one at its end."""
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataFileError(f"Can't read '{path}': {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataFileError(f"'{path}' is not UTF-8 (byte {error.start}).") from None
    return enumerate(chain(content.split("\n"), [""]), start=1)


def _character(name: str, line: Line) -> tuple[str, str]:
    character, tab, tag = line[1].rpartition("\t")
    if not tab or len(character) != 1 or (tag != OUTSIDE and split_tag(tag)[1] == tag):
        raise DataFileError(
            f"{name}, line {line[0]}: {line[1]!r:.40} is not a character, a tab and a tag (B-PS or O)."
        )
    return character, tag


def _sentence(name: str, number: int, line: str) -> TaggedText:
    text, _, tagged = line.partition("\t")
    words, tags = list(_WORD.finditer(text)), tagged.split()
    if len(words) != len(tags):
        raise DataFileError(f"{name}, line {number}: {len(words)} words, but {len(tags)} tags.")
    pieces = ((word.start(), word.end(), tag) for word, tag in zip(words, tags, strict=True))
    return TaggedText(text=text, entities=entities_of_tags(pieces, suffixed=has_suffixes(tags)))


_TAG = re.compile(r"O|[BI]-\S+|\S+[-_][BI]")
_OBJECT = re.compile(r"\s*\{[^\t]")
_SPACE = re.compile(r"\s\t\S+")
_CHARACTER = re.compile(r".\t\S+")
_LOOKED_AT = 2000
_DOCUMENT = "-DOCSTART-"

Reader = Callable[[Sequence[Line], str], Iterable[TaggedText]]


def read_tagged_texts(path: FilePath) -> list[TaggedText]:
    """Read texts with entities; the format is recognised from the first lines. ``.gz`` is unpacked.

    - KLUE-NER: a character, a tab and its tag per line, spaces too; see `munjang.data.readers.tagged`.
    - Naver NER: a sentence, a tab and the tags of its words.
    - CoNLL: per line a word, maybe further columns, and its tag, separated by tabs or spaces; a blank line
      between sentences. The text is the words with one space between them. A first column that counts the
      words is none of them.
    - JSON Lines: ``{"text": ..., "entities": [[start, end, type], ...]}``.

    Tags are ``O``, ``B-PS``, ``I-PS`` or ``PS-B``, ``PS_I``. Raises `DataFileError`, with the line, for a
    file of none of these formats, tags that do not fit their words, and entities that lie outside the text,
    are empty or overlap.
    """
    place = os.fspath(path)
    name = shown_name(place)
    with opened(place) as file:
        lines = [(n, line.removesuffix("\n")) for n, line in numbered_lines(file, name, "utf-8")]
    found = list(_reader(lines, name)(lines, name))
    if not found:
        raise DataFileError(f"{name} has no texts, only comments.")
    return found


def _reader(lines: Sequence[Line], name: str) -> Reader:
    """Return the reader of a file's format, recognised by features unique to the format."""
    rows = [line for line in lines[:_LOOKED_AT] if line[1].strip() and not line[1].startswith("##")]
    texts = [text for _, text in rows]
    if not rows:
        raise DataFileError(f"{name} has no texts: it is empty.")
    if _OBJECT.match(texts[0]):
        return _objects
    if any(map(_SPACE.fullmatch, texts)) or all(map(_CHARACTER.fullmatch, texts)):
        return klue_sentences
    if any(map(_is_sentence, texts)):
        return _sentences
    if any(_is_word(text) for text in texts):
        return _words
    raise DataFileError(
        f"{name}, line {rows[0][0]}: {texts[0]!r:.40} is no text with tags; there is a character or a word "
        "with its tag (B-PS or O) per line, a sentence with the tags of its words, or a JSON object."
    )


def _is_sentence(text: str) -> bool:
    sentence, tab, tags = text.partition("\t")
    several = len(sentence.split()) > 1 or len(tags.split()) > 1
    return bool(tab) and several and "\t" not in tags and all(map(_TAG.fullmatch, tags.split() or [""]))


def _is_word(text: str) -> bool:
    columns = _columns(text)
    return len(columns) > 1 and _TAG.fullmatch(columns[-1]) is not None


def _columns(text: str) -> list[str]:
    return text.rstrip().split("\t") if "\t" in text else text.split()


def _sentences(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    return naver_sentences((line for line in lines if line[1].strip()), name)


def _words(lines: Sequence[Line], name: str) -> Iterator[TaggedText]:
    rows = [(number, _columns(text)) for number, text in lines if not _is_comment(text)]
    groups = groupby(rows, key=lambda row: not any(row[1]))
    sentences = [[_checked(row, name) for row in group] for blank, group in groups if not blank]
    suffixed = has_suffixes({columns[-1] for sentence in sentences for columns in sentence})
    # Of a whole file, because a sentence may well be the one word "1".
    word = 1 if all(map(_is_counted, sentences)) else 0
    for sentence in sentences:
        yield _tagged_words([(row[word], row[-1]) for row in sentence], suffixed=suffixed)


def _is_counted(rows: Sequence[Sequence[str]]) -> bool:
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


def _tagged_words(rows: Iterable[tuple[str, str]], *, suffixed: bool) -> TaggedText:
    text, pieces = "", []
    for word, tag in rows:
        start = len(text) + 1 if text else 0
        text = f"{text} {word}" if text else word
        pieces.append((start, len(text), tag))
    return TaggedText(text=text, entities=entities_of_tags(pieces, suffixed=suffixed))


def _objects(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    for record in json_records(lines, name):
        entry = Entry(name, *record)
        text = entry.text("text")
        yield TaggedText(text=text, entities=_entities(entry, text))


def _entities(entry: Entry, text: str) -> list[Entity]:
    found = sorted(_entity(entry, value, text) for value in entry.items("entities"))
    for one, after in pairwise(found):
        if after[0] < one[1]:
            raise entry.error(f"the entities {list(one)} and {list(after)} overlap.")
    return found


def _entity(entry: Entry, value: object, text: str) -> Entity:
    start, end = entry.as_span(value, "an entity", text)
    if not isinstance(value, list) or len(value) != 3:
        raise entry.error(f"an entity is {value!r:.40}, not a list [start, end, type].")
    return start, end, entry.as_text(value[2], "the type of an entity")
