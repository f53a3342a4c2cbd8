"""Limits for the parts of a tokeniser, which come from a file and could need unbounded time or memory.

Checked once, when the file is opened: the growth of a text, the time of a regular expression, the number of
steps. Published tokenisers are far below every limit.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import math
import re
import time
from typing import TYPE_CHECKING, Any

from munjang.errors import CheckpointError, MunjangError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer as LibraryTokenizer


@contextlib.contextmanager
def library_errors(message: str, error: type[MunjangError]) -> Iterator[None]:
    """Translate any exception of the library inside the block to ``error``: this message and the reason."""
    try:
        yield
    except MunjangError:
        raise
    except BaseException as failure:
        if not (isinstance(failure, Exception) or is_panic(failure)):
            raise
        raise error(f"{message}: {reason(failure)}.") from failure


def is_panic(failure: BaseException) -> bool:
    """Return whether this is a panic of the library."""
    return type(failure).__name__ == "PanicException"


def reason(failure: BaseException) -> str:
    """Return the exception's message on one line without a full stop at its end."""
    text = " ".join(str(failure).split()).rstrip(".") or type(failure).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_LONGEST = 300  # the library quotes whole pieces and patterns


_MOST_GROWTH = 256
"""The most characters that one character may become: NFKC takes up to 18, byte-level pieces 4."""
_MOST_STEPS = 1000
_MOST_EXPRESSIONS = 64
_LONGEST_WORD = 1000
"""Characters. WordPiece takes quadratic time in the length of a word and more; the usual limit is 100."""
_SECONDS = 0.1
"""Processor time for 1,024 characters: a linear regular expression takes 0.0001, a quadratic one 0.01."""

Part = dict[str, Any]


def check_limits(backend: LibraryTokenizer, origin: str) -> None:
    """Raise CheckpointError if a part of the tokeniser can take unbounded time or memory, or is broken.

    ``origin`` names the tokeniser in the message.
    """
    steps = {name: list(_steps(_description(getattr(backend, name)))) for name in _PARTS}
    for what, value, limit in _measures(backend, steps):
        if value > limit:
            raise CheckpointError(
                f"The tokeniser of {origin} has {min(value, 10**12):,} {what}; {limit:,} is the most allowed."
            )
    for pattern in _expressions(steps):
        _check_pattern(pattern, origin)
    if backend.normalizer is not None:
        with library_errors(f"The normaliser of {origin} is broken", CheckpointError):
            backend.normalizer.normalize_str(_SAMPLE)


_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_SAMPLE = "".join(map(chr, (*range(0x20, 0x250), *range(0x250, 0xD800, 64), *range(0xE000, 0x20000, 64))))
"""Characters of every block, on which a broken table of a normaliser shows."""


def _measures(backend: LibraryTokenizer, steps: dict[str, list[Part]]) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the value and the limit of each limited quantity."""
    longest = getattr(backend.model, "max_input_chars_per_word", None) or 0
    yield "as max_input_chars_per_word", longest, _LONGEST_WORD
    for name, part in steps.items():
        yield f"steps in its {name}", len(part), _MOST_STEPS
        yield f"characters put before a text by its {name}", sum(map(_prepended, part)), _MOST_GROWTH
    yield "different regular expressions", len(_expressions(steps)), _MOST_EXPRESSIONS
    templates = [step for step in steps["post_processor"] if step["type"] == "TemplateProcessing"]
    for template in templates:
        yield "tokens and texts in a template", max(len(template[form]) for form in _FORMS), _MOST_GROWTH
    text = [*steps["normalizer"], *steps["pre_tokenizer"]]
    letters = sum(step["type"] == "ByteLevel" for step in text)
    yield "characters for one character of a text", _growth(text) * 4**letters, _MOST_GROWTH
    yield "as the times that a template takes the same text", max([1, *map(_repeats, templates)]), 1
    yield "characters for one character of a token in its decoder", _growth(steps["decoder"]), _MOST_GROWTH


_FORMS = ("single", "pair")


def _prepended(step: Part) -> int:
    return len(step.get("prepend") or "")


def _description(part: Any) -> Part:
    return {} if part is None else dict(json.loads(part.__getstate__()))


def _steps(part: Part) -> Iterator[Part]:
    """Yield the steps of a part in order, with sequences flattened."""
    for key in ("normalizers", "pretokenizers", "processors", "decoders"):
        if key in part:
            for step in part[key]:
                yield from _steps(step)
            return
    if part:
        yield part


def _pattern(step: Part) -> Part:
    pattern = step.get("pattern")
    return pattern if isinstance(pattern, dict) else {}


def _expressions(steps: dict[str, list[Part]]) -> set[str]:
    patterns = [_pattern(step) for part in steps.values() for step in part]
    return {pattern["Regex"] for pattern in patterns if "Regex" in pattern}


def _growth(steps: list[Part]) -> int:
    """Return an upper bound for the number of characters that successive steps make of one character."""
    tables = [_longest_replacement(step) for step in steps if step["type"] == "Precompiled"]
    # Characters decomposed by Unicode compatibility forms (or a table of them) do not decompose again later.
    known = [size for size in tables if size <= _UNICODE["NFKC"]]
    apart = max([1, *(_UNICODE.get(step["type"], 1) for step in steps), *known])
    larger = math.prod(size for size in tables if size > _UNICODE["NFKC"])
    return apart * larger * math.prod(map(_replacement, steps))


_UNICODE = {"NFC": 3, "NFD": 4, "NFKC": 18, "NFKD": 18, "BertNormalizer": 4, "Lowercase": 3}


def _replacement(step: Part) -> int:
    """Return the maximum number of characters that replace one character."""
    if step["type"] != "Replace":
        return 1
    pattern, content = _pattern(step), step["content"]
    if "String" in pattern:
        return max(1, -(-len(content) // max(1, len(pattern["String"]))))
    from tokenizers import Regex, normalizers

    replaced: str = normalizers.Replace(Regex(pattern["Regex"]), "x").normalize_str(_TEXT)
    matches_nothing = len(replaced) > len(_TEXT)  # then the content is also inserted between characters
    return len(content) + 1 if matches_nothing else max(1, len(content))


_TEXT = "ab a0 .\n가나"


def _repeats(template: Part) -> int:
    """Return how often a template inserts the same text."""
    texts = [[piece["Sequence"]["id"] for piece in template[form] if "Sequence" in piece] for form in _FORMS]
    return max([1, *(form.count(text) for form in texts for text in form)])


def _longest_replacement(step: Part) -> int:
    """Return the length of the longest replacement in a sentencepiece table, in characters."""
    table = base64.b64decode(step["precompiled_charsmap"])
    pool = table[4 + int.from_bytes(table[:4], "little") :]
    return max(len(text.decode("utf-8", "replace")) for text in pool.split(b"\0"))


def _check_pattern(pattern: str, origin: str) -> None:
    """Raise CheckpointError if a pattern takes more than quadratic time in repeated characters.

    The library stops a match after ten million backtracking steps, but there is a match for each character.
    """
    plain = _ESCAPED.sub(lambda escape: chr(min(int(escape[1], 16), 0xD7FF)), pattern)
    if len(_CHOICES.findall(_PROPERTY.sub("", plain))) < 2:  # a single choice takes quadratic time at most
        return
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str
    own = list(dict.fromkeys(character for character in plain if character not in r"\()[]{}?*+|^$"))[:16]
    letters = list(dict.fromkeys([*own, *" aA0가.\n一яあ"]))
    pairs = [first + second for first in own for second in own if first != second]
    own_text = "".join(own)  # some patterns are tried only on texts with all their letters
    surroundings = {("", ""), ("", "\0"), ("", f"\0{own_text}"), (own_text, "\0")}
    for length, units in ((64, [*letters, *pairs]), (128, letters), (1024, letters)):
        for unit, (start, end) in itertools.product(units, surroundings):
            text = start + unit * (length // len(unit)) + end
            started = time.thread_time()
            try:
                split(text)
            except BaseException as failure:
                if not is_panic(failure):
                    raise
                raise _slow(pattern, origin, reason(failure)) from failure
            if time.thread_time() - started > _SECONDS:
                raise _slow(pattern, origin, f"{len(text)} characters take over {_SECONDS} s")


_CHOICES = re.compile(r"[*+?{|]")
_PROPERTY = re.compile(r"\\[pP]\{\^?\w+\}")
_ESCAPED = re.compile(r"\\[ux]\{?([0-9a-fA-F]{2,6})\}?")


def _slow(pattern: str, origin: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"The tokeniser of {origin} has the regular expression {pattern[:100]!r}, which can take for ever "
        f"({why}); quantifiers inside or beside one another for the same characters do that."
    )
