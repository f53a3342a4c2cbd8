"""Approximate search: high recall, exact scores, and the fallback to exact search."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from munjang.errors import MissingExtraError
from munjang.search.vectors.matrix import VectorMatrix
from support.vectors import IDENTITY, blobs, check, similarities, sort_of

ROWS = sort_of("random", 6000, 16)


def approximate(path: Path | None, similarity: str = "cosine") -> VectorMatrix:
    return VectorMatrix(path, identity=IDENTITY, dimension=16, similarity=similarity, approximate_from=1000)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("graph") / "faq"
    made = approximate(path)
    made.update(blobs(ROWS), [], 3)
    assert made.save()
    facts = made.build_graph()
    assert facts is not None
    assert facts.recall > 0.95
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


@pytest.fixture
def path(stored: dict[str, bytes], tmp_path: Path) -> Path:
    for name, content in stored.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path / "faq"


def recall(made: VectorMatrix, rows: np.ndarray, numbers: list[int]) -> float:
    shares = []
    for query in sort_of("random", 50, 16, seed=1):
        found, scores = made.search(query, 10)
        expected = similarities(rows, query, "cosine")
        best = np.array(numbers)[np.argsort(-expected)[:10]]
        places = np.searchsorted(numbers, found)
        np.testing.assert_allclose(scores, expected[places], atol=3e-7)
        assert (np.diff(scores) <= 0).all()
        shares.append(len(np.intersect1d(best, found)) / 10)
    return float(np.mean(shares))


def test_a_graph_finds_nearly_all_with_exact_scores(path: Path) -> None:
    made = approximate(path)
    assert made.graph is not None
    assert (made.graph.count, made.graph.last, made.graph.stamp.generation) == (6000, 5999, 3)
    assert made.graph.recall > 0.95
    assert recall(made, ROWS, list(range(6000))) > 0.95


def test_exact_and_filtered_searches_do_not_use_the_graph(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make the graph propose a single row, to see which searches use it."""
    made = approximate(path)
    monkeypatch.setattr("munjang.search.vectors.graph.Graph.propose", lambda *_: np.array([17]))
    query = ROWS[40]
    assert made.search(query, 1)[0].tolist() == [17]
    assert made.search(query, 1, exact=True)[0].tolist() == [40]
    assert made.search(query, 1, allowed=np.arange(6000))[0].tolist() == [40]
    assert made.search(query, 2)[0][0] == 40  # it proposed too few


def test_new_rows_are_found_and_removed_rows_are_not(path: Path) -> None:
    made = approximate(path)
    more = sort_of("random", 700, 16, seed=5)
    gone = made.search(ROWS[3], 5)[0].tolist()
    made.update(blobs(more, 6000), gone, 4)
    numbers = [number for number in range(6700) if number not in gone]
    rows = np.concatenate((ROWS, more))[numbers]
    assert made.graph is not None
    assert recall(made, rows, numbers) > 0.95
    assert made.search(more[600], 1)[0].tolist() == [6600]
    assert not set(made.search(ROWS[3], 20)[0].tolist()) & set(gone)
    assert made.save()
    assert recall(approximate(path), rows, numbers) > 0.95


def test_an_outdated_graph_is_not_used(path: Path) -> None:
    made = approximate(path)
    more = sort_of("random", 2000, 16, seed=5)
    made.update(blobs(more, 6000), [], 4)
    assert made.graph is None
    check(made, np.concatenate((ROWS, more)), range(8000), ROWS[3], 10)
    facts = made.build_graph()
    assert facts is not None
    assert (facts.count, facts.stamp.generation) == (8000, 4)


def test_few_rows_need_no_graph() -> None:
    made = approximate(None)
    made.update(blobs(ROWS[:999]), [], 1)
    assert made.build_graph() is None
    check(made, ROWS[:999], range(999), ROWS[3], 10)


def test_a_graph_in_memory_is_used_too() -> None:
    made = approximate(None, "dot")
    made.update(blobs(ROWS[:2000]), [], 1)
    assert made.build_graph() is not None
    assert made.graph is not None


def test_damage_at_any_offset_is_detected(path: Path, stored: dict[str, bytes]) -> None:
    graph, content = path.with_name("faq-graph"), stored["faq-graph"]
    assert approximate(path).graph is not None
    for place in range(0, len(content), 29_989):
        graph.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert approximate(path).graph is None
    for length in (0, 5, 20, 28, 1000, len(content) - 1):
        graph.write_bytes(content[:length])
        made = approximate(path)
        assert made.graph is None
    check(made, ROWS, range(6000), ROWS[3], 10)


@pytest.mark.parametrize("generation", [2, 4])
def test_a_graph_of_another_generation_is_used_if_it_is_older(
    path: Path, stored: dict[str, bytes], generation: int
) -> None:
    made = approximate(path)
    made.update([], [], generation)
    assert made.save()
    path.with_name("faq-graph").write_bytes(stored["faq-graph"])
    assert (approximate(path).graph is None) == (generation == 2)


def test_without_the_extra_search_is_exact(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    made = approximate(path)
    assert made.graph is None
    check(made, ROWS, range(6000), ROWS[3], 10)
    with pytest.raises(MissingExtraError, match=r"pip install .*usearch"):
        made.build_graph()
