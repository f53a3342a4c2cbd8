"""Soft labels: the loss and its gradients against the reference, training, and bad input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

import munjang
from munjang.data.examples import LabelledText
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.training.distillation.classifier import (
    ClassifierDistillation,
    distill_classifier,
    soft_label_loss,
)
from munjang.training.distillation.models import (
    make_student,
    open_student_classifier,
    open_teacher_classifier,
)
from munjang.training.distillation.options import ClassifierDistillationTask, LayerMatching
from munjang.training.options import TrainingOptions
from support.labelled import TEXTS, labelled_model
from support.sentences import make_checkpoint, modify_json

LABELS = ("bad", "good", "so-so")
EXAMPLES: list[LabelledText | str | tuple[str, str]] = [
    LabelledText(TEXTS[0], None, "good"),
    TEXTS[1],
    LabelledText(TEXTS[2], TEXTS[3], "bad"),
    (TEXTS[3], TEXTS[4]),
    LabelledText(TEXTS[4], None, "so-so"),
]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}


def teacher_and_student(folder: Path) -> tuple[Path, Path]:
    """Save two random classifiers of the same labels; the student computes the same in training."""
    teacher = labelled_model(folder / "teacher", labels=LABELS, seed=1)
    student = labelled_model(folder / "student", labels=LABELS, seed=2)
    modify_json(student / "config.json", **NO_DROPOUT)
    return teacher, student


def objective_on(
    teacher: Path, student: Path | None, task: ClassifierDistillationTask
) -> ClassifierDistillation:
    """Create the objective for the examples."""
    opened = open_teacher_classifier(teacher)
    labels = opened.model.config.labels.id2label
    small = open_student_classifier(teacher, student, None, labels=labels, seed=1)
    options = TrainingOptions(device="cpu")
    return ClassifierDistillation(opened, small, EXAMPLES, (), task, options)


def peer_logits(model: Any, folder: Path) -> torch.Tensor:
    """The reference's logits of the examples, ``[n, labels]``."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    for example in EXAMPLES:
        if isinstance(example, LabelledText):
            texts = [example.text] if example.text_pair is None else [example.text, example.text_pair]
        else:
            texts = [example] if isinstance(example, str) else list(example)
        rows.append(model(**tokenizer(*texts, return_tensors="pt")).logits[0])
    return torch.stack(rows)


@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 0.5), (3.0, 0.9), (2.0, 0.0), (0.5, 1.0)])
def test_the_loss_and_its_gradients_are_those_of_the_formula(
    temperature: float, alpha: float, tmp_path: Path
) -> None:
    """The formula of the paper, written out, on the reference's models in train mode."""
    teacher, student = teacher_and_student(tmp_path)
    task = ClassifierDistillationTask(temperature=temperature, alpha=alpha)
    objective = objective_on(teacher, student, task)
    tally = objective.accumulate(objective.examples, np.random.default_rng(0))
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(student).train()
    with torch.no_grad():
        large = transformers.AutoModelForSequenceClassification.from_pretrained(teacher).eval()
        wanted = (peer_logits(large, teacher) / temperature).softmax(-1)
    logits = peer_logits(peer, student)
    labels = {0: 1, 2: 0, 4: 2}
    total = torch.zeros(())
    for i, row in enumerate(logits):
        soft = (row / temperature).softmax(-1)
        divergence = (wanted[i] * (wanted[i].log() - soft.log())).sum() * temperature**2
        if i in labels:
            total = total + alpha * divergence - (1 - alpha) * row.softmax(-1)[labels[i]].log()
        else:
            total = total + divergence
    total.backward()  # type: ignore[no-untyped-call]
    assert tally.count == 5
    assert tally.total == pytest.approx(total.item(), rel=1e-5)
    compared = 0
    for name, parameter in peer.named_parameters():
        if "word_embeddings" in name:
            continue  # only some of its rows are trained here
        found = objective.network.trained[name].grad
        assert found is not None
        assert parameter.grad is not None
        np.testing.assert_allclose(found.numpy(), parameter.grad.numpy(), atol=2e-5, err_msg=name)
        compared += 1
    assert compared > 50


def test_a_student_that_answers_as_the_teacher_has_no_soft_loss() -> None:
    """And the labels alone count with alpha 0."""
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]])
    labels = torch.tensor([1, -1])
    found = soft_label_loss(logits, logits, labels, ClassifierDistillationTask(alpha=1.0, temperature=4.0))
    np.testing.assert_allclose(found, [0.0, 0.0], atol=1e-7)
    found = soft_label_loss(logits, -logits, labels, ClassifierDistillationTask(alpha=0.0))
    assert found[0] == functional.cross_entropy(logits[:1], labels[:1])
    assert found[1] > 0  # the text without label still has the teacher


def probabilities(folder: Path, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Every label's probability, in the labels' order."""
    found = munjang.pipeline("text-classification", str(folder))(list(texts), top_k=None)
    return np.array([[{one["label"]: one["score"] for one in row}[name] for name in LABELS] for row in found])


@pytest.mark.parametrize("matching", [None, LayerMatching(hidden_states=0.3, attention=1.0)])
def test_a_trained_student_approximates_its_teacher(matching: LayerMatching | None, tmp_path: Path) -> None:
    """From plain texts alone; the saved student is the same in transformers and on OpenVINO."""
    teacher = labelled_model(tmp_path / "teacher", labels=LABELS, seed=1)
    modify_json(teacher / "config.json", **NO_DROPOUT)
    options = TrainingOptions(max_steps=40, batch_size=5, learning_rate=1e-3, device="cpu", weight_decay=0.0)
    answers = munjang.pipeline("text-classification", str(teacher))(TEXTS)
    held_out = [LabelledText(text, None, row[0]["label"]) for text, row in zip(TEXTS, answers, strict=True)]
    result = distill_classifier(
        teacher,
        TEXTS,
        output=tmp_path / "run",
        layers=2,
        options=options,
        task=ClassifierDistillationTask(matching=matching),
        held_out=held_out,
    )
    make_student(teacher, tmp_path / "before", layers=2)
    wanted = probabilities(teacher, TEXTS)
    before = np.abs(probabilities(tmp_path / "before", TEXTS) - wanted).mean()
    after = np.abs(probabilities(tmp_path / "run", TEXTS) - wanted).mean()
    assert after < 0.3 * before
    assert set(result.metrics) >= {"accuracy", "macro_f1"}
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    assert peer.config.num_hidden_layers == 2
    assert peer.config.id2label == dict(enumerate(LABELS))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run")
    with torch.no_grad():
        logits = peer(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(probabilities(tmp_path / "run", TEXTS), logits.softmax(-1), atol=1e-5)


def test_a_student_of_another_vocabulary_learns_from_soft_labels(tmp_path: Path) -> None:
    """Teacher and student use their own tokenizers; only layers can't be compared then."""
    teacher = labelled_model(tmp_path / "teacher", labels=LABELS)
    student = labelled_model(tmp_path / "student", "RobertaForSequenceClassification", LABELS, seed=3)
    objective = objective_on(teacher, student, ClassifierDistillationTask())
    assert objective.accumulate(objective.examples, np.random.default_rng(0)).total > 0
    with pytest.raises(InputError, match="cut texts into different tokens"):
        objective_on(teacher, student, ClassifierDistillationTask(matching=LayerMatching()))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 0.0}, "temperature must be more than 0, got 0"),
        ({"temperature": -1.0}, "temperature must be more than 0, got -1"),
        ({"alpha": 1.5}, "alpha must be a number from 0 to 1, got 1.5"),
        ({"alpha": -0.1}, "alpha must be a number from 0 to 1, got -0.1"),
        ({"alpha": float("nan")}, "alpha must be a number, got nan"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], says: str) -> None:
    """Temperatures and weights of the teacher."""
    with pytest.raises(InputError, match=says):
        ClassifierDistillationTask(**settings)


def test_a_length_above_the_maximum_of_the_models(tmp_path: Path) -> None:
    teacher = labelled_model(tmp_path / "teacher", labels=LABELS)
    task = ClassifierDistillationTask(max_length=900)
    with pytest.raises(InputError, match=r"max_length=900, but the model takes .* tokens at most"):
        distill_classifier(teacher, ["text"], output=tmp_path / "run", task=task)


def test_unusable_examples(tmp_path: Path) -> None:
    """No examples, empty texts, labels that the teacher does not have, and values that are not texts."""
    teacher = labelled_model(tmp_path / "teacher", labels=LABELS)
    where = tmp_path / "run"
    with pytest.raises(InputError, match="no examples"):
        distill_classifier(teacher, [], output=where)
    with pytest.raises(InputError, match="Text 1"):
        distill_classifier(teacher, ["fine", " "], output=where)
    with pytest.raises(InputError, match="'excellent'"):
        distill_classifier(teacher, [LabelledText("a", None, "excellent")], output=where)
    with pytest.raises(InputTypeError, match="Example 0 must be a LabelledText or str or tuple, got 3"):
        distill_classifier(teacher, [3], output=where)  # type: ignore[list-item]
    assert not where.exists()


def test_unusable_teachers(tmp_path: Path) -> None:
    """Without a head, with one output, or with labels that may hold together."""
    make_checkpoint("bert", tmp_path / "bare")
    with pytest.raises(CheckpointError, match="no trained sequence-classification head"):
        distill_classifier(tmp_path / "bare", ["text"], output=tmp_path / "run")
    labelled_model(tmp_path / "number", labels=("score",))
    with pytest.raises(InputError, match="use distill_cross_encoder"):
        distill_classifier(tmp_path / "number", ["text"], output=tmp_path / "run")
    labelled_model(tmp_path / "several", problem_type="multi_label_classification")
    with pytest.raises(InputError, match="multi-label classifier"):
        distill_classifier(tmp_path / "several", ["text"], output=tmp_path / "run")


def test_unusable_students(tmp_path: Path) -> None:
    """More layers than the teacher has, or a student and layers together."""
    teacher = labelled_model(tmp_path / "teacher", labels=LABELS)
    with pytest.raises(InputError, match="1 to 3 of the teacher's 3 layers, got 4"):
        distill_classifier(teacher, ["text"], output=tmp_path / "run", layers=4)
    with pytest.raises(InputError, match="Pass student or layers, not both"):
        distill_classifier(teacher, ["text"], output=tmp_path / "run", layers=2, student=teacher)
