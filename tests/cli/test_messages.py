"""Messages of the library name the options of the command, and only columns that these can name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.learning import tiny_model
from support.program import Invoke
from support.tiny import tiny_sentence_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("start") / "model")


def written(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_warning_names_the_option(invoke: Invoke, tmp_path: Path) -> None:
    folder = tiny_sentence_model(tmp_path / "plain")
    (folder / "modules.json").unlink()
    result = invoke("similarity", "가", "나", "--model", folder)
    assert result.exit_code == 0
    assert "the mean is assumed; --pooling chooses another." in result.stderr


def test_an_invalid_length_is_quoted_unchanged(invoke: Invoke, model: Path) -> None:
    result = invoke("tokenize", "가", "--pad-to", 1, "--model", model)
    assert result.exit_code == 1
    assert result.stderr.startswith("munjang: --pad-to 1 leaves no room for the 2 special tokens")


@pytest.mark.parametrize(
    "arguments", [("similarity", "가", "나"), ("tokenize", "가"), ("features", "가"), ("explain", "가")]
)
def test_an_empty_name_is_not_the_default_model(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments, "--model", "")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("munjang: Model '' was not found")


def test_several_poolings(invoke: Invoke, model: Path) -> None:
    result = invoke("similarity", "가", "나", "--model", model, "--pooling", "mean+median")
    assert result.exit_code == 1
    assert "Unknown pooling 'mean+median'" in result.stderr
    assert result.stderr.endswith("can be combined, as in mean+max.\n")
    assert invoke("similarity", "가", "나", "--model", model, "--pooling", "mean+max").exit_code == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "--positive names the label of texts that belong together"),
        (("--learning-rate", "-1"), "--learning-rate must be more than 0"),
        (
            ("--kind", "labels", "--positive", "yes", "--max-length", "9999"),
            "--max-length 9999, but the model",
        ),
    ],
)
def test_an_error_of_training(
    invoke: Invoke, start: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    data = written(tmp_path / "a.tsv", "text\ttext_pair\tlabel", "a\tb\tyes", "c\td\tno")
    result = invoke("train", "reranker", "--data", data, "--output", tmp_path / "out", "-m", start, *more)
    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize("task", ["sentences", "reranker"])
def test_columns_of_any_name(invoke: Invoke, start: Path, tmp_path: Path, task: str) -> None:
    data = written(tmp_path / "a.csv", "left,right,likeness", "a man,two men,4", "the sky,food,1")
    kind = () if task == "sentences" else ("--kind", "scores")
    given = ("train", task, "--data", data, "--output", tmp_path / "out", "-m", start, *kind)
    run = ("--epochs", 1, "--device", "cpu", "--offline", "--pooling", "mean")[: None if kind == () else -2]
    result = invoke(*given, *run)
    assert result.exit_code == 1
    assert "say which holds the first texts of the pairs." in result.stderr
    assert "Options that name columns: --columns." in result.stderr
    result = invoke(*given, *run, "--columns", "left,right")
    assert result.exit_code == 2
    assert "2 columns in place of sentence1, sentence2, score" in " ".join(
        result.stderr.replace("│", "").split()
    )
    result = invoke(*given, *run, "--columns", "left,right,likeness")
    assert result.exit_code == 0, result.output


def test_no_message_tells_to_install_from_an_index() -> None:
    """The package is not on one; `MissingExtraError.of` names what is missing."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        assert not re.search(r"install '?munjang", path.read_text(encoding="utf-8")), path
