"""Distillation of a cross-encoder's scores to a smaller cross-encoder or to a sentence encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder as PeerCrossEncoder
from sentence_transformers import SentenceTransformer as PeerTransformer

import munjang
from munjang.data.examples import Contrast, ScoredPair
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.training.distillation.models import make_student, open_student_classifier
from munjang.training.distillation.options import CrossEncoderDistillationTask, ScoreDistillationTask
from munjang.training.distillation.scores import (
    PairExamples,
    ScoreDistillation,
    distill_cross_encoder,
    distill_scores,
)
from munjang.training.options import TrainingOptions
from support.sentence_training import TEXTS, encoder_without_dropout
from support.sentences import make_checkpoint, make_pair_checkpoint, make_sentence_folder, modify_json

PAIRS = [(a, b) for row in TEXTS for a, b in ((row[0], row[1]), (row[1], row[2]))]
CONTRASTS = [Contrast(a, b, (c, a)) for a, b, c in TEXTS]
FAST = TrainingOptions(max_steps=40, batch_size=5, learning_rate=1e-3, device="cpu", weight_decay=0.0)


def two_cross_encoders(folder: Path) -> tuple[Path, Path]:
    """Save a teacher, and a student that computes the same in training."""
    make_pair_checkpoint("bert", folder / "teacher", seed=1)
    make_pair_checkpoint("bert", folder / "student", seed=2)
    for name in ("teacher", "student"):
        modify_json(
            folder / name / "config.json",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            classifier_dropout=0.0,
        )
    return folder / "teacher", folder / "student"


def objective_on(teacher: Path, student: Path, examples: PairExamples) -> ScoreDistillation:
    """Our objective on a student's folder."""
    opened = munjang.CrossEncoder(teacher)
    labels = opened.model.config.labels.id2label
    small = open_student_classifier(teacher, student, None, labels=labels, seed=1)
    return ScoreDistillation(
        opened, small, examples, (), CrossEncoderDistillationTask(), TrainingOptions(device="cpu")
    )


def peer_logits(model: Any, folder: Path, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """The reference's logits of pairs, ``[n]``."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found: torch.Tensor = model(**tokenizer(pairs, padding=True, return_tensors="pt")).logits[:, 0]
    return found


@pytest.mark.parametrize("kind", ["pairs", "contrasts"])
def test_losses_and_gradients_are_those_of_the_formula(kind: str, tmp_path: Path) -> None:
    """Squared differences of scores, or of margins, on the reference's models."""
    teacher, student = two_cross_encoders(tmp_path)
    objective = objective_on(teacher, student, PAIRS if kind == "pairs" else CONTRASTS)
    tally = objective.accumulate(objective.examples, np.random.default_rng(0))
    peer, large = (
        transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        for folder in (student, teacher)
    )
    if kind == "pairs":
        with torch.no_grad():
            wanted = peer_logits(large, teacher, PAIRS)
        loss = (peer_logits(peer, student, PAIRS) - wanted).square().mean()
    else:
        columns = [[(row[0], row[i]) for row in TEXTS] for i in (1, 2, 0)]
        with torch.no_grad():
            good, bad, worse = (peer_logits(large, teacher, column) for column in columns)
        a, b, c = (peer_logits(peer, student, column) for column in columns)
        loss = ((((a - b) - (good - bad)).square() + ((a - c) - (good - worse)).square()) / 2).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert tally.total / tally.count == pytest.approx(loss.item(), rel=1e-4)
    compared = 0
    for name, parameter in peer.named_parameters():
        if "word_embeddings" not in name:
            found = objective.network.trained[name].grad
            assert found is not None
            assert parameter.grad is not None
            scale = max(1.0, float(parameter.grad.abs().max()))
            wanted_gradient = parameter.grad / scale
            np.testing.assert_allclose(found / tally.count / scale, wanted_gradient, atol=1e-5, err_msg=name)
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("kind", ["pairs", "contrasts"])
def test_a_small_cross_encoder_approximates_the_large_one(kind: str, tmp_path: Path) -> None:
    """Both libraries load it, with the teacher's activation."""
    teacher, _ = two_cross_encoders(tmp_path)
    modify_json(
        teacher / "config.json", sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"}
    )
    examples: PairExamples = PAIRS if kind == "pairs" else CONTRASTS
    make_student(teacher, tmp_path / "before", layers=2)
    large = munjang.CrossEncoder(teacher)
    held_out = [
        ScoredPair(a, b, float(score)) for (a, b), score in zip(PAIRS, large.predict(PAIRS), strict=True)
    ]
    result = distill_cross_encoder(
        teacher,
        examples,
        output=tmp_path / "run",
        layers=2,
        options=FAST,
        held_out=held_out if kind == "pairs" else (),
    )

    def error(folder: Path) -> float:
        small = munjang.CrossEncoder(folder)
        if kind == "pairs":
            return float(np.abs(small.predict(PAIRS) - large.predict(PAIRS)).mean())
        good, bad = ([(row[0], row[i]) for row in TEXTS] for i in (1, 2))  # the zero is the student's own
        margins = [one.predict(good) - one.predict(bad) for one in (small, large)]
        return float(np.abs(margins[0] - margins[1]).mean())

    assert error(tmp_path / "run") < 0.5 * error(tmp_path / "before")
    assert set(result.metrics) == ({"spearman", "pearson"} if kind == "pairs" else set())
    peer = PeerCrossEncoder(str(tmp_path / "run"), device="cpu")
    found = munjang.CrossEncoder(tmp_path / "run").predict(PAIRS)
    np.testing.assert_allclose(found, peer.predict(PAIRS), atol=1e-5)
    assert peer.model.config.num_hidden_layers == 2


@pytest.mark.parametrize("kind", ["pairs", "contrasts"])
def test_a_sentence_encoder_learns_scores(kind: str, tmp_path: Path) -> None:
    """Cosines learn scores, margins of dot products learn margins of logits."""
    teacher, _ = two_cross_encoders(tmp_path)
    encoder_without_dropout(tmp_path / "model")
    examples: PairExamples = PAIRS if kind == "pairs" else CONTRASTS
    large = munjang.CrossEncoder(teacher)
    distill_scores(teacher, examples, model=tmp_path / "model", output=tmp_path / "run", options=FAST)

    def error(folder: Path) -> float:
        model = munjang.SentenceTransformer(folder)
        if kind == "pairs":
            sides = [model.encode(list(side), normalize_embeddings=True) for side in zip(*PAIRS, strict=True)]
            return float(np.square((sides[0] * sides[1]).sum(1) - large.predict(PAIRS)).mean())
        u, v, w = (model.encode([row[i] for row in TEXTS]) for i in range(3))
        good, bad = (
            large.predict([(row[0], row[i]) for row in TEXTS], activation_fn="identity") for i in (1, 2)
        )
        return float(np.square(((u * v).sum(1) - (u * w).sum(1)) - (good - bad)).mean())

    assert error(tmp_path / "run") < 0.3 * error(tmp_path / "model")
    peer = PeerTransformer(str(tmp_path / "run"), device="cpu")
    texts = [row[0] for row in TEXTS]
    found = munjang.SentenceTransformer(tmp_path / "run").encode(texts)
    np.testing.assert_allclose(found, peer.encode(texts), atol=1e-5)


@pytest.mark.parametrize(
    ("examples", "error", "says"),
    [
        ([], InputError, "no examples"),
        ([Contrast("a", "b")], InputError, "Example 0 has no negatives"),
        ([("a", "b"), "c"], InputTypeError, "Example 1 must be a tuple or Contrast"),
        ([("a", "b", "c")], InputTypeError, "Example 0 must be a pair"),
        ([("a", "b"), Contrast("a", "b", ("c",))], InputTypeError, "two kinds"),
    ],
)
def test_invalid_examples(examples: Any, error: type[Exception], says: str, tmp_path: Path) -> None:
    """For both kinds of student."""
    teacher, student = two_cross_encoders(tmp_path)
    with pytest.raises(error, match=says):
        distill_cross_encoder(teacher, examples, output=tmp_path / "run", student=student)
    with pytest.raises(error, match=says):
        distill_scores(teacher, examples, output=tmp_path / "run", model=student)
    assert not (tmp_path / "run").exists()


def test_unusable_teachers(tmp_path: Path) -> None:
    """Without a head, with several labels, or with scores that are no cosines."""
    make_checkpoint("bert", tmp_path / "bare")
    make_pair_checkpoint("bert", tmp_path / "three", labels=3)
    make_pair_checkpoint("bert", tmp_path / "one")
    make_sentence_folder("bert", tmp_path / "model")
    output = tmp_path / "run"
    with pytest.raises(CheckpointError, match="no trained sequence-classification head"):
        distill_cross_encoder(tmp_path / "bare", PAIRS, output=output)
    with pytest.raises(InputError, match="The teacher has 3 labels"):
        distill_cross_encoder(tmp_path / "three", PAIRS, output=output)
    with pytest.raises(InputError, match="The teacher has 3 labels"):
        distill_scores(tmp_path / "three", PAIRS, model=tmp_path / "model", output=output)
    modify_json(
        tmp_path / "one" / "config.json",
        sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"},
    )
    too_long = CrossEncoderDistillationTask(max_length=900)
    with pytest.raises(InputError, match=r"max_length=900, but the model takes .* tokens at most"):
        distill_cross_encoder(tmp_path / "one", PAIRS, output=output, task=too_long)
    with pytest.raises(InputError, match="a cosine is between -1 and 1; choose a larger divisor"):
        distill_scores(
            tmp_path / "one",
            PAIRS,
            model=tmp_path / "model",
            output=output,
            task=ScoreDistillationTask(divisor=0.01),
        )
    with pytest.raises(InputError, match="divisor must be more than 0"):
        ScoreDistillationTask(divisor=0.0)
    with pytest.raises(InputError, match="1 to 3 of the teacher's 3 layers, got 9"):
        distill_cross_encoder(tmp_path / "one", PAIRS, output=output, layers=9)
