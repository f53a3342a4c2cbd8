"""The matrix of all vectors: it agrees with a comparison with every row, for all kinds of rows."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.search.vectors import matrix as vectors
from munjang.search.vectors import rows as vector_rows
from munjang.search.vectors import scan as vector_scan
from munjang.search.vectors.matrix import VectorMatrix
from support.vectors import SORTS, blobs, check, filled, matrix, sort_of


@pytest.fixture(params=["loose rows", "one segment", "many segments", "three threads"])
def arrangement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Reduce the size of segments, so that few rows form all layouts that many rows have."""
    name: str = request.param
    if name != "loose rows":
        monkeypatch.setattr(vector_rows, "_LOOSE_ROWS", 64)
    if name in ("many segments", "three threads"):
        monkeypatch.setattr(vector_rows, "rows_per_segment", lambda _: 100)
        monkeypatch.setattr(vector_scan, "_FIRST_ROWS", 20)
    if name == "three threads":
        monkeypatch.setattr(vector_scan, "_WORTH_A_THREAD", 1)
        monkeypatch.setattr(vectors, "available_cores", lambda: 3)
    return name


# What a search finds


@pytest.mark.usefixtures("arrangement")
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("sort", SORTS)
def test_a_search_finds_the_best_rows(sort: str, similarity: str) -> None:
    rows = sort_of(sort, 777, 48)
    made = filled(rows, similarity=similarity)
    for number, query in enumerate([*sort_of(sort, 6, 48, seed=1), rows[5], np.zeros_like(rows[0])]):
        check(made, rows, range(777), query, 1 + 4 * number, similarity=similarity)


@pytest.mark.usefixtures("arrangement")
@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 31, 63, 64, 65, 127, 255, 384, 1023, 1024])
def test_every_dimension_is_searched(dimension: int) -> None:
    rows = sort_of("random", 300, dimension)
    made = filled(rows, similarity="dot")
    for query in sort_of("random", 3, dimension, seed=1):
        check(made, rows, range(300), query, 10, similarity="dot")


def test_as_many_rows_as_in_a_real_index_are_searched() -> None:
    rows = sort_of("compressed", 150_000, 32)
    made = filled(rows)
    assert len(made) == 150_000
    for query in sort_of("compressed", 5, 32, seed=1):
        check(made, rows, range(150_000), query, 20)


@pytest.mark.usefixtures("arrangement")
@pytest.mark.parametrize("limit", [0, 1, 499, 500, 501, 10_000])
def test_any_number_of_results_may_be_asked_for(limit: int) -> None:
    rows = sort_of("random", 500, 16)
    check(filled(rows), rows, range(500), rows[0], limit)


def test_an_empty_matrix_finds_nothing(tmp_path: Path) -> None:
    made = matrix(tmp_path / "empty", 4)
    assert made.save()
    for one in (made, matrix(tmp_path / "empty", 4)):
        numbers, scores = one.search(np.ones(4, dtype=np.float32), 10)
        assert (len(one), len(numbers), len(scores), one.generation) == (0, 0, 0, 0)


@pytest.mark.usefixtures("arrangement")
def test_equal_rows_are_ordered_by_number() -> None:
    made = filled(np.tile(sort_of("random", 1, 20), (500, 1)))
    numbers, scores = made.search(sort_of("random", 1, 20, seed=1)[0], 7)
    assert numbers.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert len(set(scores.tolist())) == 1


def test_scores_are_those_of_numpy() -> None:
    rows = sort_of("random", 5000, 384)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    numbers, scores = filled(rows).search(rows[17], 100)
    np.testing.assert_allclose(scores, (rows @ rows[17])[numbers], atol=1e-6)


# Filters


@pytest.mark.usefixtures("arrangement")
@pytest.mark.parametrize("part", [0, 0.004, 0.02, 0.1, 0.5, 0.99, 1])
@pytest.mark.parametrize("step", [1, 3, 10**9])
def test_only_allowed_rows_are_found(part: float, step: int) -> None:
    rows = sort_of("clustered", 600, 24)
    numbers = np.arange(600, dtype=np.int64) * step
    made = matrix(None, 24)
    made.update(((number, row.tobytes()) for number, row in zip(numbers.tolist(), rows, strict=True)), [], 1)
    chosen = np.random.default_rng(2).random(600) < part
    allowed = np.unique(np.concatenate((numbers[chosen], [-5, 10**15])))
    for query in sort_of("clustered", 3, 24, seed=1):
        check(made, rows, numbers, query, 12, allowed=allowed)


@pytest.mark.usefixtures("arrangement")
@pytest.mark.parametrize("allowed", [[3, 4, 5, 6], list(range(300))])
def test_a_removed_row_is_not_found_though_it_is_allowed(allowed: list[int]) -> None:
    rows = sort_of("random", 300, 8)
    made = filled(rows)
    made.update([], [4, 5], 2)
    found, _ = made.search(rows[4], 300, allowed=np.array(allowed, dtype=np.int64))
    assert sorted(found.tolist()) == [number for number in allowed if number not in (4, 5)]


# Changes


@pytest.mark.usefixtures("arrangement")
def test_rows_are_added_and_deleted(tmp_path: Path) -> None:
    rows = sort_of("random", 900, 24)
    made = filled(rows[:400], tmp_path / "vectors")
    query = sort_of("random", 1, 24, seed=1)[0]
    made.update(blobs(rows[400:500], 400), range(0, 400, 3), 2)
    left = [number for number in range(500) if number >= 400 or number % 3]
    check(made, rows[left], left, query, 30)
    assert made.save()
    check(made, rows[left], left, query, 30)
    made.update(blobs(rows[500:], 500), [1, 499, 10**6], 3)
    left = [number for number in [*left, *range(500, 900)] if number not in (1, 499)]
    check(made, rows[left], left, query, 900)
    assert (len(made), made.generation) == (len(left), 3)
    assert made.save()
    again = matrix(tmp_path / "vectors", 24)
    assert (len(again), again.generation, again.unsaved) == (len(left), 3, 0)
    check(again, rows[left], left, query, 30)


@pytest.mark.usefixtures("arrangement")
def test_all_rows_may_be_deleted(tmp_path: Path) -> None:
    made = filled(sort_of("random", 300, 4), tmp_path / "vectors")
    made.update([], range(300), 2)
    assert len(made.search(np.ones(4, dtype=np.float32), 5)[0]) == 0
    assert made.save()
    assert len(matrix(tmp_path / "vectors", 4)) == 0


@pytest.mark.usefixtures("arrangement")
def test_repeated_updates_are_equal() -> None:
    rows = sort_of("random", 300, 8)
    made = filled(rows[:250])
    for _ in range(2):
        made.update(blobs(rows), [], 2)
    for _ in range(2):
        made.update([], [7, 299], 3)
    left = [number for number in range(299) if number != 7]
    check(made, rows[left], left, rows[7], 20)


def test_unsaved_changes_are_counted(tmp_path: Path) -> None:
    rows = sort_of("random", 100, 8)
    made = filled(rows[:80], tmp_path / "vectors")
    assert made.unsaved == 80
    assert made.save()
    made.update(blobs(rows[80:], 80), [3, 4, 90], 2)
    assert made.unsaved == 19 + 2


def test_a_long_update_is_saved_in_steps_with_the_old_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_rows, "rows_per_segment", lambda _: 100)
    monkeypatch.setattr(vector_rows, "_LOOSE_ROWS", 64)
    monkeypatch.setattr(vectors, "_UNSAVED_ROWS", 150)
    monkeypatch.setattr(vectors, "_CHUNK", 100)
    rows = sort_of("random", 1000, 8)
    filled(rows, tmp_path / "vectors", generation=9)  # never saved by its user
    again = matrix(tmp_path / "vectors", 8)
    assert again.generation == 0
    assert 0 < len(again) < 1000
    again.update(blobs(rows), [], 9)
    check(again, rows, range(1000), rows[999], 20)


def test_searches_work_while_rows_are_added_and_deleted(tmp_path: Path) -> None:
    rows = sort_of("random", 20_000, 16)
    made = filled(rows[:5000], tmp_path / "vectors")
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for number in range(300):
                numbers, scores = made.search(rows[number], 1)
                assert (numbers[0], round(float(scores[0]), 5)) == (number, 1.0)
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for start in range(5000, 20_000, 1000):
        made.update(blobs(rows[start : start + 1000], start), [start - 1], start)
        made.save()
    for thread in threads:
        thread.join()
    assert not failures


@settings(max_examples=60, deadline=None)
@given(drawn=st.data())
def test_a_matrix_is_a_dictionary_that_can_be_searched(
    drawn: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_rows, "_LOOSE_ROWS", 5)
        patch.setattr(vector_rows, "rows_per_segment", lambda _: 8)
        patch.setattr(vector_scan, "_FIRST_ROWS", 3)
        path = tmp_path_factory.mktemp("matrix") / "vectors"
        dimension = drawn.draw(st.integers(1, 5))
        component = st.floats(-100, 100, width=32)
        vector = st.lists(component, min_size=dimension, max_size=dimension)
        made, model, next_number = matrix(path, dimension), dict[int, list[float]](), 0
        for generation in range(1, drawn.draw(st.integers(1, 6)) + 1):
            new = {}
            for row in drawn.draw(st.lists(vector, max_size=25)):
                next_number += drawn.draw(st.integers(1, 3))
                new[next_number] = row
            model |= new
            gone = drawn.draw(st.lists(st.sampled_from(sorted(model)), max_size=9)) if model else []
            added = [(number, np.array(row, dtype="<f4").tobytes()) for number, row in new.items()]
            made.update(added, gone, generation)
            model = {number: row for number, row in model.items() if number not in gone}
            if drawn.draw(st.booleans()):
                assert made.save()
                made = matrix(path, dimension)
            numbers = sorted(model)
            rows = np.array([model[n] for n in numbers], dtype=np.float32).reshape(-1, dimension)
            query = np.array(drawn.draw(vector), dtype=np.float32)
            check(made, rows, numbers, query, drawn.draw(st.integers(0, 12)))


# What can't be compared


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float, similarity: str) -> None:
    rows = sort_of("random", 10, 4)
    made = filled(rows, similarity=similarity)
    row = np.array([1, bad, 1, 1], dtype=np.float32)
    with pytest.raises(InputError, match="passage 11"):
        made.update([(10, rows[0].tobytes()), (11, row.tobytes())], [], 2)
    with pytest.raises(InputError, match="query"):
        made.search(row, 3)
    assert (len(made), made.generation) == (10, 1)


def test_huge_rows_are_accepted_for_cosines_and_refused_for_dot_products() -> None:
    row = np.full(4, 3e38, dtype=np.float32)
    numbers, scores = filled(np.stack([row, -row])).search(row, 2)
    assert numbers.tolist() == [0, 1]
    np.testing.assert_allclose(scores, [1, -1], atol=1e-6)
    with pytest.raises(InputError, match="passage 0"):
        filled(row[None], similarity="dot")


def test_tiny_rows_are_compared() -> None:
    rows = np.array([[1e-42, 3e-42], [3e-42, 1e-42], [0, 1e-45]], dtype=np.float32)
    check(filled(rows), rows, range(3), rows[1], 3)


def test_a_vector_of_another_length_is_refused() -> None:
    made = filled(sort_of("random", 3, 4))
    with pytest.raises(InputError, match="passage 3 has 20 bytes"):
        made.update([(3, bytes(20))], [], 2)
    with pytest.raises(InputError, match=r"shape \(4,\)"):
        made.search(np.ones(5, dtype=np.float32), 1)


@pytest.mark.parametrize("numbers", [[12, 11], [12, 12], [5]])
def test_numbers_must_increase(numbers: list[int]) -> None:
    made = matrix(None, 1)
    made.update([(4, bytes(4)), (6, bytes(4))], [], 1)
    with pytest.raises(InputError, match="must grow"):
        made.update([(number, bytes(4)) for number in numbers], [], 2)


def test_an_unknown_similarity_is_refused() -> None:
    with pytest.raises(InputError, match="euclidean"):
        VectorMatrix(None, identity="x", dimension=3, similarity="euclidean")


# The bound that all this rests on


@pytest.mark.parametrize("sort", SORTS)
def test_quantization_error_is_within_its_bound(sort: str) -> None:
    rows = sort_of(sort, 400, 40)
    made = vector_rows.quantize(np.arange(400), rows)
    coded = made.scales.astype(np.float64)[:, None] * made.codes
    rests = rows.astype(np.float64) - made.center - coded * made.weights
    assert (np.linalg.norm(rests, axis=1) <= made.errors).all()
    assert np.linalg.norm(coded, axis=1).max() <= made.reach


def test_few_exact_rows_are_read_for_similar_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sort_of("compressed", 50_000, 128)
    made, read = filled(rows), list[int]()
    score = vector_scan._score

    def counted(
        segment: vector_rows.Segment, positions: NDArray[np.intp], query: vector_scan.Query
    ) -> vector_scan._Scored:
        read.append(len(positions))
        return score(segment, positions, query)

    monkeypatch.setattr(vector_scan, "_score", counted)
    for query in sort_of("compressed", 20, 128, seed=1):
        made.search(query, 10)
    assert sum(read) / 20 < 100
