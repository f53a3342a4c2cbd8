"""Continued pre-training of all masked-LM architectures: the weights are kept, and the loss falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import munjang
from munjang import Tokenizer
from munjang.checkpoints.weights import open_safetensors
from munjang.errors import InputError
from munjang.training.options import PretrainingTask
from munjang.training.pretraining.train import train_masked_language_model
from munjang.training.vocabulary.add import add_domain_tokens
from support.pretraining import OPTIONS, losses, write_documents
from support.vocabularies import byte_level, unigram, wordpiece
from support.wordpiece import model_with_words


def _with_words(class_name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        folder.mkdir()
        model_with_words(folder, class_name)

    return make


FAMILIES: Mapping[str, Callable[[Path], None]] = {
    "bert": wordpiece,
    "xlm-roberta": unigram,
    "roberta": byte_level,
    "distilbert": _with_words("DistilBertForMaskedLM"),
    "electra-generator": _with_words("ElectraForMaskedLM"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_published_model_adapts_to_a_domain(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path / "model")
    file = write_documents(tmp_path / "a.txt")
    still = replace(OPTIONS, learning_rate=1e-12, max_steps=1)
    for name, options in {"still": still, "moved": replace(OPTIONS, epochs=4, learning_rate=2e-3)}.items():
        train_masked_language_model(
            file,
            model=tmp_path / "model",
            output=tmp_path / name,
            held_out=file,
            task=PretrainingTask(corpus_folder=tmp_path / "corpus", whole_words=True, max_length=24),
            options=options,
        )
    tokenizer = Tokenizer.from_pretrained(tmp_path / "model")
    ids = torch.tensor([tokenizer.encode(f"정말 {tokenizer.mask_token} 축구 기차 I love")])
    logits = {}
    for name in ("model", "still", "moved"):
        peer, about = transformers.AutoModelForMaskedLM.from_pretrained(
            tmp_path / name, output_loading_info=True
        )
        assert not about["missing_keys"]
        with torch.no_grad():
            logits[name] = peer.eval()(input_ids=ids).logits.numpy()
        ours = munjang.Model.from_pretrained(tmp_path / name, head="masked-lm")(ids.numpy()).logits
        assert ours is not None
        np.testing.assert_allclose(ours, logits[name], atol=5e-5)
    np.testing.assert_allclose(logits["still"], logits["model"], atol=1e-5)
    assert np.abs(logits["moved"] - logits["model"]).max() > 0.1
    seen = losses(tmp_path / "moved")
    assert np.mean(seen[-4:]) < 0.9 * np.mean(seen[:4])


def test_the_embeddings_of_added_tokens_alone(tmp_path: Path) -> None:
    FAMILIES["bert"](tmp_path / "model")
    file = write_documents(tmp_path / "a.txt")
    words = ["축구", "기차"]
    added = add_domain_tokens(tmp_path / "model", words, tmp_path / "more")
    rows = sorted(added.tokens.values())
    assert rows
    train_masked_language_model(
        file,
        model=tmp_path / "more",
        output=tmp_path / "run",
        task=PretrainingTask(added_tokens_only=True, probability=0.5),
        options=replace(OPTIONS, epochs=3, learning_rate=1e-2, weight_decay=0.1),
    )
    before = open_safetensors(tmp_path / "more" / "model.safetensors")
    after = open_safetensors(tmp_path / "run" / "model.safetensors")
    table = next(name for name in after if name.endswith("word_embeddings.weight"))
    assert all(np.array_equal(after[name], before[name]) for name in after if name != table)
    changed = np.flatnonzero((after[table] != before[table]).any(axis=1))
    assert changed.tolist() == rows


def test_options_that_leave_nothing_to_train_or_are_too_long(tmp_path: Path) -> None:
    FAMILIES["bert"](tmp_path / "model")
    file = write_documents(tmp_path / "a.txt")
    add_domain_tokens(tmp_path / "model", ["축구"], tmp_path / "more")
    frozen = replace(OPTIONS, freeze_embeddings=True)
    added = PretrainingTask(added_tokens_only=True)
    with pytest.raises(InputError, match="Nothing is left to train: the embeddings of the added tokens"):
        train_masked_language_model(
            file, model=tmp_path / "more", output=tmp_path / "run", task=added, options=frozen
        )
    with pytest.raises(InputError, match=r"max_length=9000, but the model takes .* tokens at most"):
        train_masked_language_model(
            file, model=tmp_path / "model", output=tmp_path / "run", task=PretrainingTask(max_length=9000)
        )


def test_a_vocabulary_to_which_nothing_was_added(tmp_path: Path) -> None:
    FAMILIES["bert"](tmp_path / "model")
    file = write_documents(tmp_path / "a.txt")
    with pytest.raises(InputError, match="No token was added"):
        train_masked_language_model(
            file,
            model=tmp_path / "model",
            output=tmp_path / "run",
            task=PretrainingTask(added_tokens_only=True),
        )
    with pytest.raises(InputError, match="by masked words alone"):
        train_masked_language_model(
            file,
            model=tmp_path / "model",
            output=tmp_path / "run",
            task=PretrainingTask(added_tokens_only=True, next_sentences=True),
        )
