"""``munjang index`` and ``munjang search --index``: an index built, changed and searched."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from munjang import Index
from munjang.cli.common.hits import read_filters
from munjang.cli.index.build import read_id
from munjang.errors import InputError
from support.documents import faq_file
from support.program import Invoke, Program
from support.tiny import tiny_sentence_model


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return faq_file(tmp_path)


@pytest.fixture
def place(invoke: Invoke, source: Path, model: Path) -> Path:
    path = source.with_name("faq.munjang")
    arguments = ("index", "build", path, source, "--field", "question", "--field", "answer", "-m", model)
    assert read(invoke(*arguments, "--json")) == {
        "index": str(path),
        "documents": 4,
        "read": 4,
        "written": 4,
        "unchanged": 0,
        "deleted": 0,
        "skipped": {},
    }
    return path


def read(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def refused(result: Any, status: int = 1) -> str:
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert status == 2 or result.stderr.count("\n") == 1
    return " ".join(result.stderr.split())


# Building


@pytest.mark.parametrize("fields", [("qestion",), ("question", "anser")])
def test_a_field_without_a_column(invoke: Invoke, source: Path, model: Path, fields: tuple[str, ...]) -> None:
    options = [part for name in fields for part in ("--field", name)]
    place = source.with_name("x.munjang")
    told = refused(invoke("index", "build", place, source, *options, "-m", model))
    assert f"has no column '{fields[-1]}'; it has" in told
    assert not place.exists()


def test_other_fields_are_named_without_brackets(invoke: Invoke, place: Path, source: Path) -> None:
    told = refused(invoke("index", "build", place, source, "--field", "question"))
    assert "was made with fields question, answer, now question." in told


@pytest.mark.parametrize("query", ["", " \t"])
def test_an_empty_query_is_refused(invoke: Invoke, place: Path, query: str) -> None:
    for command in (("index", "search", place, query), ("search", query, "--index", place)):
        assert refused(invoke(*command)) == "munjang: The query is empty; write what to look for."


def test_a_second_build_changes_nothing(invoke: Invoke, place: Path, source: Path) -> None:
    got = read(invoke("index", "build", place, source, "--json"))
    assert (got["written"], got["unchanged"]) == (0, 4)


def test_build_reports_its_work(invoke: Invoke, place: Path, source: Path) -> None:
    lines = source.read_text(encoding="utf-8").splitlines()
    source.write_text("\n".join(lines[1:]), encoding="utf-8")
    result = invoke("index", "build", place, source, "--prune")
    assert result.stdout == f"{place}: 3 documents (0 written, 3 unchanged, 1 deleted)\n"


def test_build_a_folder(invoke: Invoke, tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "guide.md").write_text("# 설치\n설치해요.\n# 사용\n찾아요.", encoding="utf-8")
    (folder / "note.txt").write_text("메모를 적어요.", encoding="utf-8")
    (folder / "picture.png").write_bytes(b"\0")
    path = tmp_path / "x.munjang"
    result = invoke("index", "build", path, folder, "-m", model)
    assert result.stdout.splitlines() == [
        f"{path}: 3 documents (3 written, 0 unchanged, 0 deleted)",
        "left out of the folder: 1 binary",
    ]
    (hit,) = read(invoke("index", "search", path, "찾다", "--mode", "lexical", "--json"))
    assert (hit["id"], hit["source"]) == ("docs/guide.md#사용", "docs/guide.md")
    text = invoke("index", "search", path, "찾다", "--mode", "lexical").stdout
    assert "headings: 사용 · source: docs/guide.md" in text


def test_build_by_columns_and_lines(invoke: Invoke, tmp_path: Path, model: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("Q,A,key,label\n언제?,내일,k1,0\n", encoding="utf-8")
    options = ("--field", "question=Q", "--field", "answer=A", "--embed", "question", "--id", "key")
    path = tmp_path / "x.munjang"
    read(invoke("index", "build", path, table, *options, "--metadata", "label", "-m", model, "--json"))
    with Index.open(path) as index:
        (document,) = list(index)
        assert (document.id, document.metadata) == ("k1", {"label": 0})
        assert index.settings.embedded == ("question",)
    lines = tmp_path / "lines.txt"
    lines.write_text("하나\n둘\n", encoding="utf-8")
    got = read(invoke("index", "build", tmp_path / "y.munjang", lines, "--lines", "-m", model, "--json"))
    assert got["documents"] == 2


def test_progress_for_a_log(invoke: Invoke, place: Path, source: Path) -> None:
    result = invoke("index", "build", place, source, "--progress")
    assert "Indexing: 4 of 4 (100%)" in result.stderr


def test_a_missing_source_makes_no_index(invoke: Invoke, tmp_path: Path, model: Path) -> None:
    path = tmp_path / "x.munjang"
    assert "There is no file" in refused(invoke("index", "build", path, tmp_path / "no.csv", "-m", model))
    assert not path.exists()


def test_other_settings_are_refused(invoke: Invoke, place: Path, source: Path, tmp_path: Path) -> None:
    other = tiny_sentence_model(tmp_path / "other", seed=3)
    assert "munjang index migrate" in refused(invoke("index", "build", place, source, "-m", other))
    assert "fields" in refused(invoke("index", "build", place, source, "--field", "question"))
    refused(invoke("index", "build", place, source, "--workers", 2), 2)


# Single documents


def test_add_and_delete(invoke: Invoke, place: Path) -> None:
    added = invoke(
        "index", "add", place, "도서관은 언제 열어요?", "--id", "7", "--metadata", '{"n": 1}', "--json"
    )
    assert read(added) == {"index": str(place), "written": 1, "documents": 5}
    with Index.open(place) as index:
        document = index.get(7)
        assert document is not None
        assert document.metadata == {"n": 1}
    assert "use upsert" in refused(invoke("index", "add", place, "다른 글", "--id", "7"))
    assert invoke("index", "add", place, "다른 글", "--id", "7", "--replace").exit_code == 0
    assert read(invoke("index", "delete", place, "7", "a", "--json"))["deleted"] == 2
    assert "no document with the id '7'" in refused(invoke("index", "delete", place, "7"))


def test_add_from_standard_input(invoke: Invoke, place: Path) -> None:
    lines = '{"id": 8, "question": "가", "metadata": {"n": 2}}\n\n그냥 글\n'
    assert read(invoke("index", "add", place, "--json", stdin=lines))["written"] == 2
    broken = refused(invoke("index", "add", place, stdin='{"id": \n'))
    assert "standard input, line 1: not JSON" in broken


@pytest.mark.parametrize(("given", "number"), [("7", 7), ('"7"', "7"), ("ko-1", "ko-1"), ("true", "true")])
def test_ids_on_the_command_line(given: str, number: object) -> None:
    assert read_id(given) == number


# Searching


def test_search_as_json(invoke: Invoke, place: Path) -> None:
    query = unicodedata.normalize("NFD", "맛있다")
    arguments = ("--mode", "lexical", "--json")
    (hit,) = read(invoke("index", "search", place, query, *arguments))
    assert list(hit) == [
        *(
            "rank",
            "id",
            "score",
            "similarity",
            "bm25",
            "lead",
            "text",
            "field",
            "start",
            "end",
            "snippet",
            "marks",
            "scores",
        ),
        *("fields", "metadata", "source"),
    ]
    assert (hit["rank"], hit["id"], hit["field"]) == (1, 2, "question")
    assert hit["marks"] == [[5, 7]]
    assert hit["metadata"] == {"lang": "ko", "year": 2019}
    assert read(invoke("search", query, "--index", place, *arguments)) == [hit]


def test_search_for_a_reader(invoke: Invoke, place: Path) -> None:
    text = invoke("search", "서울", "--index", place, "--top", 1).stdout
    assert "│ 1 │" in text
    assert "found in:" in text
    assert "faq.jsonl" in text
    nothing = invoke("search", "서울", "--index", place, "--filter", "lang=xx").stdout
    assert nothing == "서울: nothing found\n"


def test_an_empty_index_is_named_as_the_reason(invoke: Invoke, place: Path, tmp_path: Path) -> None:
    model = read(invoke("index", "info", place, "--json"))["settings"]["model"]
    empty = tmp_path / "empty.munjang"
    Index.open(empty, model=model).close()
    for arguments in (("index", "search", empty, "서울"), ("search", "서울", "--index", empty)):
        assert invoke(*arguments).stdout == "서울: nothing found; the index has 0 documents\n"
        assert invoke(*arguments, "--json").stdout == "[]\n"


def test_search_each_line_of_standard_input(invoke: Invoke, place: Path) -> None:
    result = invoke("search", "-", "--index", place, "--json", stdin="서울\nparcel\n")
    assert [len(json.loads(line)) for line in result.stdout.splitlines()] == [4, 4]


def test_one_bad_query_of_many_is_reported_and_the_others_are_answered(invoke: Invoke, place: Path) -> None:
    result = invoke("search", "-", "--index", place, "--json", stdin=f"서울\n{'x' * 30_000}\nparcel\n")
    assert result.exit_code == 1
    first, second, third = map(json.loads, result.stdout.splitlines())
    assert (len(first), second, len(third)) == (4, None, 4)
    assert result.stderr.startswith("munjang: standard input:2: The query has 30,000 characters")
    shown = invoke("search", "-", "--index", place, stdin=f"서울\n{'x' * 30_000}\nparcel\n")
    assert (shown.exit_code, shown.stderr) == (1, result.stderr)


def test_filters_pages_and_least_score(invoke: Invoke, place: Path) -> None:
    def found(*options: object) -> list[Any]:
        return [hit["id"] for hit in read(invoke("search", "언제", "-i", place, "--json", *options))]

    assert set(found("--filter", "lang=ko", "--filter", "year>=2020")) == {1, "b"}
    assert set(found("--filter", '{"year": {"lt": 2022}}')) == {2, "a"}
    assert found("--offset", 1, "--top", 1) == found()[1:2]
    assert found("--min-score", 9) == []


def test_rerank(invoke: Invoke, place: Path, cross_encoder: Path) -> None:
    hits = read(invoke("search", "언제", "-i", place, "--rerank", cross_encoder, "--json"))
    assert [hit["score"] for hit in hits] == [hit["scores"]["rerank"] for hit in hits]


def test_conflicting_arguments(invoke: Invoke, place: Path, source: Path) -> None:
    refused(invoke("search", "x", "--index", place, "--file", source), 2)
    assert "not like lang=ko" in refused(invoke("search", "x", "--index", place, "--filter", "lang"))
    assert "There is no index" in refused(invoke("search", "x", "--index", source.with_name("none")))


IGNORED = [
    ("search x --index {index}", "--column", "question"),
    ("search x --index {index}", "--encoding", "utf-8"),
    ("search x --index {index}", "--no-quoting", None),
    ("search x --index {index}", "--no-header", None),
    ("search x --index {index}", "--pooling", "cls"),
    ("search x --file {jsonl}", "--mode", "hybrid"),
    ("search x --file {jsonl}", "--filter", "a=1"),
    ("search x --file {jsonl}", "--offset", "0"),
    ("search x --file {jsonl}", "--min-score", "0"),
    ("search x --file {jsonl}", "--rerank", "x"),
    ("search x --file {jsonl}", "--no-header", None),
    ("search x --file {text}", "--no-quoting", None),
    ("rerank x --model x --document y", "--column", "a"),
    ("rerank x --model x --document y", "--no-header", None),
    ("rerank x --model x --file {text}", "--no-header", None),
    ("index build {index} {jsonl}", "--lines", None),
    ("index build {index} {jsonl}", "--no-quoting", None),
    ("index build {index} {jsonl}", "--workers", "2"),
    ("index add {index} a b", "--id", "1"),
    ("index add {index} a b", "--metadata", "1"),
    ("index migrate {index} --abandon", "--analyzer", "hangul-bigrams"),
    ("index migrate {index} --abandon", "--model", "x"),
    ("index migrate {index} --abandon", "--chunk-tokens", "9"),
    ("chat {index} --once x", "--model", "x"),
    ("chat {index} --once x", "--pooling", "cls"),
    ("chat {index} --once x", "--method", "nearest"),
]


@pytest.mark.parametrize(("command", "option", "value"), IGNORED, ids=lambda one: str(one).replace(" ", "_"))
def test_an_option_that_does_nothing_is_refused_by_name(
    invoke: Invoke, place: Path, source: Path, tmp_path: Path, command: str, option: str, value: str | None
) -> None:
    text = tmp_path / "lines.txt"
    text.write_text("a line\n", encoding="utf-8")
    words = [word.format(index=place, jsonl=source, text=text) for word in command.split()]
    error = refused(invoke(*words, option, *([] if value is None else [value])), 2)
    assert f"Invalid value for {option}" in error or f"Invalid value for '{option}'" in error


def test_scores_are_shown_if_they_are_similarities(invoke: Invoke, place: Path) -> None:
    columns = {
        "hybrid": ["similarity", "BM25"],
        "semantic": ["similarity"],
        "lexical": ["BM25"],
    }
    for mode, headings in columns.items():
        lines = invoke("index", "search", place, "서울", "--mode", mode).stdout.splitlines()
        assert [one.strip() for one in lines[2].split("│")[2:-3]] == headings
        for hit in read(invoke("index", "search", place, "서울", "--mode", mode, "--json")):
            assert (hit["similarity"] is not None) == ("semantic" in hit["scores"])
            assert hit["bm25"] == hit["scores"].get("lexical")


def test_export_writes_what_add_reads(invoke: Invoke, place: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "documents.jsonl"
    exported = read(invoke("index", "export", place, file, "--json"))
    assert (exported["written"], exported["unreadable"]) == (4, 0)
    text = file.read_text(encoding="utf-8")
    documents = [json.loads(line) for line in text.splitlines()]
    assert [one["id"] for one in documents] == [1, 2, "a", "b"]
    other = tmp_path / "other.munjang"
    Index.open(other, model=model, fields=["question", "answer"]).close()
    assert read(invoke("index", "add", other, "--json", stdin=text))["documents"] == 4
    with Index.open(other) as index, Index.open(place) as before:
        assert [(one.id, one.fields, one.metadata) for one in index] == [
            (one.id, one.fields, one.metadata) for one in before
        ]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, None),
        (["lang=ko"], {"lang": {"in": ["ko"]}}),
        (["n=3"], {"n": {"in": [3, "3"]}}),
        (["n!=3"], {"n": {"not_in": [3, "3"]}}),
        (["year >= 2020", "year<2024"], {"year": {"gte": 2020, "lt": 2024}}),
        (['{"a.b": ["x"], "c": null}'], {"a.b": {"in": ["x"]}, "c": {"eq": None}}),
    ],
)
def test_filters_on_the_command_line(given: list[str] | None, wanted: object) -> None:
    assert read_filters(given) == wanted


@pytest.mark.parametrize("given", [["x"], ["{x}"], ["=3"], ["n>1", "n>2"]])
def test_invalid_filters(given: list[str]) -> None:
    with pytest.raises(InputError):
        read_filters(given)


# The index itself


def test_info_and_check(invoke: Invoke, place: Path, model: Path) -> None:
    info = read(invoke("index", "info", place, "--json"))
    assert info["documents"] == 4
    assert info["settings"]["model"] == str(model)
    text = invoke("index", "info", place).stdout
    assert "question, answer" in text
    assert "None" not in text
    assert "True" not in text
    assert invoke("index", "check", place).stdout == f"{place}: 4 documents, no damage\n"
    assert read(invoke("index", "check", place, "--json"))["problems"] == []


def test_migrate(invoke: Invoke, place: Path, tmp_path: Path) -> None:
    other = tiny_sentence_model(tmp_path / "other", seed=3)
    got = read(invoke("index", "migrate", place, "--model", other, "--json"))
    assert (got["encoded"], got["model"]) == (4, str(other))
    text = invoke("index", "migrate", place, "--analyzer", "hangul-bigrams").stdout
    assert text == f"{place}: 4 documents encoded; {other}, hangul-bigrams/1\n"
    assert invoke("index", "migrate", place, "--abandon").exit_code == 0


def test_the_real_program(program: Program, place: Path) -> None:
    done = program("search", "서울에서", "--index", place, "--mode", "lexical")
    assert done.returncode == 0, done.stderr
    assert "서울" in done.stdout.decode()
    assert done.stderr == b""


def test_rebuild(invoke: Invoke, place: Path) -> None:
    before = read(invoke("index", "search", place, "언제", "--json"))
    found = read(invoke("index", "rebuild", place, "--json"))
    assert (found["index"], found["documents"]) == (str(place), 4)
    assert found["bytes"] > 0
    assert "4 documents" in invoke("index", "rebuild", place).stdout
    assert read(invoke("index", "search", place, "언제", "--json")) == before
    assert invoke("index", "rebuild", place.with_name("gone.munjang")).exit_code == 1


def test_two_filters_of_one_kind_on_one_name() -> None:
    with pytest.raises(
        InputError, match="The filter 'lang=en' repeats the condition of an earlier one on 'lang'"
    ):
        read_filters(["lang=ko", "lang=en"])
    assert read_filters(['{"lang": ["ko", "en"]}']) == {"lang": {"in": ["ko", "en"]}}
