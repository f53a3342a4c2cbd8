"""Tiny random models with label heads and a tokenizer with some Korean and English words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, trainers

from support.peers import ARCHITECTURES

__all__ = ["MAX_LENGTH", "NER_LABELS", "TEXTS", "labelled_model", "peer_pipeline"]

MAX_LENGTH = 40
NER_LABELS = ("O", "B-PS", "I-PS", "B-LC", "I-LC")
TEXTS = [
    "이순신은 한성에서 태어났다.",
    "The cat sat on the mat, in Seoul!",
    "세종대왕은 훈민정음을 만들었다",
    "(서울)의 고양이는 정말 귀엽다: 그렇지?",
    "Seoul  is   lovely",
]
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = ("the", "cat", "Seoul", "이순신", "세종", "서울", "한성", "고양이", "정말", "This", "example")
_ENDINGS = ("ing", "은", "는", "에서", "대왕", "을", "다")
_LETTERS = sorted({*"".join(TEXTS), *map(chr, range(33, 127))} - {" "})


def labelled_model(
    folder: Path,
    class_name: str = "BertForSequenceClassification",
    labels: Sequence[str] = ("bad", "good", "so-so"),
    *,
    problem_type: str | None = None,
    longest: int = MAX_LENGTH,
    seed: int = 0,
) -> Path:
    """Save a random model of a class of `transformers` with these labels, and its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture = class_name.partition("For")[0].lower()
    vocab_size = _write_bpe(folder) if architecture == "roberta" else _write_wordpiece(folder)
    _write_settings(folder, architecture, longest)
    config_class, defaults, _, _ = ARCHITECTURES[architecture]
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    given: Mapping[str, Any] = {**defaults, "vocab_size": vocab_size, **names}
    given = {**given, "max_position_embeddings": longest + 2}  # RoBERTa's positions start at 2
    config = getattr(transformers, config_class)(**given, problem_type=problem_type)
    torch.manual_seed(seed)
    model = getattr(transformers, class_name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return folder


def peer_pipeline(task: str, folder: Path, **settings: Any) -> Any:
    """Return the reference's pipeline for a saved model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.pipeline(task, model=str(folder), tokenizer=tokenizer, device="cpu", **settings)


def _write_wordpiece(folder: Path) -> int:
    pieces = [*_SPECIAL, *_WORDS, *_LETTERS, *(f"##{piece}" for piece in (*_ENDINGS, *_LETTERS))]
    pieces = list(dict.fromkeys(pieces))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return len(pieces)


def _write_bpe(folder: Path) -> int:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS * 5, trainer)
    backend.model.save(str(folder))
    return int(backend.get_vocab_size())


def _write_settings(folder: Path, architecture: str, longest: int) -> None:
    names = {"bert": "Bert", "electra": "Electra", "distilbert": "DistilBert", "roberta": "Roberta"}
    settings: dict[str, Any] = {"tokenizer_class": f"{names[architecture]}Tokenizer"}
    if architecture != "roberta":
        settings["do_lower_case"] = False
    content = json.dumps({"model_max_length": longest, **settings})
    (folder / "tokenizer_config.json").write_text(content, encoding="utf-8")
