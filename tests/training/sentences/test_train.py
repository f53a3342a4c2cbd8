"""Training of sentence encoders as in the lessons and with current losses; all libraries load the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer as Peer

from munjang import SentenceTransformer
from munjang.data.examples import Contrast, LabelledText, ScoredPair
from munjang.errors import InputError, InputTypeError
from munjang.training import losses
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import read_log
from munjang.training.losses.base import InputExample
from munjang.training.options import SentencesTask, TrainingOptions
from munjang.training.sentences.measures import reciprocal_rank
from munjang.training.sentences.train import open_encoder, train_sentence_transformer
from support.learning import with_task
from support.sentence_training import LABELS, encoder_without_dropout
from support.sentence_training import TEXTS as ROWS
from support.sentences import TEXTS, make_checkpoint

SCORED = [ScoredPair(row[0], row[1], 5 * score) for row, score in zip(ROWS, LABELS, strict=True)]
LABELLED = [
    LabelledText(row[0], row[1 + place % 2], ("entailment", "neutral")[place % 2])
    for place, row in enumerate(ROWS)
]
CONTRASTS = [Contrast(*row[:2]) for row in ROWS]
TRIPLETS = [Contrast(row[0], row[1], (row[2],)) for row in ROWS]
OPTIONS = TrainingOptions(epochs=6, batch_size=5, learning_rate=2e-3, warmup_ratio=0.0, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder_without_dropout(tmp_path_factory.mktemp("training") / "model")


def losses_of(result: TrainingResult) -> list[float]:
    return [line["loss"] for line in read_log(result.folder / "log.jsonl") if "loss" in line]


def assert_works_everywhere(folder: Path, **how: Any) -> None:
    ours = SentenceTransformer(folder)
    texts = [text for text in TEXTS if text]
    found = ours.encode(texts, **how)
    np.testing.assert_allclose(found, Peer(str(folder), device="cpu").encode(texts, **how), atol=1e-5)


WAYS: dict[str, tuple[Sequence[Any], Sequence[Any], losses.SentenceLoss | None, str | None]] = {
    "classification": (LABELLED, LABELLED, None, "accuracy"),
    "classification-by-similarity": (LABELLED, SCORED, None, "spearman"),
    "regression": (SCORED, SCORED, None, "spearman"),
    "cosent": (SCORED, SCORED, losses.CoSENTLoss(), "spearman"),
    "ranking": (CONTRASTS, CONTRASTS, None, "MRR@10"),
    "ranking-cached": (TRIPLETS, TRIPLETS, losses.CachedMultipleNegativesRankingLoss(), "MRR@10"),
    "triplets": (TRIPLETS, (), losses.TripletLoss(), None),
    "matryoshka": (
        TRIPLETS,
        CONTRASTS,
        losses.MatryoshkaLoss(losses.MultipleNegativesRankingLoss(), [32, 8]),
        "MRR@10",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_training_lowers_the_loss(folder: Path, tmp_path: Path, way: str) -> None:
    examples, held_out, loss, metric = WAYS[way]
    result = train_sentence_transformer(
        examples, model=folder, output=tmp_path / "run", loss=loss, held_out=held_out, options=OPTIONS
    )
    values = losses_of(result)
    assert len(values) == 6
    assert values[-1] < values[0]
    assert (metric in result.metrics) if metric else not result.metrics
    assert_works_everywhere(result.folder)
    before, after = SentenceTransformer(folder), SentenceTransformer(result.folder)
    assert np.abs(before.encode(TEXTS[0]) - after.encode(TEXTS[0])).max() > 1e-3
    assert "loss" in (result.folder / "report.md").read_text()


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", None])
def test_from_a_plain_bert(tmp_path: Path, pooling: str | None) -> None:
    make_checkpoint("bert", tmp_path / "plain")
    result = train_sentence_transformer(
        SCORED,
        model=tmp_path / "plain",
        output=tmp_path / "run",
        task=SentencesTask(pooling=pooling, max_seq_length=20),
        options=TrainingOptions(max_steps=2, batch_size=3, device="cpu"),
    )
    model = SentenceTransformer(result.folder)  # would warn if it had to assume a pooling
    assert model.pooling.modes == (pooling or "mean",)
    assert model.max_seq_length == 20
    model.on_truncation = "ignore"
    peer = Peer(str(result.folder), device="cpu")
    assert peer.max_seq_length == 20
    np.testing.assert_allclose(model.encode(TEXTS), peer.encode(TEXTS), atol=1e-5)


def test_classification_then_regression(folder: Path, tmp_path: Path) -> None:
    """The lessons' third way: the second run begins with what the first one saved."""
    first = train_sentence_transformer(LABELLED, model=folder, output=tmp_path / "a", options=OPTIONS)
    second = train_sentence_transformer(
        SCORED, model=first.folder, output=tmp_path / "c", held_out=SCORED, options=OPTIONS
    )
    alone = train_sentence_transformer(SCORED, model=folder, output=tmp_path / "b", options=OPTIONS)
    assert losses_of(second)[0] != pytest.approx(losses_of(alone)[0], rel=1e-3)
    assert_works_everywhere(second.folder)


def test_two_prompts_are_saved_as_those_of_queries_and_documents(folder: Path, tmp_path: Path) -> None:
    result = train_sentence_transformer(
        CONTRASTS,
        model=folder,
        output=tmp_path / "run",
        held_out=CONTRASTS,
        task=SentencesTask(prompt=("질문: ", "text: ")),
        options=TrainingOptions(max_steps=1, device="cpu"),
    )
    model = SentenceTransformer(result.folder)
    assert model.prompts == {"query": "질문: ", "document": "text: "}
    rank = reciprocal_rank(model, CONTRASTS, ("질문: ", "text: "))
    assert result.metrics["MRR@10"] == pytest.approx(rank)
    assert_works_everywhere(result.folder, prompt_name="query")


def test_the_model_s_default_prompt_is_used(folder: Path, tmp_path: Path) -> None:
    encoder = SentenceTransformer(folder, prompts={"usual": "say: "}, default_prompt_name="usual")
    encoder.save_pretrained(tmp_path / "prompted")
    options = TrainingOptions(max_steps=2, batch_size=5, device="cpu")
    alone, told = (
        train_sentence_transformer(
            SCORED, model=model, output=output, task=SentencesTask(prompt=prompt), options=options
        )
        for model, output, prompt in (
            (tmp_path / "prompted", tmp_path / "alone", None),
            (folder, tmp_path / "told", "say: "),
        )
    )
    assert losses_of(alone) == losses_of(told)
    assert_works_everywhere(alone.folder)


def test_held_out_measures_equal_the_evaluation(folder: Path, tmp_path: Path) -> None:
    from munjang.evaluation.sentences import evaluate_similarity

    options = TrainingOptions(max_steps=3, learning_rate=1e-3, device="cpu")
    result = train_sentence_transformer(
        SCORED,
        model=folder,
        output=tmp_path / "run",
        held_out=SCORED,
        task=SentencesTask(prompt="say: "),
        options=options,
    )
    found = evaluate_similarity(SentenceTransformer(result.folder), SCORED, prompt="say: ", intervals=False)
    for name, estimate in found.metrics.items():
        assert result.metrics[name] == pytest.approx(estimate.value, abs=1e-6)


def test_the_reciprocal_rank(folder: Path) -> None:
    model = SentenceTransformer(folder)
    same = [Contrast(text, text) for text in TEXTS[:5]]
    assert reciprocal_rank(model, same, ("", "")) == 1.0
    # Each anchor's own text is in the corpus as another's positive and always first.
    crossed = [Contrast(TEXTS[0], TEXTS[1]), Contrast(TEXTS[1], TEXTS[0])]
    assert reciprocal_rank(model, crossed, ("", "")) == 0.5
    shared = [Contrast(TEXTS[0], TEXTS[1]), Contrast(TEXTS[0], TEXTS[0])]
    assert reciprocal_rank(model, shared, ("", "")) == 1.0


def test_a_lesson_s_examples(folder: Path, tmp_path: Path) -> None:
    examples = [
        InputExample(texts=[row[0], row[1]], label=score) for row, score in zip(ROWS, LABELS, strict=True)
    ]
    direct = train_sentence_transformer(
        examples,
        model=folder,
        output=tmp_path / "examples",
        loss=losses.CosineSimilarityLoss(),
        options=OPTIONS,
    )
    pairs = train_sentence_transformer(SCORED, model=folder, output=tmp_path / "pairs", options=OPTIONS)
    assert losses_of(direct) == pytest.approx(losses_of(pairs), abs=1e-6)


def test_from_a_teacher_s_vectors(folder: Path, tmp_path: Path) -> None:
    teacher = np.random.default_rng(2).standard_normal((len(ROWS), 32)).astype(np.float32)
    examples = [InputExample(row[:2], vector) for row, vector in zip(ROWS, teacher, strict=True)]
    result = train_sentence_transformer(
        examples, model=folder, output=tmp_path / "run", loss=losses.MSELoss(), options=OPTIONS
    )
    assert losses_of(result)[-1] < losses_of(result)[0]


def test_the_model_that_was_opened_has_pooler_output(folder: Path) -> None:
    with pytest.raises(InputError, match="choose another pooling"):
        open_encoder(folder, pooling="pooler")


FIRST = ROWS[0]
ONE = TrainingOptions(batch_size=1, device="cpu")
FROZEN = TrainingOptions(freeze_layers=3, device="cpu")
BAD: dict[str, tuple[Sequence[Any], dict[str, Any], str]] = {
    "nothing": ([], {}, "no examples"),
    "nan": ([ScoredPair("a", "b", math.nan)], {}, "score nan"),
    "above the scale": ([ScoredPair("a", "b", 7)], {}, "from 0 to 5"),
    "below the scale": ([*SCORED, ScoredPair("a", "b", -1)], {}, "Pair 5 has the score -1"),
    "above the scale given": (SCORED, {"score_scale": 4}, "from 0 to 4"),
    "a scale without scores": (LABELLED, {"score_scale": 5.0}, "score_scale=5.0 has no effect"),
    "labels without labels": (SCORED, {"labels": ["a", "b"]}, "labels=.* has no effect"),
    "no scale": (SCORED, {"score_scale": 0}, "score_scale"),
    "empty": ([ScoredPair("a", " ", 1)], {}, "Text 2 of example 0 is empty"),
    "no pair": ([LabelledText("a", None, "x"), LabelledText("a", "b", "y")], {}, "no second text"),
    "one class": (LABELLED[::2], {}, "two labels"),
    "label outside": (LABELLED, {"labels": ["entailment", "contradiction"]}, "'neutral' is not one"),
    "label twice": (LABELLED, {"labels": ["neutral", "neutral"]}, "must be different"),
    "unequal": ([*CONTRASTS, TRIPLETS[0]], {}, "some with 2 and some with 3"),
    "positive among negatives": ([Contrast("a", "b", ("b",))], {}, "positive among the negatives"),
    "batch of one": (CONTRASTS, {"options": ONE}, "batch"),
    "one example": (CONTRASTS[:1], {}, "batch"),
    "loss for scores": (CONTRASTS, {"loss": losses.CoSENTLoss()}, "learns from pairs with scores"),
    "loss for labels": (SCORED, {"loss": losses.SoftmaxLoss(2)}, "learns from pairs with labels"),
    "no negatives": (CONTRASTS, {"loss": losses.TripletLoss()}, "needs 3 texts"),
    "no loss": ([InputExample(FIRST[:2], 1.0)], {}, "need a loss"),
    "no cosine": ([InputExample(FIRST[:2], 5.0)], {"loss": losses.CosineSimilarityLoss()}, "from -1 to 1"),
    "no label": ([InputExample(FIRST[:2], 2)], {"loss": losses.SoftmaxLoss(2)}, "from 0 to 1"),
    "half a label": ([InputExample(FIRST[:2], 0.5)], {"loss": losses.ContrastiveLoss()}, "whole number"),
    "narrow vector": ([InputExample(FIRST, [1.0, 2.0])], {"loss": losses.MSELoss()}, "32 numbers"),
    "broken vector": ([InputExample(FIRST, [math.nan] * 32)], {"loss": losses.MSELoss()}, "finite"),
    "margins": ([InputExample(FIRST, [1.0] * 3)], {"loss": losses.MarginMSELoss()}, "1 margins"),
    "few texts": ([InputExample(FIRST[:2], [1.0])], {"loss": losses.MarginMSELoss()}, "3 or more texts"),
    "too long": (
        CONTRASTS,
        {"loss": losses.MatryoshkaLoss(losses.MultipleNegativesRankingLoss(), [64])},
        "matryoshka_dims has 64",
    ),
    "equal scores": (
        [ScoredPair("a", "b", 1), ScoredPair("c", "d", 1)],
        {"loss": losses.CoSENTLoss()},
        "the same score",
    ),
    "held-out label": (LABELLED, {"held_out": [LabelledText("a", "b", "odd")]}, "'odd' is not one"),
    "held out without a classifier": (SCORED, {"held_out": LABELLED}, "classifies nothing"),
    "all layers frozen": (SCORED, {"options": FROZEN}, "Nothing is left to train: freeze_layers=3"),
    "all layers frozen below a classifier": (LABELLED, {"options": FROZEN}, "Nothing is left to train"),
    "all layers frozen, in parts": (
        CONTRASTS,
        {"options": FROZEN, "loss": losses.CachedMultipleNegativesRankingLoss()},
        "Nothing is left to train",
    ),
    "too many frozen layers": (
        SCORED,
        {"options": TrainingOptions(freeze_layers=99, device="cpu")},
        "freeze_layers=99, but the model has 3 layers",
    ),
    "too long for the model": (SCORED, {"max_seq_length": 900}, "max_seq_length=900, but the model takes 48"),
    "empty held-out text": (SCORED, {"held_out": [ScoredPair("", "b", 1)]}, "is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(folder: Path, tmp_path: Path, case: str) -> None:
    examples, settings, message = BAD[case]
    with pytest.raises(InputError, match=message):
        train_sentence_transformer(
            examples, model=folder, output=tmp_path / "run", **with_task(SentencesTask, settings)
        )
    assert not (tmp_path / "run").exists()


WRONG_TYPES: dict[str, tuple[Sequence[Any], dict[str, Any]]] = {
    "a tuple": ([("a", "b")], {}),
    "mixed": ([SCORED[0], CONTRASTS[0]], {}),
    "no list of texts": ([InputExample("ab", 1.0)], {"loss": losses.CosineSimilarityLoss()}),
    "no text": ([InputExample(["a", 3], 1.0)], {"loss": losses.CosineSimilarityLoss()}),  # type: ignore[list-item]
    "a label as text": (
        [InputExample(["a", "b"], "1")],  # type: ignore[arg-type]
        {"loss": losses.CosineSimilarityLoss()},
    ),
    "three prompts": (SCORED, {"prompt": ("a", "b", "c")}),
    "held-out examples": (SCORED, {"held_out": [InputExample(["a", "b"], 1.0)]}),
}


@pytest.mark.parametrize("case", WRONG_TYPES)
def test_wrong_types(folder: Path, tmp_path: Path, case: str) -> None:
    examples, settings = WRONG_TYPES[case]
    with pytest.raises(InputTypeError):
        train_sentence_transformer(
            examples, model=folder, output=tmp_path / "run", **with_task(SentencesTask, settings)
        )


def test_losses_refuse_settings_of_other_types() -> None:
    for make in (
        lambda: losses.MultipleNegativesRankingLoss(skip_false_negatives="no"),  # type: ignore[arg-type]
        lambda: losses.MultipleNegativesRankingLoss("20"),  # type: ignore[arg-type]
        lambda: losses.TripletLoss(margin="5"),  # type: ignore[arg-type]
        lambda: losses.SoftmaxLoss("3"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputTypeError):
            make()


def test_losses_refuse_settings_that_make_no_sense() -> None:
    ranking = losses.MultipleNegativesRankingLoss
    for make in (
        lambda: ranking(scale=0),
        lambda: ranking(similarity="euclid"),  # type: ignore[arg-type]
        lambda: losses.CoSENTLoss(scale=-1),
        lambda: losses.TripletLoss("l7"),  # type: ignore[arg-type]
        lambda: losses.SoftmaxLoss(1),
        lambda: losses.MatryoshkaLoss(ranking(), []),
        lambda: losses.MatryoshkaLoss(ranking(), [8, 8]),
        lambda: losses.MatryoshkaLoss(ranking(), [8, 4], [1]),
    ):
        with pytest.raises(InputError):
            make()
