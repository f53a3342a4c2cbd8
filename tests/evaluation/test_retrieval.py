"""Retrieval tasks are made as they say, and an index is judged by what it really finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from munjang import SentenceTransformer
from munjang.errors import DataFileError, InputError
from munjang.evaluation import RetrievalTask, beir_folder, chatbot_questions, evaluate_retrieval, korquad
from munjang.evaluation.retrieval import indexed
from munjang.search.documents import Document
from support.tiny import tiny_cross_encoder, tiny_sentence_model

TEXTS = ["서울은 한국의 수도이다", "축구는 재미있는 운동이다", "빵을 굽는 방법", "기차를 타는 법"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    return SentenceTransformer(tiny_sentence_model(tmp_path_factory.mktemp("model") / "tiny"))


def the_task() -> RetrievalTask:
    return RetrievalTask(
        name="words",
        documents=[Document(id=place, fields={"text": text}) for place, text in enumerate(TEXTS)],
        queries=["수도", "운동", "비행기"],
        relevant=[frozenset({0}), frozenset({1}), frozenset({3})],
    )


def test_documents_are_found_by_words(model: SentenceTransformer) -> None:
    done: list[int] = []
    with indexed(the_task(), model, analyzer="hangul-bigrams", advance=done.append) as index:
        [lexical, hybrid] = evaluate_retrieval(the_task(), index, ["lexical", "hybrid"], advance=done.append)
    assert sum(done) == len(TEXTS) + 2 * 3
    assert lexical.mode == "lexical"
    assert lexical.metrics["Recall@1"].value == pytest.approx(2 / 3)  # no text has the third query's word
    assert hybrid.metrics["Recall@10"].value == 1  # by meaning, everything is found somewhere
    assert lexical.seconds_per_query > 0


def test_reranked(model: SentenceTransformer, tmp_path: Path) -> None:
    from munjang import CrossEncoder

    rerank = CrossEncoder(tiny_cross_encoder(tmp_path / "pairs"))
    with indexed(the_task(), model, analyzer="hangul-bigrams") as index:
        [result] = evaluate_retrieval(the_task(), index, ["reranked"], rerank=rerank)
        assert result.metrics["Recall@10"].value == 1
        with pytest.raises(InputError, match="needs a cross-encoder"):
            evaluate_retrieval(the_task(), index, ["reranked"])
        with pytest.raises(InputError, match="Unknown mode 'best'"):
            evaluate_retrieval(the_task(), index, ["best"])
        with pytest.raises(InputError, match="given twice"):
            evaluate_retrieval(the_task(), index, ["lexical", "lexical"])


def test_korquad(tmp_path: Path) -> None:
    def paragraph(text: str, *questions: str) -> dict[str, object]:
        return {"context": text, "qas": [{"id": q, "question": q, "answers": []} for q in questions]}

    data = [
        {"title": "a", "paragraphs": [paragraph("one", "q1", "q2"), paragraph("two", "q3")]},
        {"title": "b", "paragraphs": [paragraph("one", "q4")]},
    ]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "1", "data": data}), encoding="utf-8")
    task = korquad(path)
    assert [document.fields["text"] for document in task.documents] == ["one", "two"]
    assert task.queries == ["q1", "q2", "q3", "q4"]
    assert [set(one) for one in task.relevant] == [{"p0"}, {"p0"}, {"p1"}, {"p0"}]
    assert len(korquad(path, 2).queries) == 2
    for broken in ("{}", '{"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}', "[", "[]"):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(DataFileError, match="layout of SQuAD"):
            korquad(path)
    with pytest.raises(DataFileError, match="can't be read"):
        korquad(tmp_path / "missing.json")


def test_chatbot_questions(tmp_path: Path) -> None:
    path = tmp_path / "qa.csv"
    rows = [f"question {number},answer {number % 25}" for number in range(100)]
    path.write_text("\n".join(["Q,A", *rows]), encoding="utf-8")
    task = chatbot_questions(path)
    assert len(task.documents) == 90
    assert len(task.queries) == 10
    stored = {document.id: document.fields["text"] for document in task.documents}
    for query, relevant in zip(task.queries, task.relevant, strict=True):
        assert query not in stored.values()
        number = int(query.split()[1])
        assert relevant == {one for one, text in stored.items() if int(text.split()[1]) % 25 == number % 25}


def test_beir(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    corpus = [{"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "title": "", "text": "two"}]
    queries = [{"_id": "q1", "text": "first"}, {"_id": "q2", "text": "second"}]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    judgements = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td2\t2\nq2\tgone\t1\n"
    (tmp_path / "qrels" / "test.tsv").write_text(judgements, encoding="utf-8")
    task = beir_folder(tmp_path)
    assert [document.fields["text"] for document in task.documents] == ["T\none", "two"]
    assert dict(zip(task.queries, task.relevant, strict=True)) == {"first": {"d1"}, "second": {"d2"}}
    without_header = judgements.partition("\n")[2]
    (tmp_path / "qrels" / "test.tsv").write_text(without_header, encoding="utf-8")
    assert beir_folder(tmp_path).relevant == task.relevant
    (tmp_path / "qrels" / "test.tsv").write_text("a\tb\tc\nq1\td1\n", encoding="utf-8")
    with pytest.raises(DataFileError, match="line 2: 2 fields instead of 3"):
        beir_folder(tmp_path)
    (tmp_path / "qrels" / "test.tsv").write_text("q1\t0\td1\t1\n", encoding="utf-8")
    with pytest.raises(DataFileError, match="three columns"):
        beir_folder(tmp_path)
    (tmp_path / "corpus.jsonl").write_text('{"text": "x"}', encoding="utf-8")
    with pytest.raises(DataFileError, match="line 1: there is no '_id'"):
        beir_folder(tmp_path)
