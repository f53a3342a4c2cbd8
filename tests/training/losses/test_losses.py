"""Every loss has the value and the gradients of sentence-transformers' loss of the same name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer as Peer
from sentence_transformers.sentence_transformer import losses as theirs
from sentence_transformers.util import dot_score

from munjang.training import losses as ours
from munjang.training.losses.base import Batch, InputExample, SentenceLoss
from support.sentence_training import (
    LABELS,
    assert_same_gradients,
    encoder_without_dropout,
    examples_of,
    gradients,
    objective_on,
)

Make = Callable[[Any], Any]

SCORED = examples_of(2, LABELS)
PAIRS, TRIPLETS = examples_of(2), examples_of(3)
BINARY = examples_of(2, [1, 0, 1, 1, 0])
VECTORS = list(np.random.default_rng(1).standard_normal((5, 32)).astype(np.float32))
MARGINS = [2.0, -1.0, 0.5, 3.0, 1.0]
SCORES = [[5.0, 1.0], [2.0, 3.0], [1.0, 1.0], [4.0, -2.0], [0.0, 0.5]]
TWO_NEGATIVES = [InputExample((*e.texts, other.texts[1]), (2.0, 1.5)) for e, other in zip(
    TRIPLETS, TRIPLETS[1:] + TRIPLETS[:1], strict=True
)]  # fmt: skip


def distance(kind: str, name: str) -> Any:
    return getattr(getattr(theirs, kind), name)


CASES: dict[str, tuple[SentenceLoss, Make, list[InputExample]]] = {
    "cosine": (ours.CosineSimilarityLoss(), theirs.CosineSimilarityLoss, SCORED),
    "cosent": (ours.CoSENTLoss(), theirs.CoSENTLoss, SCORED),
    "cosent-scale": (ours.CoSENTLoss(scale=5), lambda m: theirs.CoSENTLoss(m, scale=5), SCORED),
    "angle": (ours.AnglELoss(), theirs.AnglELoss, SCORED),
    "triplet": (ours.TripletLoss(), theirs.TripletLoss, TRIPLETS),
    "triplet-cosine": (
        ours.TripletLoss("cosine", 0.3),
        lambda m: theirs.TripletLoss(m, distance("TripletDistanceMetric", "COSINE"), 0.3),
        TRIPLETS,
    ),
    "triplet-manhattan": (
        ours.TripletLoss("manhattan", margin=7),
        lambda m: theirs.TripletLoss(m, distance("TripletDistanceMetric", "MANHATTAN"), 7),
        TRIPLETS,
    ),
    "contrastive": (ours.ContrastiveLoss(), theirs.ContrastiveLoss, BINARY),
    "contrastive-euclidean": (
        ours.ContrastiveLoss("euclidean", 9.0),
        lambda m: theirs.ContrastiveLoss(m, distance("SiameseDistanceMetric", "EUCLIDEAN"), 9.0),
        BINARY,
    ),
    "contrastive-manhattan": (
        ours.ContrastiveLoss("manhattan", 40.0),
        lambda m: theirs.ContrastiveLoss(m, distance("SiameseDistanceMetric", "MANHATTAN"), 40.0),
        BINARY,
    ),
    "online": (
        ours.OnlineContrastiveLoss(margin=1.5),
        lambda m: theirs.OnlineContrastiveLoss(m, margin=1.5),
        BINARY,
    ),
    "ranking": (ours.MultipleNegativesRankingLoss(), theirs.MultipleNegativesRankingLoss, PAIRS),
    "ranking-negatives": (ours.MultipleNegativesRankingLoss(), theirs.MultipleNegativesRankingLoss, TRIPLETS),
    "ranking-dot": (
        ours.MultipleNegativesRankingLoss(0.2, "dot", skip_false_negatives=False),
        lambda m: theirs.MultipleNegativesRankingLoss(m, scale=0.2, similarity_fct=dot_score),
        TWO_NEGATIVES,
    ),
    "ranking-duplicates": (
        ours.MultipleNegativesRankingLoss(skip_false_negatives=False),
        theirs.MultipleNegativesRankingLoss,
        [*PAIRS, PAIRS[0]],
    ),
    "cached": (ours.CachedMultipleNegativesRankingLoss(), theirs.MultipleNegativesRankingLoss, TRIPLETS),
    "cached-cached": (
        ours.CachedMultipleNegativesRankingLoss(),
        lambda m: theirs.CachedMultipleNegativesRankingLoss(m, mini_batch_size=2),
        TRIPLETS,
    ),
    "mse": (ours.MSELoss(), theirs.MSELoss, examples_of(1, VECTORS)),
    "mse-two-texts": (ours.MSELoss(), theirs.MSELoss, examples_of(2, VECTORS)),
    "margin": (ours.MarginMSELoss(), theirs.MarginMSELoss, examples_of(3, MARGINS)),
    "margin-scores": (ours.MarginMSELoss(), theirs.MarginMSELoss, examples_of(3, SCORES)),
    "margin-negatives": (ours.MarginMSELoss(), theirs.MarginMSELoss, TWO_NEGATIVES),
    "matryoshka": (
        ours.MatryoshkaLoss(ours.MultipleNegativesRankingLoss(), [8, 32, 16], [0.5, 1, 2]),
        lambda m: theirs.MatryoshkaLoss(m, theirs.MultipleNegativesRankingLoss(m), [8, 32, 16], [0.5, 1, 2]),
        TRIPLETS,
    ),
    "matryoshka-cosent": (
        ours.MatryoshkaLoss(ours.CoSENTLoss(), [32, 8]),
        lambda m: theirs.MatryoshkaLoss(m, theirs.CoSENTLoss(m), [32, 8]),
        SCORED,
    ),
    "matryoshka-cached": (
        ours.MatryoshkaLoss(ours.CachedMultipleNegativesRankingLoss(), [32, 8], [1, 0.5]),
        lambda m: theirs.MatryoshkaLoss(m, theirs.MultipleNegativesRankingLoss(m), [32, 8], [1, 0.5]),
        TRIPLETS,
    ),
    "matryoshka-mse": (
        ours.MatryoshkaLoss(ours.MSELoss(), [32, 8]),
        lambda m: theirs.MatryoshkaLoss(m, theirs.MSELoss(m), [32, 8]),
        examples_of(2, VECTORS),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder_without_dropout(tmp_path_factory.mktemp("losses") / "model")


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients(folder: Path, case: str) -> None:
    loss, make, examples = CASES[case]
    # A budget of few tokens, so that cached losses have several parts.
    objective = objective_on(folder, examples, loss, token_budget=40)
    assert_same_gradients(folder, make(Peer(str(folder), device="cpu")), examples, objective)


def test_softmax(folder: Path) -> None:
    examples = examples_of(2, [0, 2, 1, 1, 0])
    objective = objective_on(folder, examples, ours.SoftmaxLoss(3))
    peer = theirs.SoftmaxLoss(Peer(str(folder), device="cpu"), 32, 3)
    weight, bias = objective.network.more.values()
    with torch.no_grad():
        peer.classifier.weight.copy_(weight)
        peer.classifier.bias.copy_(bias)
    assert_same_gradients(folder, peer, examples, objective)
    for mine, other in ((weight, peer.classifier.weight), (bias, peer.classifier.bias)):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad / 5, other.grad, atol=1e-5, rtol=1e-5)


def test_many_anchors_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    columns = [torch.randn(23, 16, requires_grad=True) for _ in range(3)]
    texts = np.arange(69).reshape(3, 23)
    texts[1, 4] = texts[1, 9]
    found = []
    for cells in (2**22, 7 * 46):
        monkeypatch.setattr("munjang.training.losses.contrastive._SCORES_AT_ONCE", cells)
        total = ours.MultipleNegativesRankingLoss()(Batch(columns, torch.zeros(23), texts))
        found.append([total, *torch.autograd.grad(total, columns)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_text_that_belongs_to_an_anchor_is_not_its_negative(folder: Path) -> None:
    """A duplicate is left out of the negatives of the anchors that it belongs to."""
    repeated = [*PAIRS, PAIRS[0]]
    vectors = torch.tensor(np.random.default_rng(0).standard_normal((2, 6, 8)))
    vectors[:, 5] = vectors[:, 0]
    texts = np.array([[0, 1, 2, 3, 4, 0], [5, 6, 7, 8, 9, 5]])
    loss = ours.MultipleNegativesRankingLoss()

    def value(places: list[int]) -> float:
        columns = [vectors[0, places], vectors[1, places]]
        return float(loss(Batch(columns, torch.zeros(len(places)), texts[:, places])))

    # Only for the anchors 0 and 5 the two are one; each has the loss that it has without the other.
    both, without = value([0, 1, 2, 3, 4, 5]), value([0, 1, 2, 3, 4])
    kept = ours.MultipleNegativesRankingLoss(skip_false_negatives=False)
    all_kept = float(kept(Batch([vectors[0], vectors[1]], torch.zeros(6), texts)))
    assert without < both < all_kept
    first = -torch.log_softmax(
        torch.nn.functional.normalize(vectors[0, :1]) @ torch.nn.functional.normalize(vectors[1, :5]).T * 20,
        dim=1,
    )[0, 0]
    others = [
        -torch.log_softmax(
            torch.nn.functional.normalize(vectors[0, [i]]) @ torch.nn.functional.normalize(vectors[1]).T * 20,
            dim=1,
        )[0, i]
        for i in range(1, 5)
    ]
    assert both == pytest.approx(float(2 * first + sum(others)))
    objective = objective_on(folder, repeated, loss)
    assert objective.conflicts is not None
    np.testing.assert_array_equal(objective.conflicts[0], objective.conflicts[5])


def test_cached_gradients_with_dropout_are_those_of_the_same_dropout(tmp_path: Path) -> None:
    """A cached loss uses the same dropout in both passes: one part equals the uncached loss for its seed."""
    from support.sentences import make_sentence_folder

    folder = tmp_path / "model"
    make_sentence_folder("bert", folder)
    cached = objective_on(folder, TRIPLETS, ours.CachedMultipleNegativesRankingLoss())
    tally = cached.accumulate(cached.examples, np.random.default_rng(5))
    whole = objective_on(folder, TRIPLETS, ours.MultipleNegativesRankingLoss())
    torch.manual_seed(int(np.random.default_rng(5).integers(2**62, size=1)[0]))
    other = whole.accumulate(whole.examples, np.random.default_rng(5))
    assert tally.total == pytest.approx(other.total, rel=1e-6)
    for name, gradient in gradients(whole, 1).items():
        np.testing.assert_allclose(gradients(cached, 1)[name], gradient, atol=1e-5, err_msg=name)
    torch.manual_seed(0)
    without_seed = whole.loss(whole.examples, np.random.default_rng(0))
    assert abs(without_seed.total.item() - tally.total) > 1e-3  # there is dropout


def test_a_cached_loss_needs_memory_for_one_part_only(folder: Path) -> None:
    """For all batch sizes, the tensors kept for the gradients are bounded by the token budget."""

    def kept(loss: SentenceLoss, repeats: int) -> int:
        objective = objective_on(folder, TRIPLETS * repeats, loss, token_budget=60)
        alive = most = 0

        def pack(tensor: torch.Tensor) -> _Kept:
            nonlocal alive, most
            alive += tensor.numel()
            most = max(most, alive)
            return _Kept(tensor, forget)

        def forget(size: int) -> None:
            nonlocal alive
            alive -= size

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.tensor):
            objective.accumulate(objective.examples, np.random.default_rng(0))
        return most

    cached, whole = ours.CachedMultipleNegativesRankingLoss(), ours.MultipleNegativesRankingLoss()
    assert kept(cached, 16) < 2 * kept(cached, 2)
    assert kept(whole, 16) > 6 * kept(whole, 2)
    assert objective_on(folder, TRIPLETS, cached).memory_setting == "token_budget"
    assert objective_on(folder, TRIPLETS, whole).memory_setting == "batch_size"


class _Kept:
    """A tensor kept for the gradients; it reports when it is freed."""

    def __init__(self, tensor: torch.Tensor, forget: Callable[[int], None]) -> None:
        self.tensor, self._forget = tensor, forget

    def __del__(self) -> None:
        self._forget(self.tensor.numel())


def test_a_triplet_of_equal_texts_has_a_gradient() -> None:
    vectors = torch.ones(2, 4, requires_grad=True)
    loss = ours.TripletLoss()(Batch([vectors, vectors, vectors + 1], torch.zeros(2)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
