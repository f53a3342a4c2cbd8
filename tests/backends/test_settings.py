"""Threads and streams reach the engine, and their defaults fit the cores of this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from munjang.backends.cores import available_cores, quota_of_cores
from munjang.backends.openvino import OpenVINOExecutor
from munjang.models.program import LAST_HIDDEN_STATE
from munjang.runtime.model import Model
from support.peers import random_peer
from support.processes import run_python


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    random_peer("bert", path)
    return path


def compiled(model: Model) -> Any:
    return model.runner.compiled(model.program(frozenset({LAST_HIDDEN_STATE})))


@pytest.mark.parametrize(("threads", "streams", "expected"), [(1, None, 1), (2, None, 2), (2, 1, 1)])
def test_settings_reach_the_engine(threads: int, streams: int | None, expected: int, folder: Path) -> None:
    if threads > available_cores():
        pytest.skip("the engine takes no more threads than there are cores")
    model = Model.from_pretrained(folder, threads=threads, streams=streams)
    program = compiled(model)
    engine = program._compiled
    assert engine.get_property("INFERENCE_NUM_THREADS") == threads
    assert engine.get_property("NUM_STREAMS") == expected
    assert model.runner.streams == expected
    assert program._jobs == expected + 1  # one is filled while the others run
    assert engine.get_property("ENABLE_CPU_PINNING") is False
    assert engine.get_property("INFERENCE_PRECISION_HINT").to_dtype() == "float32"


def test_defaults(folder: Path) -> None:
    model = Model.from_pretrained(folder)
    engine = compiled(model)._compiled
    assert engine.get_property("INFERENCE_NUM_THREADS") == available_cores()
    assert engine.get_property("NUM_STREAMS") == available_cores()
    executor = model.runner.executor
    assert isinstance(executor, OpenVINOExecutor)
    assert executor.streams == model.runner.streams == available_cores()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")
def test_cores_obey_the_affinity_mask(folder: Path, tmp_path: Path) -> None:
    code = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from munjang import Model
from munjang.backends.cores import available_cores
print(available_cores(), Model.from_pretrained(sys.argv[1]).runner.streams)
"""
    assert run_python(code, folder, home=tmp_path) == "1 1\n"


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"membership": "0::/\n", "cpu.max": "max 100000\n"}, None),
        ({"membership": "0::/\n", "cpu.max": "150000 100000\n"}, 1.5),
        ({"membership": "0::/a/b\n", "cpu.max": "max 100000", "a/b/cpu.max": "400000 100000"}, 4),
        ({"membership": "0::/a/b\n", "a/cpu.max": "200000 100000", "a/b/cpu.max": "400000 100000"}, 2),
        ({"membership": "0::/a\n", "a/b/cpu.max": "100000 100000"}, None),  # another process's group
        (
            {
                "membership": "1:cpu:/\n0::/\n",
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        (
            {"membership": "1:cpu:/\n", "cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ({"membership": "0::/\n", "cpu.max": "rubbish"}, None),
        ({"membership": "0::/\n", "cpu.max": "100000 0"}, None),
    ],
)
def test_quota_of_control_groups(files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    mount = written(tmp_path, files)
    assert quota_of_cores(mount, mount / "membership") == quota


@pytest.mark.parametrize(("quota", "cores"), [(None, 6), (64.0, 6), (2.4, 2), (2.6, 3), (0.3, 1)])
def test_cores_obey_the_quota(quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr("munjang.backends.cores.quota_of_cores", lambda *_: quota)
    assert available_cores() == cores
