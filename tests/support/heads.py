"""A tiny random model for each command, with the head that the command needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from munjang.tasks.loading import load
from munjang.tasks.markers import add_markers
from support.answers import make_answerer
from support.gpt2 import make_gpt2
from support.labelled import NER_LABELS, labelled_model
from support.tiny import tiny_cross_encoder, tiny_sentence_model
from support.wordpiece import bert_with_words

__all__ = ["MODEL_MAKERS"]


def _answerer(folder: Path) -> Path:
    make_answerer("bert", folder)
    return folder


def _words(folder: Path) -> Path:
    bert_with_words(folder, num_hidden_layers=4, num_attention_heads=8)
    return folder


def _relater(folder: Path) -> Path:
    loaded = load(labelled_model(folder), "sequence-classification")
    add_markers(loaded, "plain")
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def _classifier(folder: Path) -> Path:
    return labelled_model(folder, labels=("contradiction", "neutral", "entailment"))


# Commands that are not listed here accept any sentence model.
MODEL_MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "": lambda folder: tiny_sentence_model(folder / "model"),
    "rerank": lambda folder: tiny_cross_encoder(folder / "model"),
    "fill-mask": _words,
    "next-sentence": _words,
    "features": _words,
    "explain": _words,
    "classify": _classifier,
    "tag": lambda folder: labelled_model(folder, "BertForTokenClassification", NER_LABELS),
    "relate": _relater,
    "answer": _answerer,
    "generate": lambda folder: make_gpt2(folder).folder,
    "evaluate classification": lambda folder: labelled_model(folder, labels=("LABEL_0", "LABEL_1")),
    "evaluate entities": lambda folder: labelled_model(folder, "BertForTokenClassification", NER_LABELS),
    "evaluate relations": _relater,
    "evaluate reranking": lambda folder: tiny_cross_encoder(folder / "model"),
    "evaluate answers": _answerer,
    "evaluate language-model": _words,
    "train distill classification": lambda folder: labelled_model(folder, labels=("LABEL_0", "LABEL_1")),
    "train distill sentences": lambda folder: tiny_sentence_model(
        folder / "model", settings={"num_hidden_layers": 3}
    ),
    "train distill reranker": lambda folder: tiny_cross_encoder(folder / "model", layers=3),
    "train distill scores": lambda folder: tiny_cross_encoder(folder / "model", layers=3),
}
