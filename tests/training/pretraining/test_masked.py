"""Masked words against the reference: the same loss and gradients for the same hidden tokens.

What can be wrong: the vocabulary (another than the corpus's or the model's), the texts (nothing to hide), the
lengths.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import munjang
from munjang import Tokenizer
from munjang.errors import InputError
from munjang.training.loop.loop import train
from munjang.training.options import PretrainingTask, VocabularyTask
from munjang.training.pretraining.corpus import TokenCorpus
from munjang.training.pretraining.masked import MaskedLanguageObjective
from munjang.training.pretraining.masking import Hider, Packed
from munjang.training.pretraining.train import new_config
from support.pretraining import (
    OPTIONS,
    SIZES,
    assert_same_gradients,
    labels_of,
    logits_here,
    losses,
    make_tokenizer,
    padded,
    roughen,
    saved,
    start_of,
    write_documents,
)

CLASSES = {"bert": "BertForMaskedLM", "roberta": "RobertaForMaskedLM", "electra": "ElectraForMaskedLM"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def corpus(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> TokenCorpus:
    folder = tmp_path_factory.mktemp("texts")
    return TokenCorpus.build(write_documents(folder / "a.txt"), tokenizer, folder / "corpus")


def objective(tokenizer: Tokenizer, corpus: TokenCorpus, **settings: Any) -> MaskedLanguageObjective:
    raw = new_config(
        tokenizer,
        model_type=settings.pop("model_type", "bert"),
        dropout=settings.pop("dropout", 0.0),
        **SIZES,
    )
    held_out = settings.pop("held_out", None)
    return MaskedLanguageObjective(
        start_of(raw, tokenizer), corpus, held_out, PretrainingTask(**settings), OPTIONS
    )


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("model_type", CLASSES)
def test_the_loss_and_gradients_equal_the_reference(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path, model_type: str, whole_words: bool
) -> None:
    made = objective(tokenizer, corpus, model_type=model_type, whole_words=whole_words)
    roughen(made)
    peer = saved(made, tmp_path / "model", CLASSES[model_type])
    examples = [made.examples[i] for i in range(20)]
    tally = made.accumulate(examples, np.random.default_rng(4))
    packed = Packed.of(examples)
    masked = Hider(tokenizer, whole_words=whole_words)(packed, np.random.default_rng(4))
    wanted = peer(**padded(packed, masked.input_ids), labels=labels_of(packed, masked)).loss
    wanted.backward()
    assert tally.count == len(masked.positions)
    assert tally.total / tally.count == pytest.approx(wanted.item(), rel=1e-5)
    gradients = {name: p.grad for name, p in peer.named_parameters() if p.grad is not None}
    assert len(gradients) > 30
    assert_same_gradients(made.network.trained, tally.count, gradients)


def test_different_tokens_are_masked_each_time(tokenizer: Tokenizer, corpus: TokenCorpus) -> None:
    made = objective(tokenizer, corpus)
    examples = [made.examples[i] for i in range(20)]
    totals = [made.loss(examples, np.random.default_rng(seed)).total.item() for seed in (1, 2, 1)]
    assert totals[0] == totals[2] != totals[1]


def test_evaluation_equals_the_reference_and_is_reproducible(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path
) -> None:
    made = objective(tokenizer, corpus, held_out=corpus, dropout=0.3)
    roughen(made)
    peer = saved(made, tmp_path / "model", "BertForMaskedLM").eval()
    found = made.evaluate()
    assert made.evaluate() == found
    packed = Packed.of(list(made.examples))
    masked = Hider(tokenizer)(packed, np.random.default_rng([0, 0]))
    labels = labels_of(packed, masked)
    with torch.no_grad():
        wanted = peer(**padded(packed, masked.input_ids), labels=labels)
    assert found["loss"] == pytest.approx(wanted.loss.item(), rel=1e-5)
    right = (wanted.logits.argmax(-1) == labels)[labels >= 0].float().mean().item()
    assert found["accuracy"] == pytest.approx(right)


@pytest.mark.parametrize("model_type", CLASSES)
def test_all_libraries_load_the_trained_model(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path, model_type: str
) -> None:
    made = objective(tokenizer, corpus, model_type=model_type, held_out=corpus, dropout=0.1)
    before = made.evaluate()["loss"]
    result = train(made, tmp_path / "run", OPTIONS)
    seen = losses(tmp_path / "run")
    assert np.mean(seen[-5:]) < 0.7 * np.mean(seen[:5])
    assert result.metrics["loss"] < 0.7 * before
    given = padded(Packed.of([made.examples[i] for i in range(6)]))
    peer = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "run").eval()
    with torch.no_grad():
        wanted = peer(**given).logits.numpy()
    ours = logits_here(tmp_path / "run", "masked-lm", given)
    seen_tokens = given["attention_mask"].numpy() == 1
    np.testing.assert_allclose(ours[seen_tokens], wanted[seen_tokens], atol=2e-5)
    filled = munjang.pipeline("fill-mask", tmp_path / "run")("서울에서 기차를 [MASK].")
    assert 0 < filled[0]["score"] <= 1
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "run")
    assert theirs("서울에서")["input_ids"] == tokenizer.encode("서울에서")


def test_long_texts_are_cut_into_parts(tokenizer: Tokenizer, corpus: TokenCorpus) -> None:
    made = objective(tokenizer, corpus, max_length=6)
    assert int(made.costs().max()) == 6
    inner = np.concatenate([made.examples[i][1:-1] for i in range(len(made.examples))])
    np.testing.assert_array_equal(inner, corpus.tokens)
    with pytest.raises(InputError, match="max_length=2 leaves no room"):
        objective(tokenizer, corpus, max_length=2)


def test_a_corpus_of_another_vocabulary_is_refused(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path
) -> None:
    from munjang.training.vocabulary.train import train_wordpiece

    other = train_wordpiece(
        None, tmp_path / "other", texts=["기차를 타고 영화를"], task=VocabularyTask(vocab_size=60)
    )
    with pytest.raises(InputError, match="another vocabulary"):
        objective(other, corpus)
    strange = TokenCorpus.build(write_documents(tmp_path / "b.txt"), other, tmp_path / "strange")
    with pytest.raises(InputError, match="another vocabulary"):
        objective(tokenizer, corpus, held_out=strange)
    raw = {**new_config(tokenizer, **SIZES), "vocab_size": len(tokenizer) - 1}
    with pytest.raises(InputError, match=r"tokens, the model rows for"):
        MaskedLanguageObjective(start_of(raw, tokenizer), corpus, None, PretrainingTask(), OPTIONS)
    # The same vocabulary, opened again, is no other one.
    assert len(objective(Tokenizer.from_pretrained(tokenizer.name_or_path), corpus).examples)


def test_a_run_is_identified_by_texts_and_weights(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path
) -> None:
    said = objective(tokenizer, corpus, held_out=corpus).describe()
    assert said["corpus"] == said["held-out corpus"] == corpus.fingerprint
    assert said != objective(tokenizer, corpus, held_out=corpus, dropout=0.2).describe()
    raw = new_config(tokenizer, **SIZES)
    seeds = [
        MaskedLanguageObjective(
            start_of(raw, tokenizer), corpus, None, PretrainingTask(), replace(OPTIONS, seed=seed)
        ).describe()
        for seed in (1, 2)
    ]
    assert seeds[0]["model checksum"] != seeds[1]["model checksum"]


def test_texts_without_maskable_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A text of unknown tokens adds no loss; a corpus of such texts is refused."""
    lines = ["漢字只有"] * 8
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    unknown = TokenCorpus.build(tmp_path / "a.txt", tokenizer, tmp_path / "corpus")
    assert set(unknown.tokens.tolist()) == {tokenizer.unk_token_id}
    with pytest.raises(InputError, match="no token for any word of the texts"):
        objective(tokenizer, unknown)
    (tmp_path / "b.txt").write_text("\n".join([*lines, "기차를 탔다."]), encoding="utf-8")
    known = TokenCorpus.build(tmp_path / "b.txt", tokenizer, tmp_path / "more")
    made = objective(tokenizer, known)
    tally = made.accumulate([made.examples[0]], np.random.default_rng(0))
    assert (tally.total, tally.count) == (0.0, 0)
    with pytest.raises(InputError, match="no token for any word of the texts"):
        objective(tokenizer, known, held_out=unknown)


def test_a_head_with_a_separate_matrix_is_refused(tokenizer: Tokenizer, corpus: TokenCorpus) -> None:
    made = objective(tokenizer, corpus)
    shared = made.model.weights["bert.embeddings.word_embeddings.weight"]
    weights = {**made.model.weights, "cls.predictions.decoder.weight": shared + 1}
    raw = {**made.model.raw_config, "tie_word_embeddings": False}
    with pytest.raises(InputError, match=r"a separate matrix \('cls.predictions.decoder.weight'\)"):
        MaskedLanguageObjective(start_of(raw, tokenizer, weights), corpus, None, PretrainingTask(), OPTIONS)
    # A copy that is not used is no harm.
    start = start_of(made.model.raw_config, tokenizer, weights)
    again = MaskedLanguageObjective(start, corpus, None, PretrainingTask(), OPTIONS)
    assert again.describe()["model checksum"] == made.describe()["model checksum"]
