"""Labelled texts and scored pairs: the choice of columns, quotes as plain characters, and bad rows.

Bad: a column that is not there, nothing but a header, too few fields, an empty text or label, a label that is
no number where it should be, NaN, infinity, lists for texts, half a surrogate pair, a file without columns.
"""

from __future__ import annotations

import csv
import json
import tempfile
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.data import read_labelled_texts, read_scored_pairs
from munjang.data.examples import LabelledText, ScoredPair
from munjang.errors import DataFileError, InputError

SINGLE = LabelledText("재미있다", None, "1")
PAIR = LabelledText("비가 온다", "날이 궂다", "entailment")


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("id document label", "7 재미있다 1"),  # NSMC
        ("sentence label", "재미있다 1"),
        ("Text LABEL", "재미있다 1"),
        ("guid title label", "7 재미있다 1"),  # KLUE-TC
        ("Q A label", "재미있다 나도 1"),  # everyday questions: the label is the question's
    ],
)
def test_columns_of_single_texts(columns: str, values: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", f"{columns}\n{values}\n".replace(" ", "\t"))
    assert read_labelled_texts(path) == [SINGLE]


def test_a_named_column_of_texts_has_no_pairs(tmp_path: Path) -> None:
    lines = '{"text": "재미있다", "label": 1}\n{"text": "재미있다", "text_pair": "다", "label": 1}'
    assert read_labelled_texts(write(tmp_path / "a.jsonl", lines), text="text") == [SINGLE, SINGLE]


@pytest.mark.parametrize(
    "columns",
    [
        ("sentence1", "sentence2", "gold_label"),  # KorNLI, XNLI
        ("premise", "hypothesis", "label"),  # KLUE-NLI, the hub's XNLI
        ("question1", "question2", "is_duplicate"),  # question pairs
        ("question", "sentence", "label"),  # GLUE's QNLI
    ],
)
def test_columns_of_pairs(columns: tuple[str, str, str], tmp_path: Path) -> None:
    row = ("비가 온다", "날이 궂다", "entailment")
    content = "\n".join("\t".join(("9", *fields)) for fields in (columns, row)).replace("9", "index", 1)
    assert read_labelled_texts(write(tmp_path / "a.tsv", content)) == [PAIR]
    line = json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
    assert read_labelled_texts(write(tmp_path / "a.jsonl", line)) == [PAIR]


def test_the_gold_label_comes_before_those_of_the_annotators(tmp_path: Path) -> None:
    content = (
        "label1\tlabel\tsentence1\tsentence2\tgold_label\nneutral\tx\t비가 온다\t날이 궂다\tentailment\n"
    )
    assert read_labelled_texts(write(tmp_path / "mnli.tsv", content)) == [PAIR]


def test_named_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,sentence1,sentence2,label,kind\n가,나,다,0,명사\n")
    assert read_labelled_texts(path, text="sentence1", label="kind") == [LabelledText("나", None, "명사")]
    named = read_labelled_texts(path, text="sentence2", text_pair="text")
    assert named == [LabelledText("다", "가", "0")]
    with pytest.raises(InputError, match="name both columns"):
        read_labelled_texts(path, text_pair="sentence2")


def test_a_table_without_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1,재미있다\n")
    assert read_labelled_texts(path, text="2", label="1", header=False) == [SINGLE]
    with pytest.raises(DataFileError, match="has the columns 1, 2; say which holds the texts"):
        read_labelled_texts(path, header=False)


@pytest.mark.parametrize(
    ("value", "label"),
    [('"1"', "1"), ("1", "1"), ("1.5", "1.5"), ("true", "true"), ('" 긍정"', " 긍정")],
)
def test_labels_are_unchanged(value: str, label: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "재미있다", "label": {value}}}')
    assert read_labelled_texts(path) == [LabelledText("재미있다", None, label)]


def test_one_label_in_two_forms(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "가", "label": label}) for label in (1, 1.0, -0.0, 1e300, 0.5)]
    labels = [example.label for example in read_labelled_texts(write(tmp_path / "a.jsonl", "\n".join(lines)))]
    assert labels == ["1", "1", "0", "1e+300", "0.5"]
    with pytest.raises(DataFileError, match=r"has the labels '1' and '1\.0'; write one of them"):
        read_labelled_texts(write(tmp_path / "b.csv", "text,label\n가,1\n나,1.0\n"))
    forms = [unicodedata.normalize(form, "긍정") for form in ("NFC", "NFD")]
    path = write(tmp_path / "a.csv", "".join(["text,label\n", *(f"{form},{form}\n" for form in forms)]))
    assert read_labelled_texts(path) == [LabelledText(form, None, "긍정") for form in forms]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("columns", "pair"),
    [
        ("번호,문장,라벨", False),
        ("번호,텍스트,레이블", False),
        ("번호,리뷰,감정", False),
        ("전제,가설,라벨", True),
    ],
)
def test_korean_names_of_columns(columns: str, pair: bool, form: str, tmp_path: Path) -> None:
    decomposed = unicodedata.normalize(form, columns)  # type: ignore[arg-type]
    path = write(tmp_path / "a.csv", f"{decomposed}\n가,나,1\n")
    expected = LabelledText("가", "나", "1") if pair else LabelledText("나", None, "1")
    assert read_labelled_texts(path) == [expected]


def test_korean_names_of_scores(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "문장1,문장2,점수\n가,나,1.5\n")
    assert read_scored_pairs(path) == [ScoredPair("가", "나", 1.5)]
    assert read_labelled_texts(path, numeric=True) == [LabelledText("가", "나", 1.5)]


def test_labels_that_are_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label,score\n가,좋음,-1.5e1\n나,싫음,٣\n")
    assert [example.label for example in read_labelled_texts(path, numeric=True)] == [-15.0, 3.0]
    assert [example.label for example in read_labelled_texts(path)] == ["좋음", "싫음"]


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {"sentence1": ["가", "나"], "sentence2": ["다", "라"], "label": [3.5, 0.0], "idx": [0, 1]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_scored_pairs(tmp_path / "a.parquet") == [
        ScoredPair("가", "다", 3.5),
        ScoredPair("나", "라", 0.0),
    ]


def test_texts_are_unchanged(tmp_path: Path) -> None:
    text = "  \u1112\u1161\u11ab\u1100\u1173\u11af \u3000"
    path = write(tmp_path / "a.tsv", f"text\tlabel\n{text}\t1\n")
    assert read_labelled_texts(path) == [LabelledText(text, None, "1")]


def test_the_files_of_klue(tmp_path: Path) -> None:
    inference = {"guid": "1", "premise": "비가 온다", "hypothesis": "날이 궂다", "gold_label": "entailment"}
    path = write(tmp_path / "klue-nli.json", json.dumps([{**inference, "author2": "neutral"}], indent=2))
    assert read_labelled_texts(path) == [PAIR]
    topics = [{"guid": "1", "title": "재미있다", "label": "1", "annotations": {"annotators": ["13"]}}]
    assert read_labelled_texts(write(tmp_path / "ynat.json", json.dumps(topics))) == [SINGLE]
    similar = {
        "sentence1": "가",
        "sentence2": "나",
        "labels": {"label": 3.7, "real-label": 3.71, "binary-label": 1},
    }
    path = write(tmp_path / "klue-sts.json", json.dumps([similar]))
    assert read_scored_pairs(path) == [ScoredPair("가", "나", 3.7)]
    assert read_scored_pairs(path, score="labels.real-label") == [ScoredPair("가", "나", 3.71)]
    lines = write(tmp_path / "klue-sts.jsonl", json.dumps(similar))
    assert read_labelled_texts(lines, label="labels.binary-label") == [LabelledText("가", "나", "1")]


# Scored pairs


def test_scored_pairs_with_and_without_header(tmp_path: Path) -> None:
    expected = [ScoredPair("가다", "오다, 서다", 1.5)]
    bare = write(tmp_path / "bare.csv", '가다,"오다, 서다",1.5\n')
    named = write(tmp_path / "a.csv", 'id,score,sentence1,sentence2\n3,1.5,가다,"오다, 서다"\n')
    assert read_scored_pairs(bare) == read_scored_pairs(named) == expected
    assert read_scored_pairs(bare, header=False) == expected
    assert read_scored_pairs(bare, header=False, sentence1="2", sentence2="1", score="3") == [
        ScoredPair("오다, 서다", "가다", 1.5)
    ]
    assert read_scored_pairs(named, sentence1="sentence2", sentence2="sentence1") == [
        ScoredPair("오다, 서다", "가다", 1.5)
    ]


def test_a_column_without_a_name_is_not_part_of_the_pair(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ",one,two,score\n0,가,나,1\n")
    with pytest.raises(DataFileError, match="say which holds the first texts of the pairs"):
        read_scored_pairs(path)
    assert read_scored_pairs(path, sentence1="one", sentence2="two") == [ScoredPair("가", "나", 1.0)]


@pytest.mark.parametrize("score", ["", "viel", "nan", "inf", "-Infinity"])
def test_invalid_scores(score: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"가,나,1\n다,라,{score}\n")
    with pytest.raises(DataFileError, match=r"a\.csv', line 2: '3' is .*(not a number|must be finite)"):
        read_scored_pairs(path)
    with pytest.raises(DataFileError, match=r"line 1: '3'|has the columns"):
        read_scored_pairs(write(tmp_path / "first.csv", f"가,나,{score}\n다,라,1\n"))


# Quotes


KORSTS = 'score\tsentence1\tsentence2\n1\t"행성"에 대한 말\t돌\n2\t"시작뿐\t"끝\n3\t"온전"\t그냥"\n'


def test_quotes_that_are_letters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", KORSTS)
    assert read_scored_pairs(path) == [
        ScoredPair('"행성"에 대한 말', "돌", 1.0),
        ScoredPair('"시작뿐', '"끝', 2.0),
        ScoredPair('"온전"', '그냥"', 3.0),
    ]
    with pytest.raises(DataFileError, match="is broken"):
        read_scored_pairs(path, quoting=True)


def test_unclosed_quotes_are_letters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'text\tlabel\n나는 "말\t1\n"그는\t0\n우리는"\t1\n')
    assert [example.text for example in read_labelled_texts(path)] == ['나는 "말', '"그는', '우리는"']
    assert [example.text for example in read_labelled_texts(path, quoting=True)] == [
        '나는 "말',
        "그는\t0\n우리는",
    ]


def test_quotes_that_are_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'document\tlabel\n"""여동생""이 떠오른다"\t0\n"두\n줄"\t1\n')
    assert [example.text for example in read_labelled_texts(path)] == ['"여동생"이 떠오른다', "두\n줄"]
    letters = write(tmp_path / "b.tsv", 'document\tlabel\n"""여동생""이"\t0\n')
    assert [example.text for example in read_labelled_texts(letters, quoting=False)] == ['"""여동생""이"']


TEXTS = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\r\n\ufeff") | st.just('"'),
        min_size=1,
    ).filter(str.strip),
    min_size=1,
    max_size=5,
)


@given(texts=TEXTS, end=st.sampled_from(["", "\n", "\n가"]))
def test_quoted_values_are_read_back(texts: list[str], end: str) -> None:
    texts = [f"{text}{end}" for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tsv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([("text", "label"), *((text, 1) for text in texts)])
        assert [example.text for example in read_labelled_texts(path)] == texts


@given(texts=TEXTS)
def test_unquoted_values_are_read_back(texts: list[str]) -> None:
    texts = ['"한 낱말"로 시작', *texts]  # as quotes, these would be broken
    with tempfile.TemporaryDirectory() as folder:
        path = write(
            Path(folder) / "a.tsv",
            "".join(f"{text}\t1\n" for text in ["text", *texts]).replace("1", "label", 1),
        )
        assert [example.text for example in read_labelled_texts(path)] == texts


# Bad files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\n", "has no rows: it is empty or has nothing but a header"),
        ("a.csv", "text,label\n가,1\n나\n", "line 3: 1 field instead of 2"),
        ("a.csv", "text,label\n가,1,2\n", "line 2: 3 fields instead of 2"),
        ("a.csv", 'text,label\n"가,1\n', "line 2 is broken"),
        ("a.csv", "text,label\n  ,1\n", "line 2: 'text' is empty"),
        ("a.csv", "text,label\n가,1\n\n나, \n", "line 4: 'label' is empty"),
        ("a.csv", "sentence1,sentence2,label\n가,,1\n", "line 2: 'sentence2' is empty"),
        ("a.csv", "글,label\n가,1\n", "has the columns 글, label; say which holds the texts"),
        ("a.csv", "text,값\n가,1\n", "has the columns text, 값; say which holds the labels"),
        ("a.csv", '"나의\n글",label\n가,1\n', r"has the columns '나의\\n글', label; say"),
        ("a.csv", f"{'가' * 99},label\n가,1\n", f"has the columns {'가' * 40}\\.\\.\\., label; say"),
        ("a.csv", "text,text,label\n가,나,1\n", "has 2 columns named 'text'"),
        ("a.jsonl", '{"text": "가", "label": 1}\n{"text": "나"}', "line 2: there is no 'label'"),
        (
            "a.jsonl",
            '{"text": "가", "label": 1}\n{"text": "나", "text_pair": "다", "label": 2}',
            "line 1: there is no 'text_pair'",
        ),
        ("a.jsonl", '{"text": ["가"], "label": 1}', "line 1: 'text' is a list, not a text"),
        ("a.jsonl", '{"text": 3, "label": 1}', "line 1: 'text' is a number, not a text"),
        ("a.jsonl", '{"text": "가", "label": null}', "line 1: 'label' is empty"),
        ("a.jsonl", '{"text": "가", "label": [1]}', "line 1: 'label' is a list"),
        ("a.jsonl", '{"text": "가", "label": NaN}', "line 1: 'label' is nan; it must be finite"),
        ("a.jsonl", '{"text": "가\\ud83d", "label": 1}', "line 1: 'text' holds half a surrogate pair"),
        ("a.jsonl", '{"text": "가", "label": 1}\n{', "line 2: not JSON"),
        ("a.jsonl", "[1]", "line 1: a list; each line must be an object"),
        ("a.txt", "가\t1\n", "has no columns; save it as .csv"),
        ("a.json", "[]", "has no entries: its list is empty"),
        ("a.json", '[{"text": "가", "label": 1}, {"text": "나"}]', "entry 2: there is no 'label'"),
        ("a.xlsx", "", "can't be read as it is"),
    ],
)
def test_bad_files(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=message) as caught:
        read_labelled_texts(write(tmp_path / name, content))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"text": "글"}, {"label": "값"}, {"text": "text", "text_pair": "짝"}])
def test_a_missing_column(options: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text,label\n1,가,1\n")
    missing = [*options.values()][-1]
    with pytest.raises(DataFileError, match=f"has no column '{missing}'; it has id, text, label"):
        read_labelled_texts(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"다섯"', "'label' is '다섯', not a number"),
        ('"1_0"', "'label' is '1_0', not a number"),
        ('"nan"', "'label' is 'nan'; it must be finite"),
        ("NaN", "'label' is nan; it must be finite"),
        ("1e999", "'label' is inf; it must be finite"),
        (f"1{'0' * 400}", r"'label' is 10+\.\.\., not a number"),
        ("true", "'label' is a truth value, not a number"),
        ("null", "'label' is null, not a number"),
        ("[1]", "'label' is a list, not a number"),
        ('""', "'label' is '', not a number"),
    ],
)
def test_labels_that_are_no_numbers(value: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "가", "label": 1}}\n{{"text": "나", "label": {value}}}\n')
    with pytest.raises(DataFileError, match=f"line 2: {message}"):
        read_labelled_texts(path, numeric=True)


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("text\tlabel\n재미있다\t1\n".encode("cp949"))
    assert read_labelled_texts(path, encoding="cp949") == [SINGLE]
    lines = tmp_path / "a.json"
    lines.write_bytes('[{"text": "재미있다", "label": 1}]'.encode("cp949"))
    assert read_labelled_texts(lines, encoding="cp949") == [SINGLE]
    for each in (path, lines):
        with pytest.raises(InputError, match="no character encoding 'utf-9'"):
            read_labelled_texts(each, encoding="utf-9")


def test_structs_in_parquet(tmp_path: Path) -> None:
    columns = {"sentence1": ["가"], "sentence2": ["나"], "labels": [{"label": 3.7, "binary-label": 1}]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read_scored_pairs(tmp_path / "a.parquet") == [ScoredPair("가", "나", 3.7)]
