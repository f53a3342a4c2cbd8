"""Users' files: every format gives the same rows, and errors have the line or row."""

from __future__ import annotations

import gzip
import io
import json
import re
import unicodedata
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from munjang.data import read_labelled_texts, read_texts
from munjang.data.files import DataFile, Row
from munjang.errors import DataFileError, InputError, MissingExtraError

TEXTS = ["축구가 재미있어요.", 'She said "hi, there".', "", "탭\t없는 줄"]


def write(path: Path, content: str | bytes) -> DataFile:
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return DataFile(path=str(path))


def texts(source: DataFile) -> list[str]:
    return [row.text for row in source]


def with_options(source: DataFile, **options: object) -> DataFile:
    return DataFile(path=source.path, **options)  # type: ignore[arg-type]


# Formats


@pytest.mark.parametrize("name", ["a.txt", "a.text.gz", "noend"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_has_one_entry_per_line(tmp_path: Path, name: str, end: str) -> None:
    rows = list(write(tmp_path / name, end.join(TEXTS) + end))
    assert [row.text for row in rows] == TEXTS
    assert rows[1] == Row(1, 1, TEXTS[1], {"text": TEXTS[1]}, "text")


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", "가\n나")) == ["가", "나"]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    line = "one\u2028still\x0bone\x85and\rone"
    assert texts(write(tmp_path / "a.txt", f"{line}\ntwo\n")) == [line, "two"]


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.csv.gz"])
def test_csv_quotes_commas_and_line_ends(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / name, 'id,question,n\nx-1,"a, ""b""\nc",1\r\n\r\nx-2,나,2\r\n')
    assert list(source) == [
        Row(0, "x-1", 'a, "b"\nc', {"id": "x-1", "question": 'a, "b"\nc', "n": "1"}, "question"),
        Row(1, "x-2", "나", {"id": "x-2", "question": "나", "n": "2"}, "question"),
    ]


def test_tsv_with_and_without_quoting(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tsv", 'text\tn\n"quoted"\t1\n"a ""b"""\t2\n')
    assert texts(source) == ["quoted", 'a "b"']
    assert texts(with_options(source, quoting=False)) == ['"quoted"', '"a ""b"""']


def test_a_table_without_header_has_numbered_columns(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", "가,나\n다,라\n")
    assert texts(with_options(source, header=False, column="2")) == ["나", "라"]


def test_json_lines_of_objects_and_of_strings(tmp_path: Path) -> None:
    lines = [json.dumps({"id": 7 + n, "text": text, "n": n}) for n, text in enumerate(TEXTS)]
    rows = list(write(tmp_path / "a.jsonl", "\n\n".join(lines)))
    assert [(row.number, row.id, row.text) for row in rows] == [(n, 7 + n, t) for n, t in enumerate(TEXTS)]
    assert texts(write(tmp_path / "b.ndjson.gz", "\n".join(map(json.dumps, TEXTS)))) == TEXTS


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = {"id": [5, 6], "text": ["가", "나"], "vector": [[1.0], [2.0]], "lang": ["ko", "ko"]}
    pq.write_table(pa.table(table), path)
    rows = list(DataFile(path=str(path)))
    assert [(row.id, row.text) for row in rows] == [(5, "가"), (6, "나")]
    assert dict(rows[0].values) == {"id": 5, "text": "가", "lang": "ko"}  # nothing nested


def test_a_file_is_read_again_from_its_start(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", "가\n나\n")
    assert texts(source) == texts(source)
    assert source.rereadable


def test_standard_input_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO("가\n나\n".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    source = DataFile(path="-")
    assert not source.rereadable
    assert texts(source) == ["가", "나"]


def test_a_long_text_is_fast(tmp_path: Path) -> None:
    long = "가나다 " * 400_000
    assert texts(write(tmp_path / "a.csv", f'text\n"{long}"\n')) == [long]


# Encodings


def test_a_mark_at_the_beginning_is_not_text(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", "\ufeff가\n".encode())) == ["가"]
    assert next(iter(write(tmp_path / "a.csv", "\ufefftext,n\n가,1\n".encode()))).column == "text"


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-16-le", "utf-32", "iso2022_kr", "utf-7"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    lines = "".join(f"{text}\r\n" for text in TEXTS)
    source = write(tmp_path / "a.txt", lines.encode(encoding))
    assert texts(with_options(source, encoding=encoding)) == TEXTS


def test_a_mark_before_the_only_line_of_a_wide_encoding(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", "\ufeff가".encode("utf-16-le"))
    assert texts(with_options(source, encoding="utf-16-le")) == ["가"]


def test_an_encoding_that_ends_lines_with_another_byte(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", "one\ntwo\n".encode("cp037"))
    assert texts(with_options(source, encoding="cp037")) == ["one", "two"]


def test_bytes_that_are_not_punycode(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="line 1 or soon after: not punycode"):
        texts(with_options(write(tmp_path / "a.txt", "a!\n"), encoding="punycode"))


def test_a_long_file_in_a_wide_encoding(tmp_path: Path) -> None:
    lines = [f"{number} 번째 줄 😀" for number in range(9000)]
    source = write(tmp_path / "a.txt", "\n".join(lines).encode("utf-16"))
    assert texts(with_options(source, encoding="utf-16")) == lines


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("가\n나\n".encode("cp949"), "line 1: not UTF-8 (byte 0xb0); it looks like CP949"),
        (b"ok\n" + "가나".encode("cp949"), "line 2: not UTF-8 (byte 0xb0); it looks like CP949"),
        ("ok\nété".encode("latin-1"), "line 2: not UTF-8 (byte 0xe9); save it as UTF-8"),
        ("가".encode("utf-16"), "line 1: not UTF-8 (byte 0xff); it looks like UTF-16"),
        (b"ok\na\0b\n", "line 2: a NUL character"),
    ],
)
def test_bytes_of_another_encoding(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataFileError) as error:
        list(write(tmp_path / "a.txt", content))
    assert message in str(error.value)


def test_a_broken_wide_encoding(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", b"\xff\xfea\0\n\0\x00\xd8")
    with pytest.raises(DataFileError, match="line 2 or soon after: not utf-16"):
        list(with_options(source, encoding="utf-16"))


@pytest.mark.parametrize("encoding", ["klingon", "hex", "a\0b"])
def test_an_unknown_encoding(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match="no character encoding"):
        list(with_options(write(tmp_path / "a.txt", "가"), encoding=encoding))


# Columns


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("sentence", "sentence"),
        ("id", "id"),
        ("ID,Frage", "Frage"),
        ("lang,question,answer", "question"),
        ("lang,Text,label", "Text"),
    ],
)
def test_the_obvious_column(tmp_path: Path, header: str, column: str) -> None:
    values = ",".join("x" for _ in header.split(","))
    assert next(iter(write(tmp_path / "a.csv", f"{header}\n{values}\n"))).column == column


@pytest.mark.parametrize("header", ["Q,A", "text,sentence,label", "sentence1,sentence2"])
def test_no_usual_column_name(tmp_path: Path, header: str) -> None:
    values = ",".join("x" for _ in header.split(","))
    columns = header.replace(",", ", ")
    with pytest.raises(DataFileError, match=f"has the columns {columns}; .* column=NAME"):
        list(write(tmp_path / "a.csv", f"{header}\n{values}\n"))


def test_a_missing_column(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", "Q,A\n가,나\n")
    with pytest.raises(DataFileError, match="has no column 'question'; it has Q, A"):
        list(with_options(source, column="question"))


def test_a_text_file_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="is a text file, one text per line; it has no columns"):
        list(with_options(write(tmp_path / "a.txt", "가"), column="text"))


# What is wrong in a file


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "has no rows: it is empty"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "text,n\n", "has no rows"),
        ("a.jsonl", "\n\n", "has no rows"),
        ("a.csv", "text,n\n가,1\n나\n", "line 3: 1 field instead of 2."),
        ("a.csv", 'text,n\n"가\n나",1\n다,2,3\n', "line 4: 3 fields instead of 2."),
        (
            "a.tsv",
            "text\tn\n가\t1\t2\n",
            "3 fields instead of 2. If its quotes are letters, pass quoting=False",
        ),
        ("a.csv", 'text,n\n가,1\n"나,2\n다,3\n', "the row that begins in line 3 is broken"),
        ("a.csv", 'text,n\n"가"나,1\n', "the row that begins in line 2 is broken"),
        ("a.csv", "text,text\n가,나\n", "has 2 columns named 'text'"),
        ("a.jsonl", '{"text": "가"}\n{"text": \n', "line 2: not JSON: Expecting value"),
        ("a.jsonl", "[" * 200_000, "line 1: not JSON"),
        ("a.jsonl", '"가"\n17\n', "line 2: a number; each line must be an object or a string"),
        ("a.jsonl", "[]\n", "line 1: a list"),
        ("a.jsonl", '{"text": "가"}\n{"txet": "나"}\n', "line 2: there is no 'text'"),
        ("a.jsonl", '{"text": "가"}\n{"text": null}\n', "line 2: 'text' is null, not a text"),
        ("a.jsonl", '{"text": "가"}\n{"text": ["나"]}\n', "line 2: 'text' is a list, not a text"),
        ("a.jsonl", '{"text": "가"}\n{"text": "\\ud800"}\n', "line 2: 'text' holds half a surrogate pair"),
        ("a.jsonl", '{"id": 1, "text": "가"}\n{"text": "나"}\n', "line 2: 'id' is null"),
        ("a.jsonl", '{"text": "가"}\n{"id": 1, "text": "나"}\n', "line 2: this row has an 'id'"),
        ("a.json", "[]", "can't be read as it is; save it as .txt"),
        ("a.xlsx", "PK", "can't be read as it is"),
        ("a.parquet", "PAR1", "Can't read"),
    ],
)
def test_a_broken_file(tmp_path: Path, name: str, content: str, message: str) -> None:
    source = write(tmp_path / name, content)
    with pytest.raises(DataFileError) as error:
        list(source)
    assert message in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"There is no file '.*nowhere\.txt'"):
        list(DataFile(path=str(tmp_path / "nowhere.txt")))
    with pytest.raises(DataFileError, match="is a folder"):
        list(DataFile(path=str(tmp_path)))
    with pytest.raises(DataFileError, match="There is no file"):
        list(DataFile(path="a\0b.txt"))


@pytest.mark.parametrize(
    "content", [b"not gzip", gzip.compress(b"text\n" * 100, mtime=0)[:-9]], ids=["no archive", "cut short"]
)
def test_a_broken_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="is not a whole gzip file"):
        list(DataFile(path=str(path)))


def test_a_parquet_column_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1, 2], "text": ["가", None]}), path)
    with pytest.raises(DataFileError, match="row 1: 'n' is a number, not a text"):
        list(DataFile(path=str(path), column="n"))
    with pytest.raises(DataFileError, match="row 2: 'text' is null"):
        list(DataFile(path=str(path)))


def test_two_parquet_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(
        pa.table([pa.array(["가"]), pa.array(["나"])], names=["text", "text"]), tmp_path / "a.parquet"
    )
    with pytest.raises(DataFileError, match="2 columns named 'text'"):
        list(DataFile(path=str(tmp_path / "a.parquet")))


def test_parquet_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*pyarrow"):
        list(write(tmp_path / "a.parquet", "PAR1"))


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    source = write(tmp_path / "a.txt", "가")
    Path(source.path).chmod(0)
    try:
        with Path(source.path).open():
            pytest.skip("this user may read everything")
    except PermissionError:
        pass
    with pytest.raises(DataFileError, match=r"Can't read .*Permission denied"):
        list(source)


# The choice of the column and of the ids does not depend on the order of the rows


def in_all_orders(path: Path, lines: list[str]) -> list[str]:
    """Return the errors of a file of JSON Lines with these rows, in every order."""
    errors = []
    for order in permutations(lines):
        with pytest.raises(DataFileError) as caught:
            list(write(path, "\n".join(order)))
        errors.append(str(caught.value))
    return errors


@pytest.mark.parametrize(
    "lines",
    [
        ['{"text": null, "summary": "S1"}', '{"text": "본문", "summary": "S2"}'],
        ['{"title": "T"}', '{"text": "본문", "title": "T2"}'],
        ['{"title": "T", "note": null}', '{"title": "T2", "note": "N"}', '{"title": "T3"}'],
        ['{"text": "가"}', '{"text": "나", "question": "다"}'],
        ['{"text": ["가"], "summary": "S1"}', '{"text": "나", "summary": "S2"}'],
        ['{"summary": "S1"}', '{"text": null, "summary": "S2"}'],
    ],
)
def test_a_row_contradicts_the_choice_of_the_column(tmp_path: Path, lines: list[str]) -> None:
    for error in in_all_orders(tmp_path / "a.jsonl", lines):
        assert re.search("unclear which column|say which holds|'text' is|there is no 'text'", error)


def test_a_later_column_that_is_no_text_column_of_its_own(tmp_path: Path) -> None:
    lines = ['{"text": "가"}', '{"text": "나", "title": "T", "label": 3}']
    assert texts(write(tmp_path / "a.jsonl", "\n".join(lines))) == ["가", "나"]
    assert texts(write(tmp_path / "b.jsonl", "\n".join(reversed(lines)))) == ["나", "가"]


def test_a_null_hides_no_column_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [None, "본문"], "summary": ["S1", "S2"]}), path)
    with pytest.raises(DataFileError, match="row 1: 'text' is null"):
        list(DataFile(path=str(path)))
    assert texts(DataFile(path=str(path), column="summary")) == ["S1", "S2"]


@pytest.mark.parametrize(
    "lines",
    [
        ['{"id": null, "text": "가"}', '{"id": 77, "text": "나"}'],
        ['{"id": "", "text": "가"}', '{"id": "b", "text": "나"}'],
        ['{"text": "가"}', '{"text": "나", "ID": 5}'],
        ['{"id": 1.5, "text": "가"}', '{"id": 2.0, "text": "나"}'],
        ['{"id": true, "text": "가"}', '{"id": 2, "text": "나"}'],
        ['{"id": [1], "text": "가"}', '{"text": "나"}'],
    ],
)
def test_ids_that_not_all_rows_have(tmp_path: Path, lines: list[str]) -> None:
    for error in in_all_orders(tmp_path / "a.jsonl", lines):
        assert re.search("'(id|ID)'", error)
    source = write(tmp_path / "a.jsonl", "\n".join(lines))
    assert [row.id for row in with_options(source, ids=False)] == [0, 1]
    assert list(read_texts(source.path)) == ["가", "나"]


def test_without_any_id_the_rows_are_numbered(tmp_path: Path) -> None:
    assert [row.id for row in write(tmp_path / "a.csv", "id,text\n,가\n,나\n")] == [0, 1]
    with pytest.raises(DataFileError, match="line 3: 'id' is empty, but the first row has one"):
        list(write(tmp_path / "b.csv", "id,text\na,가\n,나\n"))


def test_float_ids_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1.5, 2.5], "text": ["가", "나"]}), path)
    with pytest.raises(DataFileError, match=r"row 1: 'id' is 1\.5, neither an integer nor a text"):
        list(DataFile(path=str(path)))


# Quotes of TSV are decided by the content, as for labelled texts


def test_quotes_of_the_text_in_tsv(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tsv", 'label\ttext\n1\t"가\n2\t나\n3\t다"\n4\t라\n')
    assert texts(source) == ['"가', "나", '다"', "라"]
    assert [example.text for example in read_labelled_texts(source.path)] == texts(source)
    assert source.with_quoting().quoting is False
    assert texts(with_options(source, quoting=True)) == ["가\n2\t나\n3\t다", "라"]
    assert write(tmp_path / "b.tsv", 'n\ttext\n1\t"가\n나"\n2\t다\n').with_quoting().quoting is True


# Names


def test_column_names_in_both_normal_forms(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "질문,답변\n어디?,여기\n")
    source = write(tmp_path / "a.csv", decomposed)
    assert source.columns() == ["질문", "답변"]
    assert [(row.column, dict(row.values)) for row in source] == [
        (
            "질문",
            {"질문": unicodedata.normalize("NFD", "어디?"), "답변": unicodedata.normalize("NFD", "여기")},
        )
    ]
    named = with_options(source, column=unicodedata.normalize("NFD", "답변"))
    assert texts(named) == [unicodedata.normalize("NFD", "여기")]
    lines = write(tmp_path / "a.jsonl", unicodedata.normalize("NFD", '{"본문": "가"}') + '\n{"본문": "나"}')
    assert [unicodedata.normalize("NFC", text) for text in texts(lines)] == ["가", "나"]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({unicodedata.normalize("NFD", "본문"): ["가"], "kind": ["x"]}), path)
    assert [row.column for row in DataFile(path=str(path))] == ["본문"]


def test_a_key_that_occurs_twice(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"line 2: an object has the key 'text' twice\."):
        list(write(tmp_path / "a.jsonl", '{"text": "가"}\n{"text": "나", "text": "다"}'))
