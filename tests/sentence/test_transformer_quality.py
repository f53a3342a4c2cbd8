"""Trained models: golden vectors, and the rank correlations that others publish for them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from munjang import SentenceTransformer, util
from munjang.checkpoints import open_checkpoint

GOLDEN = Path(__file__).with_name("golden_vectors.npz")
MODELS = {"all-MiniLM-L6-v2": "minilm", "multilingual-e5-small": "e5"}

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    """Texts, and their vectors by model, as computed by an earlier version of this package."""
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.mark.parametrize("name", MODELS)
def test_golden_vectors(name: str, golden: dict[str, NDArray[Any]]) -> None:
    vectors = SentenceTransformer(name).encode(golden["texts"])
    np.testing.assert_allclose(vectors, golden[MODELS[name]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_golden_vectors_are_those_of_sentence_transformers(
    name: str, golden: dict[str, NDArray[Any]]
) -> None:
    from sentence_transformers import SentenceTransformer as Peer

    peer = Peer(str(open_checkpoint(name).path), device="cpu")
    np.testing.assert_allclose(peer.encode(golden["texts"].tolist()), golden[MODELS[name]], rtol=0, atol=1e-5)


def correlation(model: SentenceTransformer, rows: list[tuple[str, str, float]], **options: str) -> float:
    first, second, scores = zip(*rows, strict=True)
    vectors = [model.encode(list(side), **options) for side in (first, second)]  # type: ignore[arg-type]
    return float(spearmanr(util.pairwise_cos_sim(*vectors), scores).statistic)


@pytest.mark.data
def test_sts_benchmark(data: Path) -> None:
    """The published figure of all-MiniLM-L6-v2 on the test split: 82.03."""
    with (data / "stsb-en/test.csv").open(encoding="utf-8", newline="") as file:
        rows = [(first, second, float(score)) for first, second, score in csv.reader(file)]
    assert len(rows) == 1379
    assert round(100 * correlation(SentenceTransformer("all-MiniLM-L6-v2"), rows), 2) == 82.03


@pytest.mark.data
def test_korsts(data: Path) -> None:
    """The 4-bit multilingual-e5-small of the catalogue, with the prompt that its authors ask for."""
    lines = (data / "korsts/test.tsv").read_text(encoding="utf-8").split("\n")[1:]
    cells = [line.split("\t") for line in lines if line]
    rows = [(row[5], row[6], float(row[4])) for row in cells]
    assert len(rows) == 1379
    model = SentenceTransformer("multilingual-e5-small")
    assert correlation(model, rows, prompt_name="query") == pytest.approx(0.769, abs=0.002)
