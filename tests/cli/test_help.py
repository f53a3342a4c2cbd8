"""The help: its examples work, and docs/cli.md has the same text."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text

from munjang import Index
from munjang.cli.app import app
from support.heads import MODEL_MAKERS
from support.program import Invoke, program_environment

ROOT = Path(__file__).parents[2]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def examples_of(command: Any) -> list[str]:
    lines = Text.from_markup(command.epilog or "").plain.splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


EXAMPLES = [
    example
    for _, command in COMMANDS
    for example in examples_of(command)
    if "munjang models" not in example and "--help" not in example
]


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(("munjang", *path)) for path, _ in COMMANDS]
)
def test_every_command_has_help_and_examples(invoke: Invoke, path: tuple[str, ...], command: Any) -> None:
    result = invoke(*path, "--help")
    assert result.exit_code == 0
    assert "<bool>" not in result.output
    assert len(examples_of(command)) >= 1
    if path and not hasattr(command, "commands"):
        assert any(param.name == "as_json" for param in command.params)
    text = " ".join(result.stdout.split())
    for example in examples_of(command):
        assert " ".join(example.split()[:4]) in text


FILES = {
    "article.txt": "한국의 수도는 서울이다.",
    "sentences.txt": "이순신은 한성에서 태어났다.\n",
    "qa.csv": "Q,A\n택배는 언제 와요?,이틀 걸려요.\n어디로 가요?,집으로요.\n"
    + "".join(f"{word} 있어요?,{word} 있지요.\n" for word in ["물", "불", "쌀", "콩", "빵", "떡"]),
    "ChatbotData.csv": "Q,A\n" + "".join(f"질문 {n},답 {n % 5}\n" for n in range(30)),
    "KorQuAD_v1.0_dev.json": json.dumps(
        {"data": [{"paragraphs": [{"context": "서울은 수도이다.", "qas": [{"question": "수도는?"}]}]}]}
    ),
    "scifact/corpus.jsonl": '{"_id": "d", "title": "", "text": "one"}\n',
    "scifact/queries.jsonl": '{"_id": "q", "text": "one?"}\n',
    "scifact/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq\td\t1\n",
    "sts-test.tsv": "sentence1\tsentence2\tscore\n배고파\t밥 먹자\t4.2\n비 와\t맑다\t1.0\n춥다\t덥다\t0\n",
    "sts-dev.tsv": "sentence1\tsentence2\tscore\n좋다\t참 좋다\t4.5\n밥\t물\t1.0\n춥다\t덥다\t0\n",
    "stsb-en-test.csv": "A cat.,One cat.,4.8\nA dog.,The sky.,0.2\nIt rains.,It pours.,3.1\n",
    "lists.jsonl": '{"query": "수도", "documents": ["서울이다", "밥"], "relevance": [2, 0]}\n'
    '{"query": "점심", "documents": ["비", "밥"], "relevance": [0, 1]}\n',
    "sts-train.tsv": "sentence1\tsentence2\tscore\n"
    + "".join(f"{n}은 좋다\t{n}이 참 좋다\t{n % 6}\n" for n in range(20)),
    "nli.tsv": "sentence1\tsentence2\tgold_label\n"
    + "".join(f"{n}\t{n} {label}\t{label}\n" for n in range(4) for label in ("entailment", "contradiction")),
    "mined.jsonl": '{"anchor": "수도", "positive": "서울이다", "negatives": ["밥", "떡"]}\n'
    '{"anchor": "점심", "positive": "밥", "negatives": ["수도", "비"]}\n',
    "words.txt": "심근경색\n고지혈증\n",
    "reviews.tsv": "id\tdocument\tlabel\n" + "".join(f"{n}\t재미{n}\t{n % 2}\n" for n in range(20)),
    "pairs.csv": "one,other,same\n언제 와요?,언제 오나요?,1\n언제 와요?,누구세요?,0\n",
    "klue-ner.tsv": "## 이순신은 한성\n"
    + "".join(f"이\tB-PS\n순\tI-PS\n신\tI-PS\n은\tO\n{end}\tO\n한\tB-LC\n성\tI-LC\n\n" for end in "가나다라"),
    "klue-re.json": json.dumps(
        [
            {
                "guid": f"{n}",
                "sentence": f"이순신은 한성에서 {n}",
                "subject_entity": {"word": "이순신", "start_idx": 0, "end_idx": 2, "type": "PER"},
                "object_entity": {"word": "한성", "start_idx": 5, "end_idx": 6, "type": "LOC"},
                "label": ("good", "bad")[n % 2],
            }
            for n in range(8)
        ]
    ),
    "korquad.json": json.dumps(
        {
            "data": [
                {
                    "paragraphs": [
                        {
                            "context": f"한국의 수도는 서울이다. {n}",
                            "qas": [
                                {
                                    "id": f"{n}",
                                    "question": "어디?",
                                    "answers": [{"text": "서울", "answer_start": 8}],
                                }
                            ],
                        }
                        for n in range(3)
                    ]
                }
            ]
        }
    ),
    "documents.jsonl": '{"id": "ko-001", "question": "택배는 언제 와요?", "metadata": {"lang": "ko"}}\n',
}


@pytest.fixture(scope="module")
def index_file(tmp_path_factory: pytest.TempPathFactory, model_for: Callable[[str], Path]) -> Path:
    """An index of the example questions, as the help of `munjang index` makes it."""
    path = tmp_path_factory.mktemp("index") / "faq.munjang"
    with Index.open(path, model=model_for(""), fields=["question", "answer"]) as index:
        index.build(ROOT / "examples" / "everyday_questions.csv")
    return path


@pytest.fixture(scope="module")
def model_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny model for a command; created at the first use."""

    @cache
    def make(name: str) -> Path:
        return MODEL_MAKERS[name](tmp_path_factory.mktemp("models"))

    return lambda command: make(command if command in MODEL_MAKERS else "")


def with_tiny_model(example: str, model_for: Callable[[str], Path]) -> str:
    """Return the same command with a tiny model, so that it runs without the network."""
    command, redirection, file = re.split(r"(?:^|\| )munjang ", example)[-1].partition(" < ")
    words = shlex.split(command)
    names = (" ".join(words[:count]) for count in (3, 2))
    chosen = next((name for name in names if name in MODEL_MAKERS), "" if words[0] == "index" else words[0])
    name = str(model_for(chosen))
    if "--rerank" in words:
        words[words.index("--rerank") + 1] = str(model_for("rerank"))
    for option in ("--teacher", "--tokenizer"):
        if option in words:
            words[words.index(option) + 1] = name
    if words[:3] == ["train", "distill", "scores"]:
        name = str(model_for(""))
    knows_its_model = (
        words[0] == "index"
        or words[:2] in (["chat", "faq.munjang"], ["train", "vocabulary"])
        or "--tokenizer" in words
        or ("--teacher" in words and words[2] != "scores")
    )
    for option in ("--model", "-m"):
        if option in words:
            words[words.index(option) + 1] = name
            break
    else:
        words += [] if knows_its_model else ["--model", name]
    return shlex.join(words) + redirection + file


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_works(
    invoke: Invoke,
    model_for: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    index_file: Path,
    example: str,
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("MUNJANG_CACHE", str(tmp_path / "cache"))
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    shutil.copy(index_file, tmp_path)
    monkeypatch.chdir(tmp_path)
    command = with_tiny_model(example, model_for)
    if "|" not in example and "<" not in example:
        result = invoke(*shlex.split(command))
        assert result.exit_code == 0, result.output
        return
    feed, piped, _ = example.rpartition("| munjang ")
    line = f"{feed}{'| ' if piped else ''}{shlex.quote(sys.executable)} -m munjang {command}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=program_environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("docs_cli", ROOT / "scripts" / "docs_cli.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == script.page(), "run `python scripts/docs_cli.py`"
