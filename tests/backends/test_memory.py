"""A model's file is memory-mapped and never changed; only used rows of a large vocabulary take memory."""

from __future__ import annotations

import gc
import hashlib
import json
import time
import weakref
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from munjang.backends.openvino import build_graph
from munjang.backends.registry import BACKENDS
from munjang.models.program import LAST_HIDDEN_STATE
from munjang.runtime import runner
from munjang.runtime.model import Model
from support.peers import random_peer, reference
from support.processes import run_python

VOCABULARY, WIDTH = 120_000, 64
TABLE = VOCABULARY * WIDTH * 4 / 2**20  # 29 MB

USE = """
import json, sys
import numpy as np
from munjang import Model
def memory():
    status = dict(line.split(":") for line in open("/proc/self/status"))
    return {name: int(status[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon")}
model = Model.from_pretrained(sys.argv[1], backend=sys.argv[2])
model.runner.compiled(model.program(frozenset({"last_hidden_state"})))
before = memory()
for _ in range(3):
    model(np.arange(240).reshape(8, 30) % 60, outputs=["last_hidden_state"])
print(json.dumps([before, memory()]))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("large")
    settings = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": 1}
    return random_peer("bert", folder, settings=settings), folder


def inputs() -> dict[str, Any]:
    ids = np.random.default_rng(0).integers(0, VOCABULARY, size=(8, 30))
    ids[0, :2] = (0, VOCABULARY - 1)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("backend", ["openvino", "numpy"])
def test_a_large_vocabulary_is_not_read_whole(backend: str, large: tuple[Any, Path], tmp_path: Path) -> None:
    small = tmp_path / "small"
    random_peer("bert", small, settings={"hidden_size": WIDTH, "num_hidden_layers": 1})
    used = {
        name: json.loads(run_python(USE, folder, backend, home=tmp_path))
        for name, folder in (("large", large[1]), ("small", small))
    }
    (compiled, ran), (small_compiled, small_ran) = used["large"], used["small"]
    assert compiled["VmHWM"] - small_compiled["VmHWM"] < TABLE / 4  # nothing of it is read in advance
    # Later, how much of a file the system maps around a row that is read is its own affair.
    assert ran["RssAnon"] - small_ran["RssAnon"] < TABLE / 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_large_vocabulary_gives_the_same(backend: str, large: tuple[Any, Path]) -> None:
    """Also from a float16 file, whose table is widened, and after the vocabulary has grown."""
    peer, folder = large
    expected = reference(peer, inputs())["last_hidden_state"].numpy()
    model = Model.from_pretrained(folder, backend=backend)
    for _ in range(2):
        output = model(**inputs()).last_hidden_state
        assert output is not None
        assert np.abs(output - expected).max() < 1e-5
    model.resize_token_embeddings(VOCABULARY + 5)
    output = model(**inputs()).last_hidden_state
    assert output is not None
    assert np.abs(output - expected).max() < 1e-5
    assert model([VOCABULARY + 4]).last_hidden_state is not None


def test_a_large_half_precision_vocabulary(large: tuple[Any, Path], tmp_path: Path) -> None:
    peer = deepcopy(large[0]).to(torch.float16)
    peer.save_pretrained(tmp_path)
    expected = reference(peer.float(), inputs())["last_hidden_state"].numpy()
    output = Model.from_pretrained(tmp_path)(**inputs()).last_hidden_state
    assert output is not None
    assert np.abs(output - expected).max() < 1e-5


def test_a_large_table_is_an_input_of_the_graph(large: tuple[Any, Path]) -> None:
    model = Model.from_pretrained(large[1])
    graph = build_graph(model.program(frozenset({LAST_HIDDEN_STATE})), model.weights)
    [(name, table)] = [(name, array) for name, array in graph.fixed.items() if array.ndim == 2]
    assert name == "embeddings.word_embeddings.weight"
    assert np.shares_memory(table, model.weights[name])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_file_is_not_changed(backend: str, tmp_path: Path) -> None:
    random_peer("bert", tmp_path)
    file = tmp_path / "model.safetensors"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    file.chmod(0o400)
    model = Model.from_pretrained(tmp_path, backend=backend)
    for _ in range(3):
        model(np.random.default_rng(0).integers(0, 67, size=(8, 30)), output_attentions=True)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    for name in model.weights:
        assert not model.weights[name].flags.writeable


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_of_a_released_model_is_freed(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_peer("bert", tmp_path, settings={"hidden_size": WIDTH, "num_hidden_layers": 1})
    model = Model.from_pretrained(tmp_path, backend=backend)
    model(np.arange(1, 13).reshape(2, 6), outputs=["last_hidden_state"])
    compiled = weakref.ref(model.runner.compiled(model.program(frozenset({LAST_HIDDEN_STATE}))))
    assert compiled() is not None
    time.sleep(0.5)
    monkeypatch.setattr(runner, "_GRACE", 0.0)
    del model
    gc.collect()
    assert compiled() is None
