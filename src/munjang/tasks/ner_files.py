"""Published Korean data of named entities, read as texts with entities."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path

from munjang.errors import DataFileError
from munjang.tasks.tagging import OUTSIDE, TaggedText, entities_of_tags, has_suffixes, split_tag

__all__ = ["Line", "klue_sentences", "naver_sentences", "read_klue_ner", "read_naver_ner"]

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
    """Give the texts of numbered lines as `read_klue_ner` does; messages call the file ``name``."""
    kept = (line for line in lines if not line[1].startswith("##"))
    for blank, group in groupby(kept, key=lambda line: not line[1]):
        if not blank:
            rows = [_character(name, line) for line in group]
            pieces = ((at, at + 1, tag) for at, (_, tag) in enumerate(rows))
            yield TaggedText(
                text="".join(character for character, _ in rows), entities=entities_of_tags(pieces)
            )


def naver_sentences(lines: Iterable[Line], name: str) -> Iterator[TaggedText]:
    """Give the texts of numbered lines as `read_naver_ner` does; messages call the file ``name``."""
    for number, line in lines:
        if line:
            yield _sentence(name, number, line)


def _lines(path: str | os.PathLike[str]) -> Iterator[Line]:
    """Give the numbered lines of a file, and an empty one at its end."""
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
