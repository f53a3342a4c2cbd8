"""Files and folders as documents."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from munjang.errors import DataFileError, InputError
from munjang.search.documents import Document
from munjang.search.sources import Source, sections

FIELDS = ("question", "answer")


def read(path: Path, fields: tuple[str, ...] = ("text",), **options: object) -> list[Document]:
    return list(Source(path=str(path), **options).documents(fields))  # type: ignore[arg-type]


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


# Tables

CSV = "id,question,answer,lang,year\nq1,언제?,내일,ko,2023\nq2,Where?,,en,\n"


def test_a_table_has_a_document_for_each_row(tmp_path: Path) -> None:
    first, second = read(write(tmp_path / "faq.csv", CSV), FIELDS)
    assert first == Document(
        id="q1",
        fields={"question": "언제?", "answer": "내일"},
        metadata={"lang": "ko", "year": 2023},
        source="faq.csv",
    )
    assert second.fields == {"question": "Where?"}
    assert second.metadata == {"lang": "en"}


def test_columns_ids_and_metadata_are_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Q,A,key,label\n언제?,내일,k1,0\n")
    (found,) = read(path, FIELDS, columns={"question": "Q", "answer": "A"}, id="key", metadata=["label"])
    assert found.id == "k1"
    assert found.fields == {"question": "언제?", "answer": "내일"}
    assert found.metadata == {"label": 0}


def test_a_field_missing_in_the_first_row_is_read_from_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", '{"question": "언제?"}\n{"question": "Where?", "answer": "Here."}\n')
    first, second = read(path, FIELDS)
    assert (first.fields, first.metadata) == ({"question": "언제?"}, {})
    assert (second.fields, second.metadata) == ({"question": "Where?", "answer": "Here."}, {})
    columns = {"question": "question", "answer": "answer"}
    assert read(path, FIELDS, columns=columns) == [first, second]
    with pytest.raises(DataFileError, match="no column 'reply'"):
        read(path, FIELDS, columns={"question": "question", "answer": "reply"})


def test_one_field_takes_the_obvious_column(tmp_path: Path) -> None:
    (found,) = read(write(tmp_path / "a.tsv", "id\tquestion\tn\n7\t언제?\t3\n"))
    assert (found.id, found.fields, found.metadata) == ("7", {"text": "언제?"}, {"n": 3})


def test_numbers_of_a_table_are_numbers(tmp_path: Path) -> None:
    (found,) = read(write(tmp_path / "a.csv", "text,a,b,c,d,e\n가,3,-2.5,007,1e400,nan\n"))
    assert found.metadata == {"a": 3, "b": -2.5, "c": "007", "d": "1e400", "e": "nan"}


def test_a_number_of_a_table_beyond_64_bits_is_a_text(tmp_path: Path) -> None:
    numbers = [str(2**63 - 1), str(2**63), str(-(2**63)), "12345678901234567890123"]
    (found,) = read(write(tmp_path / "a.csv", f"text,a,b,c,d\n가,{','.join(numbers)}\n"))
    assert found.metadata == {"a": 2**63 - 1, "b": numbers[1], "c": -(2**63), "d": numbers[3]}


def test_rows_without_an_id_get_one_from_their_content(tmp_path: Path) -> None:
    before = read(write(tmp_path / "a.csv", "text,n\n가,1\n나,2\n"))
    after = read(write(tmp_path / "a.csv", "text,n\n다,3\n가,1\n나,2\n"))
    assert [document.id for document in before] == [document.id for document in after[1:]]
    assert len({document.id for document in after}) == 3


def test_json_lines_and_parquet_keep_types(tmp_path: Path) -> None:
    jsonl = write(
        tmp_path / "a.jsonl", '{"id": 5, "text": "가", "n": 1.5, "ok": true, "tags": ["x"], "no": null}\n'
    )
    pq.write_table(pa.table({"id": [5], "text": ["가"], "n": [1.5], "ok": [True]}), tmp_path / "a.parquet")
    for path in (jsonl, tmp_path / "a.parquet"):
        (found,) = read(path)
        assert found.id == 5
        assert found.metadata == {"n": 1.5, "ok": True}


def test_rows_without_text_are_left_out(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "a.csv", "text,n\n,1\n나,2\n"))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"question": "Q"}}, "no column 'Q'"),
        ({"id": "key"}, "no column 'key'"),
        ({"metadata": ["key"]}, "no column 'key'"),
    ],
)
def test_a_missing_column(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        read(write(tmp_path / "faq.csv", CSV), FIELDS, **options)


def test_unknown_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "faq.csv", "Q,A\n언제?,내일\n")
    with pytest.raises(DataFileError, match="columns"):
        read(path, FIELDS)
    with pytest.raises(InputError, match="no field 'title'; it has question, answer"):
        read(path, FIELDS, columns={"title": "Q"})


def test_a_bad_id_is_named_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": 1, "text": "가"}\n{"id": [2], "text": "나"}\n')
    with pytest.raises(DataFileError, match=r"line 2|row 2"):
        read(path)


# Texts


def test_a_text_is_one_document(tmp_path: Path) -> None:
    (found,) = read(write(tmp_path / "note.txt", "첫 줄\n\n둘째 줄\n"))
    assert found == Document(id="note.txt", fields={"text": "첫 줄\n\n둘째 줄\n"}, source="note.txt")


def test_a_text_by_lines(tmp_path: Path) -> None:
    found = read(write(tmp_path / "note.txt", "첫 줄\n\n둘째 줄\n"), lines=True)
    assert [document.fields["text"] for document in found] == ["첫 줄", "둘째 줄"]


def test_a_text_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="it has no columns"):
        read(write(tmp_path / "note.txt", "첫 줄"), id="key")


MARKDOWN = """---
title: x
---
들어가는 말

# 설치
본문 하나

```sh
# not a heading
```

## 윈도우 ##
본문 둘

설치
====
본문 셋

# 빈 절
"""


def test_markdown_has_a_document_for_each_section(tmp_path: Path) -> None:
    found = read(write(tmp_path / "guide.md", MARKDOWN))
    assert [document.id for document in found] == [
        "guide.md",
        "guide.md#설치",
        "guide.md#설치/윈도우",
        "guide.md#설치-2",
    ]
    assert [document.metadata.get("headings") for document in found] == [
        None,
        ["설치"],
        ["설치", "윈도우"],
        ["설치"],
    ]
    assert found[1].fields["text"] == "설치\n본문 하나\n\n```sh\n# not a heading\n```"


def test_lines_that_look_like_headings() -> None:
    text = "#hashtag\n\n- item\n---\n\n| a |\n|---|\n\nparagraph of\ntwo lines\n---"
    (section,) = sections(text)
    assert section.headings == ()


# Folders


def test_a_fifo_in_a_folder_is_never_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "docs" / "a.txt", "가")
    os.mkfifo(tmp_path / "docs" / "b.txt")
    (tmp_path / "docs" / "c.txt").symlink_to("c.txt")
    source = Source(path=str(tmp_path / "docs"))
    assert [document.source for document in source.documents(("text",))] == ["docs/a.txt"]
    assert source.skipped == {"no regular file": 1, "unreadable": 1}


def test_a_folder_in_order_with_what_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    write(folder / "b.txt", "나")
    write(folder / "a.txt", "가")
    write(folder / "deep" / "er" / "c.md", "# 다\n글")
    write(folder / "t.csv", "text\n라\n")
    write(folder / ".git" / "x.txt", "숨음")
    write(folder / ".hidden", "숨음")
    write(folder / "empty.txt", " \n")
    write(folder / "page.pdf", "x")
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    (folder / "z.txt.gz").write_bytes(gzip.compress("마".encode()))
    source = Source(path=str(folder))
    found = list(source.documents(("text",)))
    assert [document.source for document in found] == [
        "docs/a.txt",
        "docs/b.txt",
        "docs/t.csv",
        "docs/z.txt.gz",
        "docs/deep/er/c.md",
    ]
    assert source.skipped == {"hidden": 2, "empty": 1, "of another kind": 1, "binary": 1}


def test_a_source_has_only_its_documents() -> None:
    source = Source(path="somewhere/docs")
    assert source.holds("docs")
    assert source.holds("docs/a.txt")
    assert not source.holds("docs2/a.txt")
    assert not source.holds(None)
    assert Source(path="x", name="mine").holds("mine/a.txt")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="There is no file"):
        read(tmp_path / "none.txt")
    (tmp_path / "cp949.txt").write_bytes("한글".encode("cp949"))
    with pytest.raises(DataFileError, match="looks like CP949"):
        read(tmp_path / "cp949.txt")
    assert read(tmp_path / "cp949.txt", encoding="cp949")[0].fields["text"] == "한글"


def test_quotes_of_tsv_are_decided_by_the_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'label\ttext\n1\t"가\n2\t나\n3\t다"\n4\t라\n')
    assert [document.fields["text"] for document in read(path)] == ['"가', "나", '다"', "라"]
    assert len(read(path, quoting=True)) == 2


def test_rows_without_an_id_have_one_of_their_content(tmp_path: Path) -> None:
    lines = ['{"id": 7, "text": "가"}', '{"text": "나"}', '{"id": null, "text": "다"}']
    for order in (lines, lines[::-1]):
        documents = read(write(tmp_path / "a.jsonl", "\n".join(order)))
        assert {document.fields["text"] for document in documents} == {"가", "나", "다"}
        assert {document.id for document in documents if document.fields["text"] == "가"} == {7}
        assert len({document.id for document in documents}) == 3
