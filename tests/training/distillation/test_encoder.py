"""Distillation of a sentence encoder: the loss and its gradients, training, languages, bad input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer as PeerTransformer
from sentence_transformers.sentence_transformer import losses as peer_losses
from sentence_transformers.sentence_transformer import modules as parts

import munjang
from munjang.data.examples import ScoredPair
from munjang.errors import InputError, InputTypeError
from munjang.training.distillation import models as teachers
from munjang.training.distillation.encoder import (
    EncoderDistillation,
    EncoderExample,
    distill_sentence_encoder,
)
from munjang.training.distillation.models import make_student, open_student_encoder, table
from munjang.training.distillation.options import EncoderDistillationTask, Goals, LayerMatching
from munjang.training.loop.report import TrainingResult
from munjang.training.options import TrainingOptions
from support.sentence_training import TEXTS, encoder_without_dropout
from support.sentences import make_checkpoint, make_sentence_folder, modify_json
from support.tiny import tiny_sentence_model

SENTENCES = [text for row in TEXTS for text in row]
PAIRS = [ScoredPair(a, b, score) for (a, b, _), score in zip(TEXTS, (5.0, 4.0, 1.0, 2.5, 0.0), strict=True)]


def objective_on(
    teacher: Path, student: Path, examples: Sequence[EncoderExample], **settings: Any
) -> EncoderDistillation:
    """Create the objective for a student's folder, without starting a run."""
    encoder = open_student_encoder(teacher, student, None)
    options = TrainingOptions(device="cpu")
    return EncoderDistillation(teacher, encoder, examples, (), EncoderDistillationTask(**settings), options)


def two_encoders(folder: Path) -> tuple[Path, Path]:
    """Save a teacher, and a student that computes the same in training."""
    make_sentence_folder("bert", folder / "teacher", seed=5)
    return folder / "teacher", encoder_without_dropout(folder / "student")


def gradients_of(objective: EncoderDistillation) -> dict[str, np.ndarray[Any, Any]]:
    """The gradients of the layers; of the embeddings only some rows are trained."""
    return {
        name: value.grad.numpy()
        for name, value in objective.network.trained.items()
        if value.grad is not None and "encoder.layer" in name
    }


def compare_gradients(objective: EncoderDistillation, peer: Any, count: float) -> None:
    """Against the reference's parameters, whose loss was a mean over ``count``."""
    wanted = {n: p.grad.numpy() for n, p in peer[0].model.named_parameters() if p.grad is not None}
    found = gradients_of(objective)
    assert len(found) > 40
    scale = max(float(np.abs(wanted[name]).max()) for name in found)
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient / count / scale, wanted[name] / scale, atol=1e-5, err_msg=name)


def test_the_mean_squared_error_is_that_of_sentence_transformers(tmp_path: Path) -> None:
    """Loss and gradients, texts and tuples of a text with its translation."""
    teacher, student = two_encoders(tmp_path)
    examples = [(row[0], row[1]) for row in TEXTS]
    objective = objective_on(teacher, student, examples, goals=Goals(distance="mse"))
    tally = objective.accumulate(objective.examples, np.random.default_rng(0))
    peer = PeerTransformer(str(student), device="cpu")
    labels = torch.from_numpy(PeerTransformer(str(teacher), device="cpu").encode([row[0] for row in TEXTS]))
    features = [peer.preprocess([row[i] for row in TEXTS]) for i in range(2)]
    value = peer_losses.MSELoss(peer)(features, labels)
    value.backward()
    assert tally.total / tally.count == pytest.approx(value.item(), rel=1e-5)
    compare_gradients(objective, peer, tally.count)


@pytest.mark.parametrize("gold", [0.0, 0.3, 1.0])
def test_cosines_of_pairs_learn_human_scores_and_the_teacher(gold: float, tmp_path: Path) -> None:
    """Each pair brings the distance of its two vectors and the error of its cosine."""
    teacher, student = two_encoders(tmp_path)
    goals = Goals(vectors=0.7, pairs=2.0, gold=gold)
    objective = objective_on(teacher, student, list(PAIRS), goals=goals)
    tally = objective.accumulate(objective.examples, np.random.default_rng(0))
    peer, large = (PeerTransformer(str(folder), device="cpu") for folder in (student, teacher))
    columns = [[p.sentence1 for p in PAIRS], [p.sentence2 for p in PAIRS]]
    u, v = (peer(peer.preprocess(column))["sentence_embedding"] for column in columns)
    s, t = (torch.from_numpy(large.encode(column)) for column in columns)
    cosine = torch.nn.functional.cosine_similarity
    scores = torch.tensor([p.score / 5 for p in PAIRS])
    wanted = (1 - gold) * cosine(s, t) + gold * scores
    errors = 0.7 * (2 - cosine(u, s) - cosine(v, t)) / 2 + 2.0 * (cosine(u, v) - wanted) ** 2
    errors.mean().backward()  # type: ignore[no-untyped-call]
    assert tally.count == len(PAIRS)
    assert tally.total / tally.count == pytest.approx(errors.mean().item(), rel=1e-5)
    compare_gradients(objective, peer, tally.count)


@pytest.mark.parametrize("matching", [None, LayerMatching(hidden_states=0.1)])
def test_a_trained_student_approximates_its_teacher(matching: LayerMatching | None, tmp_path: Path) -> None:
    """Half of the layers approximate the teacher's vectors; both libraries load the result."""
    teacher = make_sentence_folder("bert", tmp_path / "teacher", seed=5)
    options = TrainingOptions(max_steps=100, batch_size=10, learning_rate=2e-3, device="cpu")
    examples: list[EncoderExample] = [*SENTENCES, *PAIRS]
    wanted = teacher.encode(SENTENCES, normalize_embeddings=True)

    left, right = wanted[0::3], wanted[1::3]
    cosines = (left * right).sum(axis=1)
    held_out = [
        ScoredPair(a, b, float(cosine)) for (a, b, _), cosine in zip(TEXTS, cosines, strict=True)
    ]  # as the teacher sees them

    def distance(folder: Path) -> float:
        found = munjang.SentenceTransformer(folder).encode(SENTENCES, normalize_embeddings=True)
        return float((1 - (found * wanted).sum(axis=1)).mean())

    make_student(tmp_path / "teacher", tmp_path / "before", layers=2)
    result = distill_sentence_encoder(
        tmp_path / "teacher",
        examples,
        output=tmp_path / "run",
        layers=2,
        options=options,
        task=EncoderDistillationTask(goals=Goals(gold=0.0), matching=matching),
        held_out=held_out,
    )
    assert distance(tmp_path / "run") < 0.5 * distance(tmp_path / "before")
    assert set(result.metrics) == {"spearman", "pearson"}
    peer = PeerTransformer(str(tmp_path / "run"), device="cpu")
    assert peer[0].model.config.num_hidden_layers == 2
    ours = munjang.SentenceTransformer(tmp_path / "run")
    np.testing.assert_allclose(ours.encode(SENTENCES), peer.encode(SENTENCES), atol=1e-5)


def test_a_translation_learns_the_vector_of_its_source(tmp_path: Path) -> None:
    """The teacher encodes the sources only, and its layers are not compared on translations."""
    teacher, student = two_encoders(tmp_path)
    parallel = [("A man is eating food.", "한 남자가 밥을 먹는다."), ("a", "하나")]
    objective = objective_on(teacher, student, parallel)
    assert set(objective._targets.rows) == {"A man is eating food.", "a"}
    plain = objective.accumulate(objective.examples, np.random.default_rng(0)).total
    matched = objective_on(teacher, student, parallel, matching=LayerMatching())
    more = matched.accumulate(matched.examples, np.random.default_rng(0)).total - plain
    sources = objective_on(teacher, student, [text[0] for text in parallel], matching=LayerMatching())
    alone = objective_on(teacher, student, [text[0] for text in parallel])
    both = [one.accumulate(one.examples, np.random.default_rng(0)).total for one in (sources, alone)]
    assert more == pytest.approx((both[0] - both[1]) / 2, rel=1e-4)  # half of each example's texts


def test_prompts_precede_the_texts_of_both_models(tmp_path: Path) -> None:
    """The model's own default, unless another is given."""
    folder = tiny_sentence_model(tmp_path / "model")
    modify_json(folder / "config.json", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    modify_json(folder / "config_sentence_transformers.json", default_prompt_name="query")
    for prompt in (None, "", "other: "):
        objective = objective_on(folder, folder, ["a cat", "고양이"], prompt=prompt)
        tally = objective.accumulate(objective.examples, np.random.default_rng(0))
        assert tally.total == pytest.approx(0, abs=1e-6)  # it is its own teacher
        first = objective.model.tokenizer.decode(objective.examples[0].texts[0].input_ids)
        assert ("ask" in first.replace(" ", "")) == (prompt is None)


def test_longer_vectors_of_a_teacher_are_projected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Principal directions keep dot products; without them it is an error, and so is a wider student."""
    narrow = parts.Dense(in_features=32, out_features=4, activation_function=torch.nn.Identity())
    make_sentence_folder("bert", tmp_path / "wide")
    make_sentence_folder("bert", tmp_path / "narrow", modules=[narrow])
    with pytest.raises(InputError, match=r"have 32 numbers, the student's 4; reduce='pca'"):
        objective_on(tmp_path / "wide", tmp_path / "narrow", SENTENCES)
    with pytest.raises(InputError, match=r"have 4 numbers, the student's 32; choose a narrower student"):
        objective_on(tmp_path / "narrow", tmp_path / "wide", SENTENCES, reduce="pca")
    with pytest.raises(InputError, match="2 texts are too few"):
        objective_on(tmp_path / "wide", tmp_path / "narrow", SENTENCES[:2], reduce="pca")
    with pytest.raises(InputError, match=r"reduce='pca' would have no effect: .* both have 32 numbers"):
        objective_on(tmp_path / "wide", tmp_path / "wide", SENTENCES, reduce="pca")
    objective = objective_on(tmp_path / "wide", tmp_path / "narrow", SENTENCES, reduce="pca")
    texts = list(objective._targets.rows)
    vectors = munjang.SentenceTransformer(tmp_path / "wide").encode(texts)
    values = np.sort(np.linalg.eigvalsh(vectors.T @ vectors))[::-1]
    reduced = objective._targets(texts)
    assert reduced.shape == (len(texts), 4)
    assert np.square(reduced).sum() == pytest.approx(values[:4].sum(), rel=1e-4)  # as much as four can keep


def test_many_vectors_are_stored_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are the same, and nothing is left behind."""
    teacher, student = two_encoders(tmp_path)
    wanted = objective_on(teacher, student, SENTENCES)._targets(SENTENCES)
    monkeypatch.setattr(teachers, "_IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert isinstance(table(10, 32), np.memmap)
    found = objective_on(teacher, student, SENTENCES)._targets(SENTENCES)
    np.testing.assert_array_equal(found, wanted)
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("examples", "error", "says"),
    [
        ([], InputError, "no examples"),
        ("text", InputTypeError, "examples must be a list of str or tuple or ScoredPair, got 'text'"),
        (["fine", ""], InputError, "Example 1 has an empty text"),
        ([("a", "  ")], InputError, "Example 0 has an empty text"),
        ([()], InputTypeError, "Example 0 must be a text"),
        ([b"text"], InputTypeError, "Example 0 must be a str or tuple"),
        ([("a", 3)], InputTypeError, "Example 0 holds a int"),
        ([ScoredPair("a", "b", 5.5)], InputError, "has the score 5.5, outside 0 to 5"),
        ([ScoredPair("a", "b", float("nan"))], InputError, "has the score nan"),
    ],
)
def test_invalid_examples(examples: Any, error: type[Exception], says: str, tmp_path: Path) -> None:
    """With the number of the example."""
    teacher = make_sentence_folder("bert", tmp_path / "teacher") and tmp_path / "teacher"
    with pytest.raises(error, match=says):
        distill_sentence_encoder(teacher, examples, output=tmp_path / "run", layers=1)
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_to_train(tmp_path: Path) -> None:
    make_sentence_folder("bert", tmp_path / "teacher")
    options = TrainingOptions(freeze_layers=1, device="cpu")
    with pytest.raises(InputError, match="Nothing is left to train: freeze_layers=1 freezes all layers"):
        distill_sentence_encoder(
            tmp_path / "teacher", ["text"], output=tmp_path / "run", layers=1, options=options
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"vectors": 0.0, "pairs": 0.0}, "Nothing is to be learned"),
        ({"gold": 1.1}, "gold must be a number from 0 to 1, got 1.1"),
        ({"pairs": -1.0}, "pairs must be 0 or more, got -1"),
        ({"highest_score": 0.0}, "highest_score must be more than 0"),
        ({"distance": "dot"}, "distance must be one of 'cosine', 'mse'"),
    ],
)
def test_goals_out_of_range(settings: dict[str, Any], says: str) -> None:
    """Each is named with its value."""
    with pytest.raises(InputError, match=says):
        Goals(**settings)


def test_unusable_students(tmp_path: Path) -> None:
    """More layers than the teacher has, a student with layers, or other tokens when layers are compared."""
    make_sentence_folder("bert", tmp_path / "teacher")
    make_sentence_folder("roberta", tmp_path / "other")
    with pytest.raises(InputError, match="1 to 3 of the teacher's 3 layers, got 7"):
        distill_sentence_encoder(tmp_path / "teacher", ["a"], output=tmp_path / "run", layers=7)
    with pytest.raises(InputError, match="Pass student or layers, not both"):
        distill_sentence_encoder(
            tmp_path / "teacher", ["a"], output=tmp_path / "run", layers=1, student=tmp_path / "other"
        )
    with pytest.raises(InputError, match="cut texts into different tokens"):
        objective_on(tmp_path / "teacher", tmp_path / "other", SENTENCES, matching=LayerMatching())
    objective = objective_on(tmp_path / "teacher", tmp_path / "other", SENTENCES)  # vectors may be learned
    assert objective.accumulate(objective.examples, np.random.default_rng(0)).total > 0


def test_a_plain_bert_can_be_the_student(tmp_path: Path) -> None:
    """It pools by the mean, and is saved as a sentence encoder."""
    make_sentence_folder("bert", tmp_path / "teacher")
    make_checkpoint("bert", tmp_path / "plain", seed=4)
    options = TrainingOptions(max_steps=1, device="cpu")
    distill_sentence_encoder(
        tmp_path / "teacher", SENTENCES, output=tmp_path / "run", student=tmp_path / "plain", options=options
    )
    assert munjang.SentenceTransformer(tmp_path / "run").pooling.modes == ("mean",)


def test_the_same_call_resumes_its_run(tmp_path: Path) -> None:
    """A finished run is not trained again, and a run with another goal is another run."""
    make_sentence_folder("bert", tmp_path / "teacher")

    def run(**goals: Any) -> TrainingResult:
        return distill_sentence_encoder(
            tmp_path / "teacher",
            [*SENTENCES, *PAIRS],
            output=tmp_path / "run",
            options=TrainingOptions(max_steps=2, device="cpu"),
            held_out=PAIRS,
            task=EncoderDistillationTask(goals=Goals(**goals), matching=LayerMatching(attention=1.0)),
        )

    assert run() == run()
    with pytest.raises(InputError, match="holds another run: 'goals' is"):
        run(gold=0.0)
