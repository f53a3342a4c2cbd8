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
    """Name the special tokens by their roles, as ``special_tokens_map.json`` does."""
    roles = {"bos": vocabulary.bos, "cls": vocabulary.bos, "eos": vocabulary.eos, "sep": vocabulary.eos}
    roles |= {"pad": vocabulary.pad, "unk": vocabulary.unk}
    tokens = {f"{role}_token": vocabulary.pieces[index] for role, index in roles.items()}
    return tokens | ({"mask_token": _MASK} if _MASK in vocabulary.pieces else {})


def tokenizer_config(vocabulary: QuantizedVocabulary, max_length: int) -> dict[str, object]:
    """Make ``tokenizer_config.json``."""
    return {
        **special_tokens(vocabulary),
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_length,
        # The plain class: the one named after XLM-RoBERTa builds a normaliser of its own.
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def tokenizer_json(vocabulary: QuantizedVocabulary) -> dict[str, object]:
    """Make ``tokenizer.json``: a Unigram model that splits text as XLM-RoBERTa's sentencepiece model does."""
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
    """NFC, then what the table deletes, then what it replaces.

    The table knows single characters only, so decomposed Hangul is composed before it. Deletions are a step
    of their own because the precompiled map loses count of offsets when it deletes a text's first character.
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
            # As in the published tokenizer: the mask takes the space before it.
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
