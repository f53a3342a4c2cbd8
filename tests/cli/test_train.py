"""`munjang train`: a run from the command line, its options, stopping and resuming it.

What can be wrong with what it is given is in test_train_bad_input.py; what is learned, in tests/training.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import typer

import munjang
from munjang.cli.app import app
from munjang.training.distillation.options import CLASSIFIER_OPTIONS
from munjang.training.loop.watchers import read_log
from munjang.training.options import TrainingOptions
from support.learning import EXAMPLES, tiny_model
from support.processes import run_python
from support.program import Invoke, program_environment

COMMON = ("--epochs", 2, "--batch-size", 8, "--learning-rate", 1e-3, "--device", "cpu")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("start") / "model")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "texts.tsv"
    rows = [f"{one.text}\t{one.label}\n" for one in EXAMPLES]
    path.write_text("text\tlabel\n" + "".join(rows), encoding="utf-8")
    return path


def command(start: Path, texts: Path, output: Path, *more: object) -> tuple[object, ...]:
    given = ("--data", texts, "--model", start, "--output", output)
    return ("train", "classification", *given, *COMMON, *more)


def identity(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "run.json").read_text(encoding="utf-8"))["identity"]
    return found


def test_a_run_and_the_same_command_again(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    given = command(start, texts, tmp_path / "out", "--dev-share", 0.2)
    first = invoke(*given, "--progress")
    assert first.exit_code == 0, first.output
    assert "accuracy" in first.stdout
    assert f"{tmp_path / 'out'}: the model of update" in first.stdout
    assert "step 8 of 8: loss" in first.stderr
    assert munjang.pipeline("text-classification", tmp_path / "out")("정말")[0]["label"] in ("good", "bad")

    again = invoke(*given)
    assert again.exit_code == 0, again.output
    assert "This run was finished before" in again.stdout
    assert again.stderr == ""
    result = json.loads(invoke(*given, "--json").stdout)
    assert list(result) == ["output", "steps", "best_step", "metrics", "before", "seconds"]
    assert (result["output"], result["steps"]) == (str(tmp_path / "out"), 8)
    assert list(result["metrics"]) == ["accuracy", "macro_f1", "matthews"]
    assert f"{result['metrics']['accuracy']:.4f}" in first.stdout


def test_training_and_held_out_examples(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    more = ("--data", texts, "--dev", texts, "--limit", 50, "--labels", "bad,worst, good", "--max-length", 9)
    assert invoke(*command(start, texts, output, *more)).exit_code == 0
    found = identity(output)
    assert (found["examples"], found["held out"], found["longest text in tokens"]) == (50, 40, 9)
    assert found["labels"] == "bad, worst, good"


def test_equal_texts_are_held_out_together(invoke: Invoke, start: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.tsv"
    rows = [f"{one.text}\t{one.label}\n" for one in EXAMPLES[:20] for _ in range(3)]
    twice.write_text("text\tlabel\n" + "".join(rows), encoding="utf-8")
    assert invoke(*command(start, twice, tmp_path / "out", "--dev-share", 0.1)).exit_code == 0
    assert identity(tmp_path / "out")["held out"] == 6  # two texts, three times each


# Another value than the default for every setting.
CHANGED: Mapping[str, object] = {
    "epochs": 1.5, "max_steps": 2, "batch_size": 4, "batch_tokens": 50, "gradient_accumulation_steps": 2,
    "token_budget": 64, "learning_rate": 1e-4, "schedule": "cosine", "warmup_ratio": 0.5,
    "weight_decay": 0.1, "max_grad_norm": 2.0, "adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-7,
    "layer_decay": 0.9, "freeze_layers": 1, "freeze_embeddings": True, "evaluation_steps": 1,
    "evaluate_first": False,
    "checkpoint_steps": 1, "patience": 3, "seed": 7, "device": "cpu", "bfloat16": False,
}  # fmt: skip


@pytest.mark.parametrize("without", [("epochs", "batch_size"), ("max_steps", "batch_tokens")])
def test_every_setting_of_the_loop_is_an_option(
    invoke: Invoke, start: Path, texts: Path, tmp_path: Path, without: tuple[str, str]
) -> None:
    assert set(CHANGED) == {field.name for field in fields(TrainingOptions)}
    options: list[object] = ["--dev-share", 0.1]
    changed = {name: value for name, value in CHANGED.items() if name not in without}
    for name, value in changed.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            options += [f"--{flag}", value]
    given = ("--data", texts, "--model", start, "--output", tmp_path / "out", *options)
    result = invoke("train", "classification", *given)
    assert result.exit_code == 0, result.output
    found = identity(tmp_path / "out")
    wanted = {n: v for n, v in changed.items() if n not in ("evaluate_first", "checkpoint_steps", "device")}
    assert {name: found[name] for name in wanted} == wanted


def options_of(*path: str) -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    for name in path:
        group = group.commands[name]
    return {param.name: param for param in group.params}


@pytest.mark.parametrize(
    ("path", "defaults"),
    [
        (("train", "classification"), TrainingOptions()),
        (("train", "sentences"), TrainingOptions()),
        (("train", "distill", "classification"), CLASSIFIER_OPTIONS),
        (("train", "distill", "scores"), TrainingOptions()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_defaults(path: tuple[str, ...], defaults: TrainingOptions) -> None:
    params = options_of(*path)
    assert {name: params[name].default for name in asdict(defaults)} == asdict(defaults)


def test_a_default_that_depends_on_what_is_trained(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    """The embeddings are frozen by default only in a student made of the teacher's layers."""
    (tmp_path / "texts.txt").write_text("가 나\n다 라\n", encoding="utf-8")
    given = ("--teacher", model, "--data", tmp_path / "texts.txt", "--kind", "texts", "--max-steps", 1)
    for name, more in {"layers": (), "own": ("--student", model), "said": ("--freeze-embeddings",)}.items():
        output = tmp_path / name
        result = invoke("train", "distill", "sentences", *given, *more, "--output", output)
        assert result.exit_code == 0, result.output
        assert identity(output)["freeze_embeddings"] is (name != "own")


# Stopping and resuming


def test_ctrl_c_and_the_same_command_again(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    given = command(start, texts, tmp_path / "out", "--dev", texts, "--epochs", 30)
    process = subprocess.Popen(
        [sys.executable, "-m", "munjang", *map(str, given), "--progress"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=program_environment(tmp_path),
    )
    assert process.stderr is not None
    said = process.stderr.readline()  # an update is done
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, said + rest
    assert out == ""
    last = rest.splitlines()[-1]
    assert last.startswith("Stopped after update ")
    assert last.endswith("; the same command resumes the run.")
    number = int(last.split()[3].rstrip(";"))
    result = invoke(*given)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"Resuming after update {number} of 150.\n"
    steps = [line["step"] for line in read_log(tmp_path / "out" / "log.jsonl") if "loss" in line]
    assert steps == list(range(1, 151))


def test_ctrl_c_before_the_first_update(
    invoke: Invoke, start: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("munjang.training.tasks.classification.train", interrupted)
    result = invoke(*command(start, texts, tmp_path / "out"))
    assert result.exit_code == 130
    assert result.stderr == "Stopped; the same command resumes after the last checkpoint.\n"


# Several processes


def test_only_the_first_process_reports_progress(start: Path, texts: Path, tmp_path: Path) -> None:
    more = ("--dev", texts, "--max-steps", 4, "--json", "--progress")
    given = [part for part in command(start, texts, tmp_path / "out", *more) if part not in COMMON[:2]]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "munjang")
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, given)],
        capture_output=True,
        text=True,
        timeout=180,
        env=program_environment(tmp_path, {"OMP_NUM_THREADS": "1"}),
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert json.loads(line)["steps"] == 4
    assert [said.split(":")[0] for said in done.stderr.splitlines() if said.startswith("step 3")] == [
        "step 3 of 4"
    ]


def test_other_processes_are_silent(
    invoke: Invoke, start: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    for more in (("--labels", "good,fair"), ("--data", tmp_path / "nothing.tsv")):
        result = invoke(*command(start, texts, tmp_path / "out", *more))
        assert (result.exit_code, result.output) == (1, "")


# Without PyTorch

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from munjang.cli import main
sys.argv = ["munjang", "train", "classification", "--data", sys.argv[1], "--output", "out"]
sys.stderr = sys.stdout
try:
    main()
except SystemExit as stopped:
    print(stopped.code)
"""


def test_without_torch(texts: Path, tmp_path: Path) -> None:
    said = run_python(WITHOUT_TORCH, texts, home=tmp_path).splitlines()
    assert said == [
        "munjang: Training needs PyTorch, which is not installed: pip install 'matplotlib>=3.8' 'torch>=2.4'",
        "1",
    ]


def test_help_loads_no_engine(tmp_path: Path) -> None:
    code = """
import sys
from munjang.cli import main
sys.argv = ["munjang", "train", "language-model", "--help"]
try:
    main()
except SystemExit:
    pass
print(sorted({"torch", "numpy", "openvino", "tokenizers"} & set(sys.modules)))
"""
    assert run_python(code, home=tmp_path).splitlines()[-1] == "[]"
