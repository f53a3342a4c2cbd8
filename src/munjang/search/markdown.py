"""Markdown cut at its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Section", "sections", "slug"]

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TITLE_BLOCK = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


class Section(NamedTuple):
    """The text under a heading, up to the next, and the headings that it stands under, its own last."""

    headings: tuple[str, ...]
    text: str


def sections(text: str) -> Iterator[Section]:
    """Cut Markdown at its headings (``#`` and underlined ones, not those in blocks of code).

    The heading is part of its section's text, because it says what the section is about. What stands between
    dashes at the very beginning describes the file and is left out; so are sections without any text.
    """
    path: list[tuple[int, str]] = []
    body: list[str] = []
    fence: str | None = None
    for line in _TITLE_BLOCK.sub("", text, count=1).splitlines():
        fence = _fence_after(line, fence)
        level, title = (0, "") if fence else _heading(line, body)
        if not level:
            body.append(line)
            continue
        if not line.lstrip().startswith("#"):
            body.pop()  # the title above its underline
        yield from _section(path, body)
        path = [(depth, name) for depth, name in path if depth < level] + [(level, title)]
        body = [title]
    yield from _section(path, body)


def _section(path: list[tuple[int, str]], body: list[str]) -> Iterator[Section]:
    text = "\n".join(body).strip()
    headings = tuple(name for _, name in path)
    if text and text != (headings[-1] if headings else ""):
        yield Section(headings, text)


def _fence_after(line: str, fence: str | None) -> str | None:
    """Say what block of code the text is in after this line, by what opened it."""
    found = _FENCE.match(line)
    if found is None:
        return fence
    if fence is None:
        return found[1]
    closes = found[1].startswith(fence) and line.strip() == found[1]
    return None if closes else fence


def _heading(line: str, before: list[str]) -> tuple[int, str]:
    """Give the level and title of a heading that ends with this line; level 0 for any other line."""
    if found := _HEADING.fullmatch(line):
        return len(found[1]), (found[2] or "").strip()
    is_title = bool(before) and bool(before[-1].strip()) and before[-1].strip()[0] not in "#>-*+|`"
    if is_title and (found := _UNDERLINE.fullmatch(line)):
        alone = len(before) == 1 or not before[-2].strip()
        return (1 if found[1][0] == "=" else 2, before[-1].strip()) if alone else (0, "")
    return 0, ""


def slug(title: str) -> str:
    """Make the name by which a page links to a heading."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) or "section"
