"""Every engine prepares each batch exactly once; Ray's also when its workers are killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang import SentenceTransformer
from munjang.errors import InputError, MissingExtraError, UnknownModelError
from munjang.search.documents import Document, Entry
from munjang.search.prepare import Engine, LocalEngine, Preparer
from munjang.search.ray import RayEngine
from munjang.search.settings import IndexSettings, new_index
from munjang.search.text.analysis import analyzer_named
from support.engines import DeadlyBatch, WatchedBatch, descendants

BATCHES = 12


@pytest.fixture(scope="module")
def ray_engine() -> Iterator[RayEngine]:
    """An engine on a cluster of two workers, for all tests of this file."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    engine = RayEngine(workers=2)
    before = set(descendants(os.getpid()))
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # workers import tests/support
        with engine.connected():
            yield engine
    assert not ray.is_initialized()
    assert set(descendants(os.getpid())) <= before


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "local":
        return LocalEngine()
    found: RayEngine = request.getfixturevalue("ray_engine")
    return found


@pytest.fixture(scope="module")
def settings(folder: Path) -> IndexSettings:
    _, settings = new_index({"model": folder, "analyzer": "hangul-bigrams"})
    return settings


def batch(number: int, size: int = 5) -> list[Document]:
    return [
        Document(id=f"{number}-{place}", fields={"text": f"{number * 7 + place} 번째 문장 " * 3})
        for place in range(size)
    ]


def check_same(found: Sequence[Entry], expected: Sequence[Entry]) -> None:
    assert [one.document for one in found] == [one.document for one in expected]
    assert [one.digest for one in found] == [one.digest for one in expected]
    for one, other in zip(found, expected, strict=True):
        for passage, wanted in zip(one.passages, other.passages, strict=True):
            assert (passage.field, passage.start, passage.end) == (wanted.field, wanted.start, wanted.end)
            assert passage.words == wanted.words
            assert passage.vector is not None
            assert wanted.vector is not None
            np.testing.assert_allclose(passage.vector, wanted.vector, atol=1e-6)


def test_each_batch_comes_once(
    engine: Engine, settings: IndexSettings, folder: Path, model: SentenceTransformer
) -> None:
    preparer = Preparer(settings, model, analyzer_named(settings.analyzer))
    expected = {one[0].document.id: one for one in (preparer.prepare(batch(n)) for n in range(BATCHES))}
    for entries in engine.run(settings, str(folder), (batch(number) for number in range(BATCHES))):
        check_same(entries, expected.pop(entries[0].document.id))
    assert expected == {}


def test_an_empty_input(engine: Engine, settings: IndexSettings, folder: Path) -> None:
    assert list(engine.run(settings, str(folder), [])) == []


def test_batches_are_read_lazily(engine: Engine, settings: IndexSettings, folder: Path) -> None:
    read = 0

    def endless() -> Iterator[list[Document]]:
        nonlocal read
        while True:
            read += 1
            yield batch(read)

    results = engine.run(settings, str(folder), endless())
    for _ in range(5):
        next(results)
    assert read <= 5 + 4  # two workers, each with one at work and one that waits
    results.close()  # type: ignore[attr-defined] # of a generator


def test_errors_of_workers_reach_the_caller(engine: Engine, settings: IndexSettings, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(UnknownModelError, match="missing"):
        list(engine.run(replace(settings, model=missing), missing, [batch(0)]))


def test_the_model_that_is_open_is_used(settings: IndexSettings, model: SentenceTransformer) -> None:
    (entries,) = LocalEngine(model).run(settings, "nowhere", [batch(0)])
    assert len(entries) == 5


# Workers that end


def began(log: Path) -> list[tuple[int, int]]:
    """Return the batches with the processes that began them."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(int(number), int(process)) for number, process in lines]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_workers_lose_no_document(
    ray_engine: RayEngine, settings: IndexSettings, folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    batches = [WatchedBatch(number, batch(number, 200), log) for number in range(BATCHES)]
    done: list[int] = []
    killed: dict[int, tuple[list[int], int]] = {}  # process -> what was acknowledged then, what was begun
    for entries in ray_engine.run(settings, str(folder), batches):
        done.append(int(str(entries[0].document.id).split("-")[0]))
        assert [one.document for one in entries] == batch(done[-1], 200)
        if len(done) in (2, 6):
            worker = next(process for _, process in reversed(began(log)) if process not in killed)
            assert worker in set(descendants(os.getpid()))
            os.kill(worker, signal.SIGKILL)
            killed[worker] = list(done), len(began(log))
    assert sorted(done) == list(range(BATCHES))
    order = [number for number, _ in began(log)]
    for acknowledged, begun in killed.values():  # what was safe is never begun again
        assert not set(acknowledged) & set(order[begun:])
    assert BATCHES <= len(order) <= BATCHES + 2 * len(killed)


def test_a_batch_that_ends_its_worker_is_named(
    ray_engine: RayEngine, settings: IndexSettings, folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    batches: list[Any] = [batch(0), DeadlyBatch(1, batch(1), log), batch(2)]
    done: list[list[Entry]] = []
    with pytest.raises(InputError, match=r"Batch 2 \(documents '1-0' to '1-4'\) failed 3 times") as error:
        done.extend(ray_engine.run(settings, str(folder), batches))
    assert "memory" in str(error.value)
    assert 3 <= len(began(log)) <= 4  # the first time it may have been taken for the other batch's fault


def test_a_worker_continues_after_a_failed_batch(
    ray_engine: RayEngine, settings: IndexSettings, folder: Path
) -> None:
    broken: Any = [Document(id="x", fields={"text": None})]  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"Batch 1 \(documents 'x'\) failed 3 times.*Error"):
        list(ray_engine.run(settings, str(folder), [broken, batch(0)]))
    assert len(list(ray_engine.run(settings, str(folder), [batch(0)]))) == 1


# Ray itself


def test_without_ray(monkeypatch: pytest.MonkeyPatch, settings: IndexSettings) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*ray"):
        next(RayEngine().run(settings, "tiny", [batch(0)]))


def test_the_number_of_workers_must_be_positive() -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        RayEngine(workers=0)


def test_no_telemetry_is_sent(ray_engine: RayEngine) -> None:
    from ray._common.usage.usage_lib import usage_stats_enabled

    assert not usage_stats_enabled()
