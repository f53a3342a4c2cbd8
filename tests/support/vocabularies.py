"""Small models with vocabularies of several languages: Unigram, WordPiece and byte-level pair encoding."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from support.pieces import learn_wordpieces

__all__ = ["KOREAN", "MAKERS", "OTHER_LANGUAGES", "as_sentence_encoder"]

KOREAN = [
    "서울에서 부산까지 기차를 타고 갔다.",
    "영화는 정말 재미있었고 배우들도 좋았다 ㅋㅋ",
    "Seoul is the capital of the Republic of Korea!",
    "I love this movie, and you will love it too: 123,456 😀",
]
OTHER_LANGUAGES = [
    "Москва столица Российской Федерации и большой город",
    "東京は日本の首都です。とても大きい都市です。",
    "ภาษาไทยเป็นภาษาราชการของประเทศไทย",
    "η Αθήνα είναι η πρωτεύουσα της Ελλάδας",
]
_CORPUS = (KOREAN + OTHER_LANGUAGES) * 10
_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
    "initializer_range": 0.3,
}


def _save(folder: Path, backend: Any, names: dict[str, str], config: Any, class_name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 70, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    model = getattr(transformers, class_name)(config)
    with torch.no_grad():
        for parameter in model.parameters():  # biases start at 0, which would hide mistakes
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)


def _roberta_names() -> dict[str, str]:
    named = dict(zip(("cls", "pad", "sep", "unk", "mask"), _ROBERTA, strict=True))
    return {f"{name}_token": token for name, token in {**named, "bos": "<s>", "eos": "</s>"}.items()}


def unigram(folder: Path) -> None:
    """Save an XLM-RoBERTa; as in the published model, the mask comes last, and the model has spare rows."""
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=_ROBERTA[:4], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(_CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    backend.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, special=True)])
    config = transformers.XLMRobertaConfig(
        vocab_size=backend.get_vocab_size() + 7, pad_token_id=1, type_vocab_size=1, **_SIZES
    )
    _save(folder, backend, _roberta_names(), config, "XLMRobertaForMaskedLM")


def wordpiece(folder: Path) -> None:
    """Save a BERT with its special tokens first."""
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    learn_wordpieces(backend, _CORPUS, _BERT, 400)
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), _BERT, strict=True))
    config = transformers.BertConfig(vocab_size=backend.get_vocab_size(), **_SIZES)
    named = {f"{name}_token": token for name, token in names.items()}
    _save(folder, backend, named, config, "BertForPreTraining")


def byte_level(folder: Path) -> None:
    """Save a RoBERTa with byte-level BPE, whose special tokens are last, except the first two."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=_ROBERTA[:2],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_CORPUS, trainer)
    backend.add_special_tokens(_ROBERTA)
    start, end = backend.token_to_id("<s>"), backend.token_to_id("</s>")
    assert start is not None
    assert end is not None
    backend.post_processor = processors.RobertaProcessing(("</s>", end), ("<s>", start), True, False)
    config = transformers.RobertaConfig(
        vocab_size=backend.get_vocab_size(),
        pad_token_id=1,
        eos_token_id=end,
        type_vocab_size=1,
        **_SIZES,
    )
    _save(folder, backend, _roberta_names(), config, "RobertaForMaskedLM")


MAKERS: Mapping[str, Callable[[Path], None]] = {
    "unigram": unigram,
    "wordpiece": wordpiece,
    "byte-level": byte_level,
}


def as_sentence_encoder(folder: Path) -> None:
    """Write the files beside a model that make it a sentence encoder with mean pooling."""
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
