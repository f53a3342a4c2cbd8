"""A small Korean and English vocabulary, and random checkpoints of every architecture that fills masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

__all__ = ["SPECIAL", "VOCABULARY", "bert_with_words", "model_with_words", "roberta_with_bytes"]

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = [
    "축구",
    "는",
    "정말",
    "재미",
    "재미있는",
    "다",
    ".",
    "스포츠",
    "거",
    "경기",
    "회사",
    "공장",
    "나",
    "오늘",
]
_WORDS += [
    "아침",
    "에",
    "출근",
    "을",
    "했다",
    "스",
    "한국",
    "soccer",
    "is",
    "a",
    "really",
    "fun",
    "sport",
    "game",
]
_WORDS += [
    "i",
    "love",
    "paris",
    "the",
    "sky",
    "blue",
    "?",
    ",",
    "!",
    "사무실",
    "서울",
    "를",
    "보았다",
    "극장",
]
_ENDINGS = ["는", "다", "포츠", "에", "을", "있는", "스", "했다", "사람", "s", "ing", "ed", "카"]
VOCABULARY = [*SPECIAL, "[unused0]", "[unused1]", *_WORDS, *(f"##{ending}" for ending in _ENDINGS)]

_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
_DISTILBERT = {
    "dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}


def _random(config: Any, class_name: str, folder: Path, seed: int) -> Any:
    torch.manual_seed(seed)
    model = getattr(transformers, class_name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms start as 0 and 1, which would hide mistakes
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return model


def model_with_words(
    folder: Path,
    class_name: str = "BertForPreTraining",
    *,
    vocabulary: Sequence[str] = VOCABULARY,
    rows: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> Any:
    """Save a random model with this vocabulary as ``vocab.txt``; return the reference model.

    ``class_name`` is one of transformers, such as ``ElectraForMaskedLM``; ``rows`` is the size of the model's
    own vocabulary, if that is larger.
    """
    family = next(name for name in ("DistilBert", "Electra", "Bert") if class_name.startswith(name))
    sizes: dict[str, Any] = dict(_DISTILBERT if family == "DistilBert" else _SIZES)
    if family == "Electra":
        sizes["embedding_size"] = 16
    config = getattr(transformers, f"{family}Config")(
        vocab_size=rows or len(vocabulary), **{**sizes, **settings}
    )
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    limits = {"do_lower_case": True, "model_max_length": config.max_position_embeddings}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**limits, "tokenizer_class": f"{family}Tokenizer", "strip_accents": False})
    )
    return _random(config, class_name, folder, seed)


def bert_with_words(folder: Path, **settings: Any) -> Any:
    """Save a random BERT with the masked-LM and the next-sentence head."""
    return model_with_words(folder, **settings)


_CORPUS = [
    "I like tea and I like coffee. The tea is good, the coffee is better!",
    "축구는 정말 재미있는 경기다. 서울은 한국의 수도다.",
] * 20


def roberta_with_bytes(folder: Path) -> Any:
    """Save a random RoBERTa with a small byte-level vocabulary; return the reference model."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_CORPUS, trainer)
    backend.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, special=True)])
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "RobertaTokenizer", "model_max_length": 38})
    )
    config = transformers.RobertaConfig(
        vocab_size=backend.get_vocab_size(), pad_token_id=1, type_vocab_size=1, **_SIZES
    )
    return _random(config, "RobertaForMaskedLM", folder, 3)
