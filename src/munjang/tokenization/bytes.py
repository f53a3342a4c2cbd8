"""The 256 letters that represent bytes in a byte-level vocabulary, as published with GPT-2."""

from __future__ import annotations


def _byte_of_letter() -> dict[str, int]:
    """Return letter -> byte: a printable byte is its own letter, the others are U+0100 and up, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF_LETTER = _byte_of_letter()
