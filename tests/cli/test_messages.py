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
    assert "say which holds the first texts of the pairs: --columns A,B,C." in result.stderr
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "classification", "--data", "{data}", "-o", "{out}"), "holds the texts: --text NAME."),
        (("train", "distill", "sentences", "-t", "t", "--data", "{data}", "-o", "{out}"),
         "which holds the first texts of the pairs: sentence1=NAME (in Python)."),
        (("chat", "{data}", "--once", "a"), "which holds the questions: --question NAME."),
        (("search", "a", "--file", "{data}"), "which holds the texts: --column NAME."),
        (("train", "mine", "--data", "{data}", "-o", "{out}"), "which holds the anchors: --anchor NAME."),
        (("index", "build", "{out}", "{data}"), "which holds the texts: --field NAME."),
        (("train", "entities", "--data", "{cp949}", "-o", "{out}"), "or pass encoding='cp949' (in Python)."),
        (("train", "classification", "--data", "{cp949}", "-o", "{out}"), "or pass --encoding cp949."),
        (("search", "a", "--file", "{broken}"), "If its quotes are letters, pass --no-quoting."),
        (("encode", "안녕", "--precision", "int8"),
         "--precision int8 needs the range of several vectors, not of a single vector."),
    ],
)  # fmt: skip
def test_a_message_about_a_file_names_the_option(
    invoke: Invoke, model: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    files = {
        "data": written(tmp_path / "a.csv", "left,right", "a man,two men"),
        "broken": written(tmp_path / "b.tsv", "left\ttext", "a\tb\tc"),
        "cp949": tmp_path / "c.tsv",
        "out": tmp_path / "out",
    }
    files["cp949"].write_bytes("글".encode("cp949"))
    more = ("--model", model) if arguments[0] in ("encode", "search", "index") else ()
    result = invoke(*(argument.format(**files) for argument in arguments), *more)
    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("chat", "a.csv", "여권을 도둑맞았어요"), "An option for a text: --once QUESTION"),
        (("answer", "언제?", "어제"), "An option for a text: --context TEXT"),
    ],
)
def test_an_extra_text_needs_an_option(invoke: Invoke, arguments: tuple[str, ...], hint: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert hint in " ".join(result.stderr.replace("│", " ").split())


def test_empty_standard_input(invoke: Invoke, model: Path) -> None:
    result = invoke("search", "여권", "--model", model, stdin="")
    assert result.exit_code == 1
    assert "it is empty. Standard input is read if there is none of --file, --index." in result.stderr
