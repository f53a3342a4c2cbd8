"""Bad input of `munjang train`: one line on standard error, and no traceback.

What can be wrong: labels (outside of the map, one class), data (none, a missing column, tags beyond their
text, answers that are not at their place), the output folder (another run, other files, not writable), the
model, settings that are out of range or do not go together, no GPU.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from support.learning import EXAMPLES, tiny_model
from support.program import Invoke

pytestmark = pytest.mark.usefixtures("_offline")


@pytest.fixture
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUNJANG_CACHE", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("start") / "model")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return written(tmp_path / "texts.tsv", "".join(f"{one.text}\t{one.label}\n" for one in EXAMPLES[:16]))


def written(path: Path, rows: str, header: str = "text\tlabel\n") -> Path:
    path.write_text(header + rows, encoding="utf-8")
    return path


def the_line(result: Any) -> str:
    """Return the only line of an error; check that standard output is empty."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("munjang: ")
    assert result.stderr.count("\n") == 1
    return str(result.stderr)


def usage(result: Any) -> str:
    """Return typer's message about invalid options, without its box."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.replace("│", " ").split())


def train(invoke: Invoke, task: str, data: Path, output: Path, *more: object) -> Any:
    given = ("--data", data, "--output", output, "--max-steps", 1, "--device", "cpu", "--offline", *more)
    return invoke("train", *task.split(), *given)


# Data


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ("가\t1\n나\t0\n", ("--labels", "1,2"), "The label '0' is not one of '1', '2'."),
        ("", (), "has no rows"),
        ("가\t1\n나\t1\n", (), "Every example has the label '1'; there must be two labels at least."),
        ("가\t1\n나\t0\n", ("--label", "kind"), "has no column 'kind'"),
        ("가\t1\n나\t\n", (), "line 3"),
        ("가\t1\n나\tgood\n", ("--regression",), "'good'"),
        ("가\t1\n나\t0\n", ("--dev-share", 0.9, "--limit", 1), "Too few examples to split: 1 example."),
        ("가\t1\n나\t0\n", ("--dev-share", 1.5), "a share must be between 0 and 1"),
    ],
    ids=["outside-the-map", "empty", "one-class", "column", "no-label", "no-number", "too-few", "share"],
)
def test_classification_data(
    invoke: Invoke, start: Path, tmp_path: Path, rows: str, more: tuple[object, ...], message: str
) -> None:
    data = written(tmp_path / "data.tsv", rows)
    result = train(invoke, "classification", data, tmp_path / "out", "--model", start, *more)
    assert message in the_line(result)
    assert not (tmp_path / "out").exists()


def test_labels_of_held_out_data(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    dev = written(tmp_path / "dev.tsv", "정말\tfair\n")
    result = train(invoke, "classification", texts, tmp_path / "out", "--model", start, "--dev", dev)
    assert "'fair'" in the_line(result)
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_a_missing_file(invoke: Invoke, start: Path, tmp_path: Path) -> None:
    for task in ("classification", "entities", "relations", "answers", "reranker", "sentences"):
        result = train(invoke, task, tmp_path / "nothing.json", tmp_path / "out", "--model", start)
        assert "nothing.json" in the_line(result)
    result = train(invoke, "language-model", tmp_path / "no.txt", tmp_path / "out", "--model", start)
    assert "no.txt" in the_line(result)


def test_tags_outside_the_text(invoke: Invoke, start: Path, tmp_path: Path) -> None:
    data = tmp_path / "tags.jsonl"
    row = {"text": "서울에서", "entities": [[0, 9, "LC"]]}
    data.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert "9" in the_line(train(invoke, "entities", data, tmp_path / "out", "--model", start))
    naver = written(tmp_path / "tags.tsv", "서울에서 왔다\tLOC-B O O O\n", header="")
    assert "tags.tsv" in the_line(train(invoke, "entities", naver, tmp_path / "out", "--model", start))


def test_an_entity_of_another_type(invoke: Invoke, start: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "ner.tsv", "서\tB-LC\n울\tI-LC\n\n이\tB-PS\n\n", header="## 서울\n")
    result = train(invoke, "entities", data, tmp_path / "out", "--model", start, "--types", "LC")
    assert "type 'PS'" in the_line(result)


def test_an_answer_that_is_not_at_its_offset(invoke: Invoke, start: Path, tmp_path: Path) -> None:
    answer = {"text": "서울", "answer_start": 0}
    questions = [{"id": "q1", "question": "어디?", "answers": [answer]}]
    document = {"data": [{"paragraphs": [{"context": "수도는 서울이다.", "qas": questions}]}]}
    data = tmp_path / "squad.json"
    data.write_text(json.dumps(document), encoding="utf-8")
    line = the_line(train(invoke, "answers", data, tmp_path / "out", "--model", start))
    assert "question 'q1'" in line
    assert "it begins at 4" in line


def test_labels_that_are_not_scores(invoke: Invoke, start: Path, tmp_path: Path) -> None:
    rows = "서울\t수도\tyes\n밥\t수도\tno\n"
    data = written(tmp_path / "pairs.tsv", rows, header="sentence1\tsentence2\tlabel\n")
    assert "'yes'" in the_line(train(invoke, "reranker", data, tmp_path / "out", "--model", start))
    more = ("--positive", "yes", "--dev", data)
    result = train(invoke, "reranker", data, tmp_path / "good", "--model", start, *more)
    assert result.exit_code == 0, result.output


def test_a_teacher_without_head(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    result = train(invoke, "distill classification", texts, tmp_path / "out", "--teacher", start)
    assert "classif" in the_line(result)


def test_a_nan_loss(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    more = ("--learning-rate", 1e30, "--batch-size", 4, "--max-steps", 4, "--warmup-ratio", 0)
    result = train(invoke, "classification", texts, tmp_path / "out", "--model", start, *more)
    line = the_line(result)
    assert "the loss is " in line
    assert "Lower the learning rate (1e+30) or look at these examples." in line


# The output folder


def test_a_folder_with_another_run(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    given = ("--model", start)
    assert train(invoke, "classification", texts, output, *given).exit_code == 0
    line = the_line(train(invoke, "classification", texts, output, *given, "--seed", 2))
    assert "holds another run: 'seed' is 2 here and 1 there" in line


def test_a_folder_with_other_files(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    kept = written(tmp_path / "out.txt", "mine")
    result = train(invoke, "classification", texts, tmp_path, "--model", start)
    assert "is not empty and holds no training run" in the_line(result)
    assert kept.read_text(encoding="utf-8").endswith("mine")


def test_a_read_only_folder(invoke: Invoke, start: Path, texts: Path) -> None:
    result = train(invoke, "classification", texts, texts / "out", "--model", start)
    assert "Can't write into" in the_line(result)


def test_mined_rows_in_a_missing_folder(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "qa.tsv", "".join(f"질문 {n}\t답 {n}\n" for n in range(6)), header="Q\tA\n")
    given = ("--data", data, "--output", tmp_path / "no" / "mined.jsonl", "--model", model)
    assert "mined.jsonl" in the_line(invoke("train", "mine", *given))


# The model and the settings


@pytest.mark.parametrize("option", ["--model", "--teacher"])
def test_an_unknown_model(invoke: Invoke, texts: Path, tmp_path: Path, option: str) -> None:
    task = "classification" if option == "--model" else "distill classification"
    line = the_line(train(invoke, task, texts, tmp_path / "out", option, "munjang/no-such-model"))
    assert "Model 'munjang/no-such-model' is not in the cache, and offline mode forbids to fetch it." in line
    assert "MUNJANG_OFFLINE" not in os.environ  # --offline holds for this command alone


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--batch-size", -1, "--batch-size must be at least 1, got -1."),
        ("--epochs", -2, "epochs must be more than 0, got -2"),
        ("--learning-rate", -1e-5, "--learning-rate must be more than 0"),
        ("--weight-decay", -0.1, "--weight-decay must be at least 0"),
        ("--warmup-ratio", 2, "--warmup-ratio must be a number from 0 to 1"),
        ("--seed", -3, "seed must be at least 0, got -3."),
        ("--device", "gpu", "Unknown device 'gpu'; there are auto, cpu, cuda and cuda:N."),
    ],
)
def test_a_setting_out_of_range(
    invoke: Invoke, start: Path, texts: Path, tmp_path: Path, option: str, value: object, message: str
) -> None:
    result = train(invoke, "classification", texts, tmp_path / "out", "--model", start, option, value)
    assert message in the_line(result)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(invoke: Invoke, start: Path, texts: Path, tmp_path: Path) -> None:
    given = ("--model", start, "--device", "cuda")
    line = the_line(train(invoke, "classification", texts, tmp_path / "out", *given))
    assert "--device cuda, but torch sees 0 GPUs." in line


def test_conflicting_options(invoke: Invoke, texts: Path, tmp_path: Path) -> None:
    for task, more, message in (
        ("classification", ("--schedule", "stepwise"), "'stepwise' is not one of 'linear', 'cosine'"),
        ("classification", ("--dev", texts, "--dev-share", 0.1), "It has no effect beside --dev."),
        ("classification", ("--max-length", 0), "greater than or equal to 1"),
        ("sentences", ("--dev-kind", "labels"), "It has no effect without --dev."),
        ("sentences", ("--scale", 5), "CosineSimilarityLoss has none"),
        ("sentences", ("--margin", 5), "CosineSimilarityLoss has none"),
        ("sentences", ("--document-prompt", "a"), "It needs --prompt"),
        ("sentences", ("--matryoshka", "64,all"), "'64,all' is not a list of whole numbers"),
        ("sentences", ("--loss", "SoftmaxLoss", "--matryoshka", "64"), "compares no parts of vectors"),
        ("language-model", (), "Use --tokenizer for a new model, or --model"),
        ("distill classification", ("-t", "t", "--unlabelled", "--dev-share", 0.1), "use --dev with a file"),
        (
            "distill classification",
            ("-t", "t", "--layer-map", "0"),
            "It needs --hidden-states or --attention",
        ),
        ("distill sentences", ("-t", "t", "--kind", "texts", "--dev-share", 0.1), "needs pairs with scores"),
        ("distill reranker", ("-t", "t", "--layers", "two"), "'two' is not a list of whole numbers"),
    ):
        data = texts
        if task == "distill reranker":
            data = written(tmp_path / "sts.tsv", "a\tb\t1\n", header="sentence1\tsentence2\tscore\n")
        assert message in usage(train(invoke, task, data, tmp_path / "out", *more)), task
    result = invoke("train", "add-tokens", "--output", tmp_path / "out")
    assert "Write words, or name a file of them with --file." in usage(result)
