"""Any text made safe to show: it stays on its line, in its direction, and hides nothing."""

from __future__ import annotations

import unicodedata
from html import escape

__all__ = ["as_html", "visible"]

_SHOWN_AS_SPACE = "\t\n\r\v\f"
# Cc, Cs, Co, Cn and the format characters (Cf) that change the direction of text, or are invisible.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # part of how some scripts and emoji are written
_DOTTED_CIRCLE = "\u25cc"


def visible(text: str) -> str:
    """Show white space as spaces, hidden characters as escapes, and a lone combining mark on a circle."""
    shown = [_shown(character) for character in text]
    for i, character in enumerate(text):
        if unicodedata.category(character)[0] == "M" and (i == 0 or not _carries(text[i - 1])):
            shown[i] = _DOTTED_CIRCLE + shown[i]
    return "".join(shown)


def _carries(character: str) -> bool:
    """Whether a combining mark may stand on a character, another mark included."""
    return unicodedata.category(character)[0] not in "CZ" or character in _JOINERS


def _shown(character: str) -> str:
    if character in _SHOWN_AS_SPACE:
        return " "
    if unicodedata.category(character) in _HIDDEN and character not in _JOINERS:
        return character.encode("unicode_escape").decode("ascii")
    return character


def as_html(text: str) -> str:
    """The same for HTML, element content or attribute value."""
    return escape(visible(text), quote=True)
