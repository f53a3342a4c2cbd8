"""Mining returns the negatives of sentence-transformers, and never a positive."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sentence_transformers import CrossEncoder as PeerCrossEncoder
from sentence_transformers import SentenceTransformer as Peer
from sentence_transformers import util as theirs
from sentence_transformers.util import hard_negatives

from munjang import CrossEncoder, SentenceTransformer
from munjang.data.examples import Contrast
from munjang.errors import InputError, InputTypeError
from munjang.training.options import MiningTask
from munjang.training.sentences.mining import mine_hard_negatives
from support.learning import with_task
from support.sentences import make_pair_checkpoint, make_sentence_folder

WORDS = ["cat", "man", "eating", "food", "한국", "수도는", "girl", "축구는", "woods", "baby"]
ANCHORS = [f"{a} is {b}" for a, b in product(WORDS[:4], WORDS[4:9])]
POSITIVES = [f"{b} and {a} too" for a, b in product(WORDS[:4], WORDS[4:9])]
PAIRS = [*zip(ANCHORS, POSITIVES, strict=True), (ANCHORS[0], POSITIVES[7]), (ANCHORS[3], POSITIVES[3])]
CORPUS = [f"{a} {b} 그리고 {a}" for a, b in product(WORDS[2:8], WORDS[3:7])]


class Table(Mapping[str, Any]):
    """The parts of a `datasets.Dataset`, and of its pandas form, that the mining of the peer uses."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns

    @classmethod
    def from_dict(cls, columns: dict[str, list[Any]]) -> Table:
        return cls(columns)

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns["anchor"])

    def to_pandas(self) -> Table:
        return self

    def groupby(self, name: str) -> Table:
        self.grouped = name
        return self

    def count(self) -> Table:
        return self

    def to_dict(self) -> dict[str, dict[str, int]]:
        rows = self.columns[self.grouped]
        return {"positive": {key: rows.count(key) for key in rows}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mining")
    prompts = {"query": "question: ", "document": "text: "}
    # Of this seed no two texts are so alike to a third that rounding decides their order.
    make_sentence_folder("bert", folder / "encoder", prompts=prompts, seed=2)
    make_pair_checkpoint("bert", folder / "judge")
    return folder


@pytest.fixture(scope="module")
def model(models: Path) -> SentenceTransformer:
    return SentenceTransformer(models / "encoder")


@pytest.fixture(scope="module")
def peer(models: Path) -> Any:
    return Peer(str(models / "encoder"), device="cpu")


@pytest.fixture
def peers_mining(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The peer's own function; `datasets`, which holds its tables, need not be installed."""
    module = ModuleType("datasets")
    module.Dataset = Table  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "datasets", module)
    monkeypatch.setattr(hard_negatives, "is_datasets_available", lambda: True)
    return theirs.mine_hard_negatives


def rows_of(contrasts: list[Contrast]) -> list[tuple[str, ...]]:
    return [(c.anchor, c.positive, *c.negatives) for c in contrasts]


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tuples": {"output_format": "n-tuple", "num_negatives": 4},
    "range": {"range_min": 3, "range_max": 12},
    "absolute": {"absolute_margin": 0.02},
    "relative": {"relative_margin": 0.015, "range_min": 1, "num_negatives": 2},
    "limits": {"max_score": 0.95, "min_score": 0.9, "output_format": "n-tuple"},
    "beyond the corpus": {"range_max": 200, "num_negatives": 100},
    "few": {"absolute_margin": 0.02, "output_format": "n-tuple", "num_negatives": 5},
    "prompt": {"query_prompt": "오늘 ", "corpus_prompt_name": "query"},
}


@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("with_corpus", [False, True])
def test_as_the_peer(
    model: SentenceTransformer, peer: Any, peers_mining: Any, case: str, with_corpus: bool
) -> None:
    corpus = CORPUS if with_corpus else None
    table = Table({"anchor": [a for a, _ in PAIRS], "positive": [p for _, p in PAIRS]})
    found = peers_mining(table, peer, corpus=corpus, verbose=False, **SETTINGS[case])
    ours = mine_hard_negatives(model, PAIRS, corpus, task=MiningTask(**SETTINGS[case]))
    wanted = list(zip(*(found[name] for name in found), strict=True))
    assert rows_of(ours) == wanted
    assert wanted


@pytest.mark.parametrize("settings", [{"max_score": 0.6}, {"absolute_margin": 0.0}, {}])
def test_as_the_peer_with_a_cross_encoder(
    models: Path, model: SentenceTransformer, peer: Any, peers_mining: Any, settings: dict[str, Any]
) -> None:
    table = Table({"anchor": [a for a, _ in PAIRS], "positive": [p for _, p in PAIRS]})
    found = peers_mining(
        table,
        peer,
        cross_encoder=PeerCrossEncoder(str(models / "judge"), device="cpu"),
        range_max=15,
        verbose=False,
        **settings,
    )
    ours = mine_hard_negatives(
        model,
        PAIRS,
        cross_encoder=CrossEncoder(models / "judge"),
        task=MiningTask(range_max=15, **settings),
    )
    assert rows_of(ours) == list(zip(*(found[name] for name in found), strict=True))
    assert ours


def test_random_negatives_are_candidates_and_reproducible(model: SentenceTransformer) -> None:
    def mined(**settings: Any) -> list[Contrast]:
        task = MiningTask(range_min=2, range_max=12, output_format="n-tuple", **settings)
        return mine_hard_negatives(model, PAIRS, CORPUS, task=task)

    candidates = mined(num_negatives=10)
    drawn = mined(sampling_strategy="random")
    assert drawn == mined(sampling_strategy="random")
    assert drawn != mined()
    assert drawn != mined(sampling_strategy="random", seed=2)
    for many, few in zip(candidates, drawn, strict=True):
        assert (many.anchor, many.positive) == (few.anchor, few.positive)
        assert len(set(few.negatives)) == 3
        order = [many.negatives.index(text) for text in few.negatives]
        assert order == sorted(order)


def test_positives_are_never_negatives(model: SentenceTransformer) -> None:
    """Neither another positive of the same anchor, nor the anchor, nor these in another Unicode form."""
    same = unicodedata.normalize("NFD", "한국 수도는")
    pairs = [Contrast("한국 수도는", "girl"), Contrast("한국 수도는", "한국"), Contrast("cat", "baby")]
    corpus = [same, unicodedata.normalize("NFD", "한국"), "food", "한국 수도는", "man"]
    found = mine_hard_negatives(
        model, pairs, corpus, task=MiningTask(num_negatives=3, output_format="n-tuple")
    )
    assert {c.anchor: set(c.negatives) for c in found}["한국 수도는"] == {"food", "man", "baby"}
    assert [c.positive for c in found if c.anchor == "한국 수도는"] == [
        "girl",
        unicodedata.normalize("NFD", "한국"),
    ]


def test_block_sizes_do_not_change_the_result(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mine_hard_negatives(
        model, PAIRS, CORPUS, task=MiningTask(sampling_strategy="random", range_max=20)
    )
    monkeypatch.setattr("munjang.training.sentences.mining._QUERIES_AT_ONCE", 3)
    assert (
        mine_hard_negatives(model, PAIRS, CORPUS, task=MiningTask(sampling_strategy="random", range_max=20))
        == whole
    )


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "manhattan"])
def test_by_the_similarity_of_the_model(models: Path, peers_mining: Any, similarity: str) -> None:
    model = SentenceTransformer(models / "encoder", similarity_fn_name=similarity)
    peer = Peer(str(models / "encoder"), device="cpu", similarity_fn_name=similarity)
    table = Table({"anchor": ANCHORS, "positive": POSITIVES})
    found = peers_mining(table, peer, verbose=False, absolute_margin=0.01)
    ours = mine_hard_negatives(
        model, list(zip(ANCHORS, POSITIVES, strict=True)), task=MiningTask(absolute_margin=0.01)
    )
    assert rows_of(ours) == list(zip(*(found[name] for name in found), strict=True))


BAD: dict[str, tuple[Any, dict[str, Any], type[Exception]]] = {
    "no pairs": ([], {}, InputError),
    "none wanted": (PAIRS, {"num_negatives": 0}, InputError),
    "range below 0": (PAIRS, {"range_min": -1}, InputError),
    "narrow range": (PAIRS, {"range_min": 4, "range_max": 6}, InputError),
    "strategy": (PAIRS, {"sampling_strategy": "best"}, InputError),
    "format": (PAIRS, {"output_format": "table"}, InputError),
    "prompt": (PAIRS, {"query_prompt_name": "nobody"}, InputError),
    "triples": ([("a", "b", "c")], {}, InputTypeError),
    "numbers": ([("a", 1)], {}, InputTypeError),
    "one text": (PAIRS, {"corpus": "a text"}, InputTypeError),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(model: SentenceTransformer, case: str) -> None:
    pairs, settings, error = BAD[case]
    with pytest.raises(error):
        mine_hard_negatives(model, pairs, **with_task(MiningTask, settings))


def test_a_cross_encoder_with_several_labels(model: SentenceTransformer, tmp_path: Path) -> None:
    make_pair_checkpoint("bert", tmp_path / "judge", labels=3)
    with pytest.raises(InputError, match="one label"):
        mine_hard_negatives(model, PAIRS, cross_encoder=CrossEncoder(tmp_path / "judge"))


def test_a_progress_bar_is_shown(
    model: SentenceTransformer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # draw it although the test has no terminal
    quiet = mine_hard_negatives(model, PAIRS)
    assert capfd.readouterr().err == ""
    assert mine_hard_negatives(model, PAIRS, show_progress_bar=True) == quiet
    assert "Mining negatives" in capfd.readouterr().err
    assert np.all([contrast.negatives for contrast in quiet])
