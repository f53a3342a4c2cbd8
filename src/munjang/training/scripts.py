"""The scripts of Unicode (https://www.unicode.org/reports/tr24/) that characters belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from munjang.errors import InputError, InputTypeError

__all__ = ["KOREAN_AND_ENGLISH", "in_scripts", "scripts_of"]

KOREAN_AND_ENGLISH = ("Hangul", "Latin", "Common")
"""Common is what many scripts share: digits, punctuation, symbols, emoji."""

_KNOWN = (
    "Common", "Latin", "Hangul", "Han", "Hiragana", "Katakana", "Bopomofo", "Cyrillic", "Greek", "Arabic",
    "Hebrew", "Armenian", "Georgian", "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil",
    "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao", "Tibetan", "Myanmar", "Khmer", "Ethiopic",
    "Mongolian", "Syriac", "Thaana",
)  # fmt: skip


def in_scripts(scripts: Iterable[str]) -> Callable[[str], bool]:
    """Give a function that says whether all characters of a text are of these scripts.

    Combining marks that take on the script of their letter always are. Raises `InputError` for a name that
    is no script, `InputTypeError` for one text instead of several.
    """
    if isinstance(scripts, str):
        raise InputTypeError(f"scripts is a list of names, such as {KOREAN_AND_ENGLISH}, not {scripts!r}.")
    remove = _remover(tuple(sorted({*scripts, "Inherited"})))
    # A pattern of the library never sees an empty text.
    return lambda text: not text or not remove(text)


@cache
def _remover(scripts: tuple[str, ...]) -> Callable[[str], str]:
    from tokenizers import Regex, normalizers

    for script in scripts:
        _check(script)
    properties = "".join(f"\\p{{{script}}}" for script in scripts)
    remover: Any = normalizers.Replace(Regex(f"[{properties}]"), "")
    remove: Callable[[str], str] = remover.normalize_str
    return remove


def _check(script: str) -> None:
    from tokenizers import Regex

    try:
        if script.replace("_", "").isalpha():
            Regex(f"\\p{{{script}}}")
            return
    except Exception:  # noqa: BLE001, S110 - the library raises nothing more precise
        pass
    raise InputError(
        f"{script!r} is no script of Unicode; there are {', '.join(_KNOWN[:6])} and others, by English names."
    )


def scripts_of(characters: Iterable[str]) -> list[str]:
    """Give those of the scripts in wide use that these characters belong to."""
    text = "".join(characters)
    return [script for script in _KNOWN if len(_remover((script,))(text)) < len(text)]
