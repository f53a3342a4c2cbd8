"""Checkpoints of published sizes with random weights: as fast as trained ones, and available anywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["bert_base", "cross_encoder", "gpt2_small"]

# Hidden size, layers, heads, intermediate size of the published models.
CROSS_ENCODERS = {
    "ms-marco-TinyBERT-L2": (128, 2, 2, 512),
    "ms-marco-MiniLM-L6": (384, 6, 12, 1536),
}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def bert_base(folder: Path, words: Path) -> Path:
    """Make a masked language model of bert-base's size, with the vocabulary in the folder ``words``."""
    from transformers import BertConfig, BertForMaskedLM

    return _saved(folder, words, BertForMaskedLM, BertConfig(vocab_size=30522))


def cross_encoder(folder: Path, words: Path, name: str) -> Path:
    """Make a classifier with one output of the size of a published cross-encoder."""
    from transformers import BertConfig, BertForSequenceClassification

    hidden, layers, heads, intermediate = CROSS_ENCODERS[name]
    config = BertConfig(
        vocab_size=30522,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        num_labels=1,
    )
    return _saved(folder, words, BertForSequenceClassification, config)


def gpt2_small(folder: Path, texts: Iterable[str]) -> Path:
    """Make a GPT-2 of the small size; its byte-level tokenizer learns its merges from the texts.

    No end token: every text has the length that is asked for.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

    folder.mkdir()
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(texts, vocab_size=8000, special_tokens=["<|endoftext|>"], show_progress=False)
    learned.save_model(str(folder))
    GPT2TokenizerFast(
        vocab_file=str(folder / "vocab.json"), merges_file=str(folder / "merges.txt")
    ).save_pretrained(folder)
    model = _seeded(GPT2LMHeadModel, GPT2Config(eos_token_id=None, bos_token_id=None))
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    return folder


def _saved(folder: Path, words: Path, kind: Any, config: Any) -> Path:
    folder.mkdir()
    for name in _present(words, _TOKENIZER_FILES):
        shutil.copy(words / name, folder / name)
    _seeded(kind, config).save_pretrained(folder)
    return folder


def _present(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if (folder / name).is_file()]


def _seeded(kind: Any, config: Any) -> Any:
    import torch

    torch.manual_seed(1)
    return kind(config).eval()
