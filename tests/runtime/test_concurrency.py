"""Concurrent callers, callers that stop early, failures during a run, and forked processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from munjang.backends.registry import BACKENDS
from munjang.models.program import LOGITS
from munjang.runtime.model import Model
from munjang.runtime.runner import pack
from munjang.tokenization import TokenIds
from support.peers import random_peer
from support.processes import python_environment, run_python

HEAD = "sequence-classification"
GENERATOR = np.random.default_rng(0)
TEXTS = [
    TokenIds(GENERATOR.integers(0, 67, size=length).tolist())
    for length in GENERATOR.integers(2, 40, size=120)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    random_peer("bert", path, head=True, settings={"initializer_range": 0.1, "num_hidden_layers": 2})
    return path


@pytest.fixture(scope="module", params=BACKENDS)
def model(request: pytest.FixtureRequest, folder: Path) -> Model:
    return Model.from_pretrained(folder, HEAD, backend=request.param)


def logits_of(model: Model, texts: Sequence[TokenIds], budget: int = 100, edit: Any = None) -> NDArray[Any]:
    found = np.full((len(texts), 3), np.nan, dtype=np.float32)
    program = model.program(frozenset({LOGITS}))
    for done in model.runner.run(program, texts, token_budget=budget, edit=edit):
        found[done.indices] = done.outputs[LOGITS]
    return found


def close(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    return bool(np.abs(ours - theirs).max() < 1e-5)


def test_several_threads_share_a_model(model: Model) -> None:
    expected = logits_of(model, TEXTS)

    def one(start: int) -> bool:
        part = TEXTS[start : start + 30]
        answers = [logits_of(model, part, budget=40 + start) for _ in range(2)]
        single = model(np.array([part[0].input_ids])).logits
        assert single is not None
        same = [close(answer, expected[start : start + 30]) for answer in answers]
        return all(same) and close(single[0], expected[start])

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(one, range(0, 90, 5)))


def test_several_threads_compile_at_once(folder: Path) -> None:
    model = Model.from_pretrained(folder, HEAD)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: logits_of(model, TEXTS[:9]), range(6)))
    assert all(close(logits, found[0]) for logits in found)


def test_a_caller_that_stops_early(model: Model) -> None:
    expected = logits_of(model, TEXTS)
    program = model.program(frozenset({LOGITS}))
    for taken in (0, 1, 4):
        stopped = model.runner.run(program, TEXTS, token_budget=60)
        for _ in range(taken):
            next(stopped)
        del stopped
        assert close(logits_of(model, TEXTS), expected)
    waiting = model.runner.run(program, TEXTS, token_budget=60)
    next(waiting)
    assert close(logits_of(model, TEXTS), expected)  # while the other call has not gone on
    assert len(list(waiting)) > 10


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_while_batches_are_made(failure: type[BaseException], model: Model) -> None:
    expected = logits_of(model, TEXTS)
    packed = 0

    def fail(batch: Any, _: Sequence[int]) -> Any:
        nonlocal packed
        packed += 1
        if packed == 5:
            raise failure("in the middle")
        return batch

    with pytest.raises(failure, match="in the middle"):
        logits_of(model, TEXTS, edit=fail)
    assert close(logits_of(model, TEXTS), expected)


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_while_results_are_used(failure: type[BaseException], model: Model) -> None:
    expected = logits_of(model, TEXTS)

    def use() -> None:
        results = model.runner.run(model.program(frozenset({LOGITS})), TEXTS, token_budget=60)
        for number, _ in enumerate(results):
            if number == 3:
                raise failure("in the middle")

    with pytest.raises(failure, match="in the middle"):
        use()
    assert close(logits_of(model, TEXTS), expected)


def test_a_failure_inside_the_engine(model: Model) -> None:
    """`pack` never creates index arrays of a wrong shape; an edit of the batch could."""
    expected = logits_of(model, TEXTS)

    def spoil(batch: Any, _: Sequence[int]) -> Any:
        return replace(batch, attention_bias=np.zeros((len(batch.rows), 1, 1, 99), dtype=np.float32))

    with pytest.raises((RuntimeError, ValueError)):
        logits_of(model, TEXTS, edit=spoil)
    assert close(logits_of(model, TEXTS), expected)
    whole = model.runner.run_batch(model.program(frozenset({LOGITS})), pack(TEXTS, model.runner.layout))
    assert close(whole[LOGITS], expected)


ENCODE = """
import sys, warnings
import numpy as np
from munjang import Model
warnings.simplefilter("ignore")  # newer Pythons warn of any fork beside threads
model = Model.from_pretrained(sys.argv[1], "sequence-classification")
ids = np.random.default_rng(0).integers(0, 67, size=(64, 30))
def answer():
    return model(ids).logits.tobytes().hex()
"""


def test_two_processes_at_once(folder: Path, tmp_path: Path) -> None:
    """Each uses all cores, and both finish."""
    code = ENCODE + "print([answer() for _ in range(20)][-1])"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdout=subprocess.PIPE,
            env=python_environment(tmp_path),
            text=True,
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert answers[0] == answers[1] != ""


def test_a_forked_process_can_run_the_model(folder: Path, tmp_path: Path) -> None:
    """The engine's threads do not exist in the child; a server that loads a model and forks must not hang."""
    code = (
        ENCODE
        + """
import faulthandler, multiprocessing
faulthandler.dump_traceback_later(60, exit=True)
before = answer()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.starmap(answer, [()] * 4) == [before] * 4
assert answer() == before
"""
    )
    if sys.platform == "linux":
        run_python(code, folder, home=tmp_path)


def test_a_forked_process_after_a_model_was_released(folder: Path, tmp_path: Path) -> None:
    """The engine keeps the threads of released models; in a forked process they are missing."""
    code = (
        ENCODE
        + """
import faulthandler, gc, multiprocessing
from munjang.runtime import runner
faulthandler.dump_traceback_later(60, exit=True)
runner._GRACE = 0
before = answer()
other = Model.from_pretrained(sys.argv[1], "sequence-classification")
other(ids)
del other
gc.collect()
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.apply(answer) == before
"""
    )
    if sys.platform == "linux":
        run_python(code, folder, home=tmp_path)


def test_a_signal_after_another_thread_released_the_last_model(folder: Path, tmp_path: Path) -> None:
    """On a CPU with AMX, unloading the engine in another thread unmaps this thread's signal stack."""
    code = (
        ENCODE
        + """
import gc, os, signal, threading, time
from munjang.runtime import runner
runner._GRACE = 0
answer()
def release():
    del globals()["model"]
    gc.collect()
thread = threading.Thread(target=release)
thread.start()
thread.join()
assert not runner._retired
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert run_python(code, folder, home=tmp_path) == "interrupted\n"


def test_a_process_ends_while_requests_run(folder: Path, tmp_path: Path) -> None:
    code = (
        ENCODE
        + """
from munjang.tokenization import TokenIds
program = model.program(frozenset({"logits"}))
results = model.runner.run(program, [TokenIds([5] * 40)] * 500, token_budget=40)
next(results)
print("left")
"""
    )
    assert run_python(code, folder, home=tmp_path) == "left\n"
