"""Parts of drawings: text made safe to show, HTML elements, and matrices as small PNG images."""

from __future__ import annotations

import base64
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.tasks.explain.steps import Rows

_SHOWN_AS_SPACE = "\t\n\r\v\f"
# Cc, Cs, Co, Cn and the format characters (Cf) that change the direction of text, or are invisible.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # part of how some scripts and emoji are written
_DOTTED_CIRCLE = "\u25cc"


def visible(text: str) -> str:
    """Return text with spaces for white space, escapes for hidden characters, a circle under a lone mark."""
    shown = [_shown(character) for character in text]
    for i, character in enumerate(text):
        if unicodedata.category(character)[0] == "M" and (i == 0 or not _carries(text[i - 1])):
            shown[i] = _DOTTED_CIRCLE + shown[i]
    return "".join(shown)


def _carries(character: str) -> bool:
    """Return whether a combining mark can follow a character, which may be another mark."""
    return unicodedata.category(character)[0] not in "CZ" or character in _JOINERS


def _shown(character: str) -> str:
    if character in _SHOWN_AS_SPACE:
        return " "
    if unicodedata.category(character) in _HIDDEN and character not in _JOINERS:
        return character.encode("unicode_escape").decode("ascii")
    return character


def as_html(text: str) -> str:
    """Return the visible text for HTML, as element content or attribute value."""
    return escape(visible(text), quote=True)


def section(number: int, title: str, text: str, body: str) -> str:
    """Return a step of the page; ``title``, ``text`` and ``body`` are HTML."""
    return f"<section><h2><span>{number}</span>{title}</h2><p>{text}</p>{body}</section>"


def token(rows: Rows, i: int) -> str:
    """Return a token's name, dimmed for a special token."""
    special = ' class="special"' if rows.special_tokens_mask[i] else ""
    return f"<bdi{special}>{as_html(rows.tokens[i])}</bdi>"


def table(head: Sequence[str], lines: Iterable[str], *, left: Sequence[str] = (), kind: str = "") -> str:
    """Return a table that scrolls if it is too wide; ``lines`` are the cells of each row, as HTML."""
    cells = "".join(f'<th class="t">{name}</th>' if name in left else f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    opened = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="scroll">{opened}<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def bar(share: float, shown: str, *, kind: str = "") -> str:
    """Return a cell with a bar as wide as the share, and the number under it."""
    return f'<td class="bar{kind}"><i style="--v:{min(max(share, 0), 1):.3f}"></i><span>{shown}</span></td>'


def cell(share: float, shown: str) -> str:
    """Return a cell with a colour as strong as the share."""
    return f'<td class="h" style="--v:{min(max(share, 0), 1):.2f}">{shown}</td>'


_POSITIVE = (53, 112, 201)
_NEGATIVE = (203, 106, 40)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGBA = 6


def strengths(matrix: NDArray[Any]) -> str:
    """Return an image of ``[rows, columns]`` from 0 (transparent) to 1 (full colour), as a data URL."""
    return signed(np.clip(matrix, 0, 1))


def signed(matrix: NDArray[Any]) -> str:
    """Return an image of ``[rows, columns]`` from -1 (one colour) over 0 (transparent) to 1 (another)."""
    pixels = np.empty((*matrix.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(matrix[..., None] < 0, _NEGATIVE, _POSITIVE)
    pixels[..., 3] = np.rint(np.minimum(np.abs(matrix), 1) * 255)
    return f"data:image/png;base64,{base64.b64encode(_png(pixels)).decode('ascii')}"


def _png(pixels: NDArray[np.uint8]) -> bytes:
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, _RGBA, 0, 0, 0)
    lines = np.zeros((height, 1 + 4 * width), dtype=np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    data = zlib.compress(lines.tobytes(), 9)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
