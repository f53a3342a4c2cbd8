"""A sentencepiece Unigram vocabulary as the files that ``tokenizers`` and ``transformers`` load."""

from __future__ import annotations

import base64
import itertools
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from munjang.checkpoints.e5.quantized import QuantizedVocabulary

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
        index, node = waiting.pop()
        base = units.claim(list(node))
        units.values[index] |= (index ^ base) << 10 | (_LEAF if 0 in node else 0)
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
        for index in itertools.count(self._first_free):
            if not self._taken(index):
                yield index ^ label

    def _fits(self, base: int, labels: list[int]) -> bool:
        # Two nodes with the same base would share their children.
        return base not in self._bases and not any(self._taken(base ^ label) for label in labels)

    def _taken(self, index: int) -> bool:
        while index >= len(self.values):
            self.values.extend([0] * _BLOCK)
            self._used.extend(bytes(_BLOCK))
        return bool(self._used[index])


_MASK = "<mask>"
_SPACE = "▁"


def special_tokens(vocabulary: QuantizedVocabulary) -> dict[str, str]:
    """Return the special tokens by role, as in ``special_tokens_map.json``."""
    roles = {"bos": vocabulary.bos, "cls": vocabulary.bos, "eos": vocabulary.eos, "sep": vocabulary.eos}
    roles |= {"pad": vocabulary.pad, "unk": vocabulary.unk}
    tokens = {f"{role}_token": vocabulary.pieces[index] for role, index in roles.items()}
    return tokens | ({"mask_token": _MASK} if _MASK in vocabulary.pieces else {})


def tokenizer_config(vocabulary: QuantizedVocabulary, max_length: int) -> dict[str, object]:
    """Return the content of ``tokenizer_config.json``."""
    return {
        **special_tokens(vocabulary),
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_length,
        # The generic class: XLM-RoBERTa's class builds a different normaliser.
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def tokenizer_json(vocabulary: QuantizedVocabulary) -> dict[str, object]:
    """Return the content of ``tokenizer.json``: a Unigram model that splits text like XLM-RoBERTa's."""
    metaspace = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(vocabulary),
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(vocabulary.normalization)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": _post_processor(vocabulary),
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": vocabulary.unk,
            "vocab": [[p, s] for p, s in zip(vocabulary.pieces, vocabulary.scores, strict=True)],
            "byte_fallback": False,
        },
    }


def _normalizers(table: Mapping[str, str]) -> list[dict[str, object]]:
    """Return the normalisers: NFC, then the table's deletions, then its replacements.

    The table has only single characters, so decomposed Hangul is composed first. Deletions are a separate
    step because the precompiled map produces wrong offsets when it deletes a text's first character.
    """
    steps: list[dict[str, object]] = [{"type": "NFC"}]
    deleted = [character for character, result in table.items() if not result]
    if deleted:
        pattern = "[" + "".join(f"\\x{{{ord(character):04x}}}" for character in deleted) + "]"
        steps.append({"type": "Replace", "pattern": {"Regex": pattern}, "content": ""})
    replaced = {character: result for character, result in table.items() if result}
    if replaced:
        charsmap = base64.b64encode(build_charsmap(replaced)).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    return steps


def _added_tokens(vocabulary: QuantizedVocabulary) -> list[dict[str, object]]:
    ids = {vocabulary.pieces.index(token) for token in special_tokens(vocabulary).values()}
    return [
        {
            "id": index,
            "content": vocabulary.pieces[index],
            "single_word": False,
            # As in the published tokenizer: the mask token includes the space before it (lstrip).
            "lstrip": vocabulary.pieces[index] == _MASK,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index in sorted(ids)
    ]


def _post_processor(vocabulary: QuantizedVocabulary) -> dict[str, object]:
    bos, eos = vocabulary.pieces[vocabulary.bos], vocabulary.pieces[vocabulary.eos]

    def special(token: str) -> dict[str, object]:
        return {"SpecialToken": {"id": token, "type_id": 0}}

    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    ids = {bos: vocabulary.bos, eos: vocabulary.eos}
    return {
        "type": "TemplateProcessing",
        "single": [special(bos), first, special(eos)],
        "pair": [special(bos), first, special(eos), special(eos), second, special(eos)],
        "special_tokens": {
            token: {"id": token, "ids": [index], "tokens": [token]} for token, index in ids.items()
        },
    }
