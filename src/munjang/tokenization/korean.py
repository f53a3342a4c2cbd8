"""The composed normal form (NFC) of a text, and the map from its offsets to the original text.

Files from macOS and some input methods spell a Hangul syllable as two or three jamo (NFD). Vocabularies
contain whole syllables, so such text would become unknown pieces. Therefore all text is composed first:
Unicode Standard Annex #15, https://www.unicode.org/reports/tr15/.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from array import array
from itertools import groupby, takewhile
from typing import NamedTuple

is_nfc = functools.partial(unicodedata.is_normalized, "NFC")
"""``is_nfc(text)``: whether a text is in NFC already; a quick check over its characters."""

# `unicodedata.normalize` sorts a run of combining marks by insertion, which is quadratic. Up to this length
# the cost is negligible; longer runs are sorted here first.
_SHORT = 1000
# Every character with a canonical composition or a combining class is below this, or in the block after it.
_LETTERS = range(0x300, 0x20000)
_COMPATIBILITY_IDEOGRAPHS = range(0x2F800, 0x2FA20)


class OffsetMap(NamedTuple):
    """For each character of a composed text, its start and end offset in the original text."""

    starts: array[int]
    ends: array[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of the original text for the range ``[start, end)`` of the composed text."""
        if start < end:
            return self.starts[start], self.ends[end - 1]
        position = self.starts[start] if start < len(self.starts) else self.ends[-1]
        return position, position


def nfc(text: str) -> str:
    """Return the text in NFC, in time linear in its length."""
    if is_nfc(text):
        return text
    if len(text) <= _SHORT:
        return unicodedata.normalize("NFC", text)
    return _changing_clusters().sub(lambda match: _composed_cluster(match[0]), text)


def compose(text: str) -> tuple[str, OffsetMap | None]:
    """Return the text in NFC and the offset map to the original; the map is None if nothing changed.

    A composed character maps to all its original characters: a syllable to its two or three jamo.
    """
    if is_nfc(text):
        return text, None
    pieces: list[str] = []
    offsets = OffsetMap(array("q"), array("q"))
    done = 0
    for match in _changing_clusters().finditer(text):
        written = match[0]
        composed = _composed_cluster(written)
        if composed == written:
            continue
        pieces += (text[done : match.start()], composed)
        _map_unchanged(offsets, done, match.start())
        _map_cluster(offsets, match.start(), written, composed)
        done = match.end()
    pieces.append(text[done:])
    _map_unchanged(offsets, done, len(text))
    return "".join(pieces), offsets


def _map_unchanged(offsets: OffsetMap, start: int, end: int) -> None:
    if start == end:
        return
    offsets.starts.extend(range(start, end))
    offsets.ends.extend(range(start + 1, end + 1))


def _map_cluster(offsets: OffsetMap, start: int, written: str, composed: str) -> None:
    """Map the changed part as one block, and the unchanged marks after it one to one."""
    if len(composed) == 1:
        offsets.starts.append(start)
        offsets.ends.append(start + len(written))
        return
    backwards = zip(reversed(written), reversed(composed), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], backwards))
    changed_end = start + len(written) - same
    block = len(composed) - same
    offsets.starts.extend([start] * block)
    offsets.ends.extend([changed_end] * block)
    _map_unchanged(offsets, changed_end, start + len(written))


def _composed_cluster(cluster: str) -> str:
    if len(cluster) <= _SHORT:
        return unicodedata.normalize("NFC", cluster)
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in cluster)
    runs = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    # Sorting is stable, and among characters without a combining class it changes nothing.
    ordered = "".join("".join(sorted(run, key=unicodedata.combining)) for _, run in runs)
    return unicodedata.normalize("NFC", ordered)


@functools.cache
def _changing_clusters() -> re.Pattern[str]:
    """Return a pattern for each span of text that NFC may change independently of its neighbours.

    A span is a character with all following characters that may combine with it or be reordered, or a single
    character with another canonical form. Computed from `unicodedata` (about 20 ms, once, and only for text
    that is not in NFC), so it matches the Unicode version of the running Python.
    """
    combines, respelled = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3)), set()
    for code in (*_LETTERS, *_COMPATIBILITY_IDEOGRAPHS):
        character = chr(code)
        if unicodedata.combining(character):
            combines.add(code)
        decomposition = unicodedata.decomposition(character)
        if decomposition and not decomposition.startswith("<"):
            combines.update(int(part, 16) for part in decomposition.split()[1:])
            if not is_nfc(character):
                respelled.add(code)
    # A few (U+0F81) have no combining class but are spelled with marks only.
    combines |= {code for code in respelled if ord(unicodedata.normalize("NFD", chr(code))[0]) in combines}
    following, alone = _character_class(combines), _character_class(respelled)
    return re.compile(f"[^{following}]?[{following}]+|[{alone}]")


def _character_class(codes: set[int]) -> str:
    """Return the codes as the inside of a regular expression's ``[...]``."""
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
