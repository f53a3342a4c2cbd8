"""Masked words and next sentences in one pass, against `BertForPreTraining`.

What can be wrong: the model (no BERT), the corpus (no documents, one document, no sentences).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import munjang
from munjang import Tokenizer
from munjang.errors import InputError
from munjang.training.loop.loop import train
from munjang.training.options import PretrainingTask
from munjang.training.pretraining.corpus import TokenCorpus
from munjang.training.pretraining.masking import Hider, Packed
from munjang.training.pretraining.next_sentence import NextSentenceObjective
from munjang.training.pretraining.sentence_pairs import SentencePair, SentencePairs
from munjang.training.pretraining.train import new_config
from support.pretraining import (
    DOCUMENTS,
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


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def corpus(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> TokenCorpus:
    folder = tmp_path_factory.mktemp("texts")
    return TokenCorpus.build(write_documents(folder / "a.txt"), tokenizer, folder / "corpus", sentences=True)


def objective(tokenizer: Tokenizer, corpus: TokenCorpus, **settings: Any) -> NextSentenceObjective:
    raw = new_config(
        tokenizer,
        model_type=settings.pop("model_type", "bert"),
        dropout=settings.pop("dropout", 0.0),
        **SIZES,
    )
    held_out = settings.pop("held_out", None)
    return NextSentenceObjective(
        start_of(raw, tokenizer), corpus, held_out, PretrainingTask(**settings), OPTIONS
    )


def drawn(
    corpus: TokenCorpus, tokenizer: Tokenizer, numbers: range, rng: np.random.Generator
) -> list[SentencePair]:
    """The first pairs that the objective samples."""
    pairs = SentencePairs(corpus, tokenizer, max_length=SIZES["max_length"], seed=OPTIONS.seed)
    draw = int(rng.integers(2**32))
    return [pairs.pair(draw, i) for i in numbers]


def packed_of(pairs: list[SentencePair]) -> Packed:
    return Packed.of([pair.input_ids for pair in pairs], [pair.token_type_ids for pair in pairs])


@pytest.mark.parametrize("whole_words", [False, True])
def test_the_loss_and_gradients_equal_the_reference(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path, whole_words: bool
) -> None:
    made = objective(tokenizer, corpus, whole_words=whole_words)
    roughen(made)
    peer = saved(made, tmp_path / "model", "BertForPreTraining")
    numbers = range(30)
    tally = made.accumulate(numbers, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    pairs = drawn(corpus, tokenizer, numbers, rng)
    packed = packed_of(pairs)
    masked = Hider(tokenizer, whole_words=whole_words)(packed, rng)
    kinds = torch.tensor([pair.label for pair in pairs])
    assert 5 < int(kinds.sum()) < 25
    wanted = peer(
        **padded(packed, masked.input_ids), labels=labels_of(packed, masked), next_sentence_label=kinds
    ).loss
    wanted.backward()
    assert tally.count == len(pairs)
    assert tally.total / tally.count == pytest.approx(wanted.item(), rel=1e-5)
    gradients = {name: p.grad for name, p in peer.named_parameters() if p.grad is not None}
    assert {"bert.pooler.dense.weight", "cls.seq_relationship.bias", "cls.predictions.bias"} <= set(gradients)
    assert_same_gradients(made.network.trained, tally.count, gradients)


def test_pairs_differ_between_epochs(tokenizer: Tokenizer, corpus: TokenCorpus) -> None:
    made = objective(tokenizer, corpus)
    totals = [made.loss(range(20), np.random.default_rng(seed)).total.item() for seed in (1, 2, 1)]
    assert totals[0] == totals[2] != totals[1]


def test_new_heads_have_different_initial_weights(tokenizer: Tokenizer, corpus: TokenCorpus) -> None:
    weights = objective(tokenizer, corpus).model.weights
    matrices = [weights["bert.pooler.dense.weight"], weights["cls.predictions.transform.dense.weight"]]
    assert matrices[0].shape == matrices[1].shape
    assert abs(np.corrcoef(matrices[0].ravel(), matrices[1].ravel())[0, 1]) < 0.2


def test_all_libraries_load_the_trained_model(
    tokenizer: Tokenizer, corpus: TokenCorpus, tmp_path: Path
) -> None:
    made = objective(tokenizer, corpus, held_out=corpus, dropout=0.1)
    before = made.evaluate()
    assert made.evaluate() == before
    result = train(made, tmp_path / "run", OPTIONS)
    seen = losses(tmp_path / "run")
    assert np.mean(seen[-5:]) < 0.75 * np.mean(seen[:5])
    assert result.metrics["masked_loss"] < 0.7 * before["masked_loss"]
    assert result.metrics["loss"] == result.metrics["masked_loss"] + result.metrics["next_sentence_loss"]
    assert all(0 <= result.metrics[name] <= 1 for name in ("masked_accuracy", "next_sentence_accuracy"))
    # What was measured is what the reference measures.
    peer = saved(made, tmp_path / "again", "BertForPreTraining").eval()
    pairs = SentencePairs(corpus, tokenizer, max_length=SIZES["max_length"])
    packed = packed_of([pairs.pair(0, i) for i in range(len(pairs))])
    masked = Hider(tokenizer)(packed, np.random.default_rng([0, 0]))
    given = padded(packed, masked.input_ids)
    kinds = torch.tensor([pairs.pair(0, i).label for i in range(len(pairs))])
    with torch.no_grad():
        wanted = peer(**given, labels=labels_of(packed, masked), next_sentence_label=kinds)
    assert result.metrics["loss"] == pytest.approx(wanted.loss.item(), rel=1e-4)
    right = (wanted.seq_relationship_logits.argmax(-1) == kinds).float().mean().item()
    assert result.metrics["next_sentence_accuracy"] == pytest.approx(right)
    here = given["attention_mask"].numpy() == 1
    np.testing.assert_allclose(
        logits_here(tmp_path / "run", "masked-lm", given)[here],
        wanted.prediction_logits.numpy()[here],
        atol=5e-5,
    )
    np.testing.assert_allclose(
        logits_here(tmp_path / "run", "next-sentence-prediction", given),
        wanted.seq_relationship_logits.numpy(),
        atol=5e-5,
    )
    assert munjang.pipeline("fill-mask", tmp_path / "run")("서울에서 기차를 [MASK].")
    first, second = DOCUMENTS[0][:2]
    follows = munjang.pipeline("next-sentence-prediction", tmp_path / "run")(first, second)
    assert follows["follows"] + follows["unrelated"] == pytest.approx(1)


def test_a_corpus_without_documents_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "a.txt")
    plain = TokenCorpus.build(file, tokenizer, tmp_path / "plain")
    with pytest.raises(InputError, match="build it with sentences=True"):
        objective(tokenizer, plain)
    write_documents(tmp_path / "b.txt", [[line for document in DOCUMENTS for line in document]])
    one = TokenCorpus.build(tmp_path / "b.txt", tokenizer, tmp_path / "one", sentences=True)
    with pytest.raises(InputError, match="need several documents"):
        objective(tokenizer, one)
    write_documents(tmp_path / "c.txt", [[line] for document in DOCUMENTS for line in document])
    lonely = TokenCorpus.build(tmp_path / "c.txt", tokenizer, tmp_path / "lonely", sentences=True)
    with pytest.raises(InputError, match="No document of the corpus has two sentences"):
        objective(tokenizer, lonely)


def test_only_bert_learns_next_sentences(tokenizer: Tokenizer, corpus: TokenCorpus) -> None:
    with pytest.raises(InputError, match="has no next-sentence-prediction head"):
        objective(tokenizer, corpus, model_type="roberta")
