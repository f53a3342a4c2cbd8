"""A sentencepiece Unigram vocabulary as the files that ``tokenizers`` and ``transformers`` load."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from munjang.checkpoints.e5.charsmap import build_charsmap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from munjang.checkpoints.e5.quantized import QuantizedVocabulary

__all__ = ["special_tokens", "tokenizer_config", "tokenizer_json"]

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
