"""Anchors with positives and negatives, and queries with ranked documents.

Bad: a column that is not there, an empty text, a negative that is no text, scored pairs where contrasts are
wanted, labels of inference that are none, inference without entailment; relevance that is no number, not
finite, or of another length than the documents, no documents.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from munjang.data import read_contrasts, read_ranked_lists
from munjang.data.examples import Contrast, RankedList
from munjang.errors import DataFileError, InputTypeError


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize(
    "columns", ["anchor,positive", "Query,Positive", "question,answer", "Q,A", "sentence1,sentence2"]
)
def test_pairs(columns: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f'{columns},kind\n심심해,"놀까, 우리",0\n배고파,먹자,1\n')
    assert read_contrasts(path) == [Contrast("심심해", "놀까, 우리"), Contrast("배고파", "먹자")]


def test_negatives(tmp_path: Path) -> None:
    rows = "anchor\tnegative_2\tpositive\tnegative\tnegative_10\n가\t다\t나\t라\t\n마\t\t바\t\t\n"
    expected = [Contrast("가", "나", ("다", "라")), Contrast("마", "바")]
    assert read_contrasts(write(tmp_path / "a.tsv", rows)) == expected
    lines = (
        '{"query": "가", "positive": "나", "negatives": ["다", "라"]}\n{"query": "마", "positive": "바"}\n'
    )
    assert read_contrasts(write(tmp_path / "a.jsonl", lines)) == expected
    later = (
        '{"query": "마", "positive": "바"}\n{"query": "가", "positive": "나", "hard_negatives": ["다", "라"]}'
    )
    assert read_contrasts(write(tmp_path / "later.jsonl", later)) == expected[::-1]
    nothing = '{"query": "마", "positive": "바", "negative": null, "negatives": []}\n'
    assert read_contrasts(write(tmp_path / "b.jsonl", nothing)) == expected[1:]


def test_named_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sentence1,sentence2,label,다른\n가,나,3,다\n")
    named = read_contrasts(path, anchor="sentence2", positive="sentence1", negatives=["다른", "label"])
    assert named == [Contrast("나", "가", ("다", "3"))]
    path = write(tmp_path / "b.csv", "가,나\n")
    assert read_contrasts(path, anchor="1", positive="2", header=False) == [Contrast("가", "나")]


NAMES, NUMBERS = ("entailment", "contradiction", "neutral"), ("0", "2", "1")


@pytest.mark.parametrize(
    ("columns", "labels"),
    [
        ("sentence1\tsentence2\tgold_label", NAMES),
        ("premise\thypothesis\tlabel", NAMES),
        ("premise\thypothesis\tlabel", NUMBERS),
    ],
)
def test_inference(columns: str, labels: tuple[str, str, str], tmp_path: Path) -> None:
    yes, no, neither = labels
    rows = [
        ("비가 온다", "날이 맑다", no),
        ("해가 떴다", "해다", neither),
        ("비가 온다", "날이 궂다", yes),
        ("눈이 온다", "여름이다", no),
        ("비가 온다", "비다", yes),
        ("비가 온다", "가물다", no),
        ("비가 온다", "모른다", "-"),
    ]
    content = "\n".join([columns, *("\t".join(row) for row in rows)])
    against = ("날이 맑다", "가물다")
    assert read_contrasts(write(tmp_path / "a.tsv", content)) == [
        Contrast("비가 온다", "날이 궂다", against),
        Contrast("비가 온다", "비다", against),
    ]


@pytest.mark.parametrize("columns", ["premise\thypothesis\tlabel", "sentence1\tsentence2\tgold_label"])
@pytest.mark.parametrize("both", [True, False])
def test_inference_with_named_columns(columns: str, both: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", f"{columns}\n가\t나\tcontradiction\n가\t다\tentailment\n")
    anchor, positive, _ = columns.split("\t")
    expected = [Contrast("가", "다", ("나",))]
    assert read_contrasts(path, anchor=anchor, positive=positive if both else None) == expected
    with pytest.raises(DataFileError, match="has labels of inference in"):
        read_contrasts(path, anchor=positive, positive=anchor)
    with pytest.raises(DataFileError, match="has labels of inference in"):
        read_contrasts(path, anchor=anchor, positive=positive, negatives=[positive])


def test_inference_in_columns_of_any_name(tmp_path: Path) -> None:
    rows = "가\t나\tContradiction\n가\t다\tEntailment\n"
    expected = [Contrast("가", "다", ("나",))]
    path = write(tmp_path / "a.tsv", rows)
    assert read_contrasts(path, anchor="1", positive="2", header=False) == expected
    assert read_contrasts(write(tmp_path / "b.tsv", f"전제\t가설\t관계\n{rows}")) == expected


def test_numbers_of_inference_with_named_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "premise\thypothesis\tlabel\n가\t나\t2\n가\t다\t0\n가\t라\t1\n")
    named = read_contrasts(path, anchor="premise", positive="hypothesis")
    assert named == read_contrasts(path) == [Contrast("가", "다", ("나",))]


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ("1 0", "with 0 and 1,"),
        ("0 0", "with 0,"),
        ("1.0 0.0", "with 0 and 1,"),
        ("yes no", "with no and yes,"),
        ("0.5 3.25 1", "with numbers,"),
    ],
)
@pytest.mark.parametrize("columns", ["question,document_title,answer,label", "질문,제목,답변,라벨"])
def test_labels_that_may_be_judgements(labels: str, shown: str, columns: str, tmp_path: Path) -> None:
    rows = [f"가{number},T,나{number},{label}" for number, label in enumerate(labels.split())]
    path = write(tmp_path / "a.csv", "\n".join([columns, *rows]))
    anchor, _, positive, _ = columns.split(",")
    for named in (None, anchor):
        with pytest.raises(DataFileError, match=shown):
            read_contrasts(path, anchor=named)
    assert len(read_contrasts(path, anchor=anchor, positive=positive)) == len(rows)


def test_labels_that_are_topics(tmp_path: Path) -> None:
    rows = "".join(f"가{label},나{label},{label}\n" for label in range(3))
    assert len(read_contrasts(write(tmp_path / "a.csv", f"Q,A,label\n{rows}"))) == 3
    assert len(read_contrasts(write(tmp_path / "b.csv", f"question,positive,label\n{rows[:14]}"))) == 2
    assert len(read_contrasts(write(tmp_path / "c.csv", "Q,A,label\n가,나,1\n다,라,1\n"))) == 2


def test_sentiments_are_no_inference(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Q,A,label\n가,나,긍정\n다,라,중립\n마,바,부정\n")
    assert len(read_contrasts(path)) == len(read_contrasts(path, anchor="Q", positive="A")) == 3


def test_scores_in_an_object(tmp_path: Path) -> None:
    line = '{"sentence1": "가", "sentence2": "나", "labels": {"label": 0.2}}'  # KLUE-STS
    with pytest.raises(DataFileError, match=r"has the column 'labels\.label', so that not every"):
        read_contrasts(write(tmp_path / "a.jsonl", line))


def test_negatives_that_are_a_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "anchor,positive,negative_1\n가,나,다\n")
    with pytest.raises(InputTypeError, match="negatives is a list of column names, not"):
        read_contrasts(path, negatives="negative_1")


def test_korean_names_of_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "질의,정답,오답_1\n가,나,다\n")
    assert read_contrasts(path) == [Contrast("가", "나", ("다",))]
    path = write(tmp_path / "b.csv", "질의,문서,관련도\n가,나,1\n")
    assert read_ranked_lists(path) == [RankedList("가", ("나",), (1.0,))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "글,positive\n가,나\n", "has the columns 글, positive; say which holds the anchors"),
        ("a.csv", "anchor,글\n가,나\n", "has the columns anchor, 글; say which holds the positives"),
        ("a.csv", "anchor,positive\n가, \n", "line 2: 'positive' is empty"),
        ("a.csv", "anchor,positive\n,나\n", "line 2: 'anchor' is empty"),
        ("a.csv", "anchor,positive,negative\n가,나, \n", "line 2: 'negative' is empty"),
        ("a.csv", "anchor,positive,negative\n가,나\n", "line 2: 2 fields instead of 3"),
        (
            "a.csv",
            "sentence1,sentence2,score\n가,나,0\n",
            "has the column 'score', so that not every pair belongs",
        ),
        ("a.csv", "question,answer,relevance\n가,나,0\n", "has the column 'relevance', so that not every"),
        (
            "a.csv",
            "premise,hypothesis,label\n가,나,yes\n",
            "line 2: 'label' is 'yes', not entailment, neutral or",
        ),
        ("a.csv", "premise,hypothesis,label\n가,나,neutral\n", "has no row with the label 'entailment'"),
        ("a.csv", "sentence1,sentence2,label\n가,나,0\n", "line 2: 'label' is '0', not entailment"),
        ("a.csv", "premise,hypothesis,label\n가,나,\n", "line 2: 'label' is empty"),
        ("a.csv", "premise,hypothesis,label\n가,,entailment\n", "line 2: 'hypothesis' is empty"),
        (
            "a.jsonl",
            '{"query": "가", "positive": "나", "negatives": ["다", ""]}',
            "an entry of 'negatives' is empty",
        ),
        (
            "a.jsonl",
            '{"query": "가", "positive": "나", "negatives": [["다"]]}',
            "'negatives' is a list, not a text",
        ),
        (
            "a.jsonl",
            '{"query": "가", "positive": "나", "negative": 3}',
            "line 1: 'negative' is a number, not a text",
        ),
        ("a.jsonl", '{"query": "가", "positive": ["나"]}', "line 1: 'positive' is a list, not a text"),
        (
            "a.jsonl",
            '{"query": "가", "answer": "나"}\n{"query": "가", "answer": "다", "score": 0}',
            "has the column 'score', so that not every pair belongs",
        ),
        (
            "a.json",
            '[{"premise": "가", "hypothesis": "나"}, {"premise": "가", "hypothesis": "다", "label": "-"}]',
            "entry 1: there is no 'label'",
        ),
    ],
)
def test_bad_contrasts(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=message) as caught:
        read_contrasts(write(tmp_path / name, content))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_negative_column_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "anchor,positive\n가,나\n")
    with pytest.raises(DataFileError, match="has no column '다'; it has anchor, positive"):
        read_contrasts(path, negatives=["다"])


# Ranked lists

LISTS = [RankedList("가", ("나", "다"), (1.0, 0.0)), RankedList("라", ("나",), (0.5,))]


@pytest.mark.parametrize("grades", ["relevance", "scores", "labels"])
def test_whole_lists(grades: str, tmp_path: Path) -> None:
    lines = (
        f'{{"query": "가", "documents": ["나", "다"], "{grades}": [1, 0]}}\n'
        f'{{"query": "라", "documents": ["나"], "{grades}": ["0.5"]}}\n'
    )
    assert read_ranked_lists(write(tmp_path / "a.jsonl", lines)) == LISTS


@pytest.mark.parametrize(
    "columns", ["query,document,relevance", "question,passage,label", "query,passage,score"]
)
def test_rows_of_one_query(columns: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{columns}\n가,나,1\n라,나,0.5\n가,다,0\n")
    assert read_ranked_lists(path) == LISTS


def test_columns_of_lists_that_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "query,document,a,b,c\n무,무,가,나,-1\n")
    named = read_ranked_lists(path, query="a", documents="b", relevance="c")
    assert named == [RankedList("가", ("나",), (-1.0,))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "query,글,label\n가,나,1\n", "say which holds the documents"),
        ("a.csv", "query,document\n가,나\n", "say which holds the relevance"),
        ("a.csv", "query,document,label\n가,나,1\n가,,1\n", "line 3: 'document' is empty"),
        ("a.csv", "query,document,label\n가,나,1\n,나,1\n", "line 3: 'query' is empty"),
        ("a.csv", "query,document,label\n가,나,many\n", "line 2: 'label' is 'many', not a number"),
        ("a.csv", "query,document,label\n가,나,inf\n", "line 2: 'label' is 'inf'; it must be finite"),
        ("a.jsonl", '{"query": "가", "documents": [], "scores": []}', "'documents' is an empty list"),
        (
            "a.jsonl",
            '{"query": "가", "documents": ["나"], "scores": [1, 0]}',
            "line 1: 'documents' has 1 entries, but 'scores' has 2",
        ),
        (
            "a.jsonl",
            '{"query": "가", "documents": ["나"], "scores": [NaN]}',
            "line 1: an entry of 'scores' is nan; it must be finite",
        ),
        (
            "a.jsonl",
            '{"query": "가", "docs": ["나"], "scores": [1]}\n{"query": "가", "docs": "나", "scores": [1]}',
            "line 2: 'docs' is a text, not a list",
        ),
        (
            "a.jsonl",
            '{"query": "가", "documents": [1], "scores": [1]}',
            "an entry of 'documents' is a number",
        ),
        ("a.jsonl", '{"query": "가", "documents": ["나"], "scores": 1}', "'scores' is a number, not a list"),
        ("a.jsonl", '{"query": "", "documents": ["나"], "scores": [1]}', "line 1: 'query' is empty"),
        (
            "a.jsonl",
            '{"query": "가", "text": "나", "score": 1}\n{"query": "가", "documents": ["나"], "scores": [1]}',
            "line 1: there is no 'documents'",
        ),
    ],
)
def test_bad_lists(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=message) as caught:
        read_ranked_lists(write(tmp_path / name, content))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"query": ["하나", "둘"], "positive": ["일", "이"], "negatives": [["이", "삼"], []]}
    pq.write_table(pa.table(columns), path)
    assert read_contrasts(path) == [Contrast("하나", "일", ("이", "삼")), Contrast("둘", "이")]
    lists = {"query": ["하나"], "documents": [["일", "이"]], "relevance": [[1.0, 0.0]]}
    pq.write_table(pa.table(lists), path)
    assert read_ranked_lists(path) == [RankedList("하나", ("일", "이"), (1.0, 0.0))]
