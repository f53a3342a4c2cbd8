"""A character replacement table as the binary map that tokenizer.json calls ``Precompiled``.

SentencePiece stores such a table as a double-array trie over UTF-8 bytes (the layout of the darts-clone
library) whose leaves point into a pool of replacement strings, each terminated by a NUL byte. A trie node at
index ``p`` holds an offset; its child for byte ``c`` is at ``p ^ offset ^ c`` and exists only if it has the
label ``c``. The value of a key that ends at a node is at ``p ^ offset``.
"""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["build_charsmap"]

_LEAF = 1 << 8
_VALUE = 1 << 31
_BLOCK = 256  # a child's index differs from its base in one byte, so a lookup stays in a block of 256

# A node of the byte trie before layout: children by byte, and the replacement's offset as child 0.
_Node = dict[int, "_Node | int"]


def build_charsmap(table: Mapping[str, str]) -> bytes:
    """Build the map that replaces each key of ``table`` by its value.

    Keys and values must not be empty or contain NUL. The result is a precompiled charsmap of SentencePiece:
    four bytes with the trie's size, the trie, the replacements.
    """
    replacements = bytearray()
    root: _Node = {}
    for key, value in sorted(table.items()):
        _insert(root, key.encode(), len(replacements))
        replacements += value.encode() + b"\0"
    units = _lay_out(root)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + bytes(replacements)


def _insert(root: _Node, key: bytes, value: int) -> None:
    node = root
    for byte in key:
        child = node.setdefault(byte, {})
        assert isinstance(child, dict)
        node = child
    node[0] = value


def _lay_out(root: _Node) -> list[int]:
    """Assign a unique array index to every node."""
    units = _Units()
    waiting: list[tuple[int, _Node]] = [(0, root)]
    while waiting:
        place, node = waiting.pop()
        base = units.claim(list(node))
        units.values[place] |= (place ^ base) << 10 | (_LEAF if 0 in node else 0)
        for label, child in node.items():
            if isinstance(child, dict):
                units.values[base ^ label] = label
                waiting.append((base ^ label, child))
            else:
                units.values[base] = child | _VALUE
    return units.values


class _Units:
    """The growing array, and which of its indices and bases are in use."""

    def __init__(self) -> None:
        self.values = [0] * _BLOCK
        self._used = bytearray(_BLOCK)
        self._used[0] = 1  # the root
        self._bases = {0}
        self._first_free = 1

    def claim(self, labels: list[int]) -> int:
        """Return a base whose indices for ``labels`` are all free, and mark them as used."""
        base = next(base for base in self._candidates(labels[0]) if self._fits(base, labels))
        self._bases.add(base)
        for label in labels:
            self._used[base ^ label] = 1
        return base

    def _candidates(self, label: int) -> Iterator[int]:
        """Yield the bases for which the index of ``label`` is free, lowest index first."""
        while self._taken(self._first_free):
            self._first_free += 1
        for place in itertools.count(self._first_free):
            if not self._taken(place):
                yield place ^ label

    def _fits(self, base: int, labels: list[int]) -> bool:
        # Two nodes with the same base would share their children.
        return base not in self._bases and not any(self._taken(base ^ label) for label in labels)

    def _taken(self, place: int) -> bool:
        while place >= len(self.values):
            self.values.extend([0] * _BLOCK)
            self._used.extend(bytes(_BLOCK))
        return bool(self._used[place])
