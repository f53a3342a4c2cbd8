"""The loop: it learns, resumes exactly where it was stopped, and keeps its checkpoint when it fails.

What can be wrong: the output folder (another run, other files, not writable), the examples (none), the loss
(no number), memory (runs out), a kill, Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import munjang
from munjang.errors import CheckpointError, InputError, TrainingError
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss, Tally
from munjang.training.loop.watchers import Step, read_log
from munjang.training.options import ClassificationTask
from munjang.training.tasks.classification import TextClassificationObjective
from support.learning import CAREFUL, EXAMPLES, OPTIONS, classifier, tiny_model
from support.processes import python_environment

STEPS = 30  # 40 examples, 8 in a batch, six epochs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("start") / "model")


@pytest.fixture(scope="module")
def whole_run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    train(classifier(model), output, OPTIONS)
    return output


class StopAfter:
    """Asks for a stop, as Ctrl-C does, when an update is done."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGINT) -> None:
        self._step, self._signal = step, number

    def begin(self, steps: int, done: int) -> None:
        self.done = done

    def step(self, step: Step) -> None:
        if step.step == self._step:
            os.kill(os.getpid(), self._signal)

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        pass


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_log(folder / "log.jsonl") if "loss" in line]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(folder / "model.safetensors"))


def test_a_run_learns_and_writes_all_files(whole_run: Path) -> None:
    seen = [loss for _, loss in losses(whole_run)]
    assert [step for step, _ in losses(whole_run)] == list(range(1, STEPS + 1))
    assert np.mean(seen[-3:]) < 0.5 * np.mean(seen[:3])
    names = {path.name for path in whole_run.iterdir()}
    assert {"model.safetensors", "config.json", "report.md", "curves.png", "curves.svg", "run.json"} <= names
    assert "checkpoint" not in names
    assert (whole_run / "curves.png").read_bytes()[:4] == b"\x89PNG"
    report = (whole_run / "report.md").read_text(encoding="utf-8")
    assert "| accuracy | " in report
    assert "| learning_rate | 0.002 |" in report
    assert "munjang.pipeline" in report


def test_the_report_compares_with_the_measures_before_training(model: Path, whole_run: Path) -> None:
    """The measure before the first update equals that of an untrained model with the same seed."""
    before = classifier(model).evaluate()
    first, *others = [line for line in read_log(whole_run / "log.jsonl") if "evaluation" in line]
    assert first == {"step": 0, "evaluation": before, "best": False}
    assert len(others) == 6
    result = train(classifier(model), whole_run, OPTIONS)  # finished: it is read from its file
    assert result.before == before
    after = result.metrics["accuracy"]
    change = f"| accuracy | {before['accuracy']:.4f} | {after:.4f} | {after - before['accuracy']:+.4f} |"
    assert change in (whole_run / "report.md").read_text(encoding="utf-8")


def test_a_run_may_skip_the_first_evaluation(model: Path, whole_run: Path, tmp_path: Path) -> None:
    """It has no effect on the training, so a run may be resumed with or without it."""
    options = replace(OPTIONS, evaluate_first=False)
    with pytest.raises(KeyboardInterrupt):
        train(classifier(model), tmp_path / "run", OPTIONS, watchers=[StopAfter(3, signal.SIGINT)])
    assert train(classifier(model, options), tmp_path / "run", options).before
    assert train(classifier(model, options), tmp_path / "other", options).before == {}
    assert losses(tmp_path / "other") == losses(tmp_path / "run") == losses(whole_run)
    assert "before training" not in (tmp_path / "other" / "report.md").read_text(encoding="utf-8")


class Counted(TextClassificationObjective):
    """Counts its evaluations, and kills the process in the first update on request."""

    measured = 0
    stops = False

    def evaluate(self) -> Mapping[str, float]:
        self.measured += 1
        return super().evaluate()

    def loss(self, examples: Sequence[Any], rng: object) -> Loss:
        if self.stops:
            raise KeyboardInterrupt
        return super().loss(examples, rng)


def test_a_resumed_run_does_not_repeat_the_first_evaluation(model: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, max_steps=1)
    made = Counted(model, EXAMPLES, EXAMPLES[:8], ClassificationTask(), options)
    made.stops = True
    with pytest.raises(KeyboardInterrupt):  # before there is a checkpoint
        train(made, tmp_path / "run", options)
    assert made.measured == 1
    again = Counted(model, EXAMPLES, EXAMPLES[:8], ClassificationTask(), options)
    result = train(again, tmp_path / "run", options)
    assert again.measured == 1  # after the only update
    assert result.before["accuracy"] <= result.metrics["accuracy"] + 1
    lines = [line["step"] for line in read_log(tmp_path / "run" / "log.jsonl") if "evaluation" in line]
    assert lines == [0, 1]


def test_the_trained_model_is_loaded_by_the_pipeline(whole_run: Path) -> None:
    classify = munjang.pipeline("text-classification", str(whole_run))
    found = [classify(example.text)[0]["label"] for example in EXAMPLES]
    assert np.mean([a == b.label for a, b in zip(found, EXAMPLES, strict=True)]) > 0.9


def test_the_same_seed_gives_the_same_run(model: Path, whole_run: Path, tmp_path: Path) -> None:
    train(classifier(model), tmp_path / "again", OPTIONS)
    assert losses(tmp_path / "again") == losses(whole_run)
    other = replace(OPTIONS, seed=2)
    train(classifier(model, other), tmp_path / "other", other)
    assert losses(tmp_path / "other") != losses(whole_run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_resumes_exactly(
    model: Path, whole_run: Path, tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "run"
    watcher = StopAfter(3, number)
    with pytest.raises(KeyboardInterrupt, match="stopped after update 4"):
        train(classifier(model), output, OPTIONS, watchers=[watcher])
    assert (output / "checkpoint" / "last.safetensors").is_file()
    later = StopAfter(0)
    result = train(classifier(model), output, OPTIONS, watchers=[later])
    assert later.done == 4
    assert result.steps == STEPS
    assert losses(output) == losses(whole_run)
    expected = weights(whole_run)
    for name, value in weights(output).items():
        assert np.array_equal(value, expected[name]), name


def test_a_killed_run_resumes_exactly(model: Path, whole_run: Path, tmp_path: Path) -> None:
    code = (
        "import sys, os, signal\n"
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "from support.learning import OPTIONS, classifier\n"
        "from munjang.training.loop.loop import train\n"
        "class Kill:\n"
        "    def begin(self, steps, done): pass\n"
        "    def evaluation(self, *a): pass\n"
        "    def step(self, step):\n"
        "        if step.step == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        "options = replace(OPTIONS, checkpoint_steps=3)\n"
        "train(classifier(Path(sys.argv[1]), options), Path(sys.argv[2]), options, watchers=[Kill()])\n"
    )
    output = tmp_path / "run"
    tests = Path(__file__).parents[2]
    environment = python_environment(tmp_path)
    environment["PYTHONPATH"] += f"{os.pathsep}{tests}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(output)],
        env=environment,
        timeout=120,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert losses(output)[-1][0] in (6, 7)
    options = replace(OPTIONS, checkpoint_steps=3)
    train(classifier(model, options), output, options)
    assert losses(output) == losses(whole_run)


def test_a_full_disk_keeps_the_last_checkpoint(model: Path, whole_run: Path, tmp_path: Path) -> None:
    """From the third update, limit the size of files to slightly less than the first checkpoint."""
    code = (
        "import resource, sys\n"
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "from support.learning import OPTIONS, classifier\n"
        "from munjang.errors import CheckpointError\n"
        "from munjang.training.loop.loop import train\n"
        "class Full:\n"
        "    def begin(self, steps, done): pass\n"
        "    def evaluation(self, *a): pass\n"
        "    def step(self, step):\n"
        "        if step.step == 3: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "options = replace(OPTIONS, checkpoint_steps=2)\n"
        "try:\n"
        "    train(classifier(Path(sys.argv[1]), options), Path(sys.argv[2]), options, watchers=[Full()])\n"
        "except CheckpointError as error:\n"
        "    print(error)\n"
    )
    output = tmp_path / "run"
    environment = python_environment(tmp_path)
    environment["PYTHONPATH"] += f"{os.pathsep}{Path(__file__).parents[2]}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(output)],
        env=environment,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert "Can't write" in done.stdout, done.stderr
    assert "make room" in done.stdout
    assert [path.name for path in (output / "checkpoint").iterdir()] == ["last.safetensors"]
    options = replace(OPTIONS, checkpoint_steps=2)
    resumed = StopAfter(0)
    train(classifier(model, options), output, options, watchers=[resumed])
    assert resumed.done == 2
    assert losses(output) == losses(whole_run)


def test_a_finished_run_is_not_repeated(model: Path, whole_run: Path) -> None:
    before = (whole_run / "model.safetensors").stat().st_mtime_ns
    began = time.perf_counter()
    result = train(classifier(model), whole_run, OPTIONS)
    assert result.steps == STEPS
    assert result.metrics["accuracy"] > 0.9
    assert (whole_run / "model.safetensors").stat().st_mtime_ns == before
    assert time.perf_counter() - began < 30


def test_another_run_is_not_overwritten(model: Path, whole_run: Path) -> None:
    other = replace(OPTIONS, learning_rate=3e-3)
    with pytest.raises(InputError, match=r"another run: 'learning_rate' is 0.003 here and 0.002 there"):
        train(classifier(model, other), whole_run, other)
    with pytest.raises(InputError, match="another run: 'data checksum'"):
        train(classifier(model, examples=[*EXAMPLES[1:], EXAMPLES[1]]), whole_run, OPTIONS)


def test_other_files_are_not_overwritten(model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not empty"):
        train(classifier(model), tmp_path, OPTIONS)


def test_a_read_only_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="Can't write into"):
        train(classifier(model), tmp_path / "file" / "run", OPTIONS)


class Broken(TextClassificationObjective):
    """Has a NaN loss in the fourth update."""

    updates = 0

    def loss(self, examples: Sequence[Any], rng: object) -> Loss:
        self.updates += 1
        loss = super().loss(examples, rng)
        return Loss(loss.total * float("nan") if self.updates == 4 else loss.total, loss.count)


class Huge(TextClassificationObjective):
    """Runs out of memory."""

    def accumulate(self, examples: Sequence[Any], rng: np.random.Generator) -> Tally:
        torch.empty(10**15)
        return super().accumulate(examples, rng)


def _made(kind: type[TextClassificationObjective], model: Path, options: Any) -> TextClassificationObjective:
    return kind(model, EXAMPLES, EXAMPLES[:8], ClassificationTask(), options)


def test_a_nan_loss_stops_the_run(model: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, checkpoint_steps=2)
    with pytest.raises(
        TrainingError, match=r"At update 4 \(epoch 1, examples .*\) the loss is nan; the last"
    ):
        train(_made(Broken, model, options), tmp_path / "run", options)
    assert (tmp_path / "run" / "checkpoint" / "last.safetensors").is_file()
    assert all(np.isfinite(loss) for _, loss in losses(tmp_path / "run"))


def test_running_out_of_memory_is_explained(model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Memory ran out at update 1 with token_budget=8192; try 4096"):
        train(_made(Huge, model, OPTIONS), tmp_path / "run", OPTIONS)


def test_early_stopping(model: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=50, patience=2, evaluation_steps=1, learning_rate=1e-9)
    result = train(classifier(model, options), tmp_path / "run", options)
    assert result.steps < 20


def test_accumulated_and_cut_batches_learn_the_same(tmp_path: Path) -> None:
    start = tiny_model(tmp_path / "model", dropout=0.0)
    runs = {
        "whole": CAREFUL,
        "cut": replace(CAREFUL, token_budget=20),
        "accumulated": replace(CAREFUL, batch_size=4, gradient_accumulation_steps=2),
    }
    for name, options in runs.items():
        train(classifier(start, options), tmp_path / name, options)
    for name in ("cut", "accumulated"):
        found, expected = losses(tmp_path / name), losses(tmp_path / "whole")
        assert len(found) == len(expected) == 10
        np.testing.assert_allclose([x for _, x in found], [x for _, x in expected], atol=2e-5)


def test_two_processes_train_like_a_single_process(tmp_path: Path) -> None:
    """Started as torchrun does it; without dropout, which each process draws for itself."""
    start = tiny_model(tmp_path / "model", dropout=0.0)
    train(classifier(start, CAREFUL), tmp_path / "one", CAREFUL)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from support.learning import CAREFUL, classifier\n"
        "from munjang.training.loop.loop import train\n"
        "train(classifier(Path(sys.argv[1]), CAREFUL), Path(sys.argv[2]), CAREFUL)\n"
    )
    (tmp_path / "learn.py").write_text(code)
    environment = python_environment(tmp_path, {"OMP_NUM_THREADS": "1"})
    environment["PYTHONPATH"] += f"{os.pathsep}{Path(__file__).parents[2]}"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(tmp_path / "learn.py"), str(start), str(tmp_path / "two")],
        env=environment,
        timeout=180,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found, expected = losses(tmp_path / "two"), losses(tmp_path / "one")
    np.testing.assert_allclose([x for _, x in found], [x for _, x in expected], atol=2e-5)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        if not name.endswith("key.bias"):  # its gradient is zero but for rounding, which Adam makes large
            np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)


def test_the_log_of_a_killed_run_may_have_a_truncated_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 1.0}) + '\n{"step": 2, "lo')
    assert read_log(path) == [{"step": 1, "loss": 1.0}]
