"""--json prints the value that the library's ``to_dict`` returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from munjang import Index
from munjang.checkpoints import list_models
from munjang.tasks.features import FeatureExtraction
from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.next_sentence import NextSentencePrediction
from munjang.tasks.question_answering import QuestionAnswering
from munjang.tasks.results import answer_to_dict, entity_to_dict, fill_to_dict, next_sentence_to_dict
from munjang.tasks.token_classification import TokenClassification
from munjang.tokenization import Tokenizer
from support.heads import MODEL_MAKERS
from support.program import Invoke

TEXT = "이순신은 한성에서 [MASK]다."


def fills(model: Path) -> Any:
    return [fill_to_dict(fill) for fill in FillMask(model)(TEXT, 3)]


def fills_of_two_masks(model: Path) -> Any:
    return [fill_to_dict(fill) for fill in FillMask(model)(f"{TEXT} {TEXT}", 2)]


def next_sentence(model: Path) -> Any:
    return next_sentence_to_dict(NextSentencePrediction(model)([("가", "나")])[0])


def features(model: Path) -> Any:
    return FeatureExtraction(model).features([TEXT], "all", level="word")[0].to_dict()


def entities(model: Path) -> Any:
    return [entity_to_dict(entity) for entity in TokenClassification(model)(TEXT)]


def answer(model: Path) -> Any:
    result: Any = QuestionAnswering(model)("어디?", "한국의 수도는 서울이다.", top_k=1)
    return answer_to_dict(result)


def tokens(model: Path) -> Any:
    return Tokenizer.from_pretrained(model)([TEXT]).encodings[0].to_dict()


CASES: list[tuple[str, tuple[str, ...], Callable[[Path], Any]]] = [
    ("fill-mask", (TEXT, "--top", "3"), fills),
    ("fill-mask", (f"{TEXT} {TEXT}", "--top", "2"), fills_of_two_masks),
    ("next-sentence", ("가", "나"), next_sentence),
    ("features", (TEXT, "--layers", "all", "--level", "word"), features),
    ("tag", (TEXT,), entities),
    ("answer", ("어디?", "--context", "한국의 수도는 서울이다."), answer),
    ("tokenize", (TEXT,), tokens),
]


@pytest.mark.parametrize(("command", "arguments", "expected"), CASES)
def test_results_of_tasks(
    invoke: Invoke, tmp_path: Path, command: str, arguments: tuple[str, ...], expected: Callable[[Path], Any]
) -> None:
    model = MODEL_MAKERS[command if command in MODEL_MAKERS else ""](tmp_path)
    result = invoke(command, *arguments, "--model", model, "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{json.dumps(expected(model), ensure_ascii=False)}\n"


def test_hits_of_an_index(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.munjang"
    with Index.open(path, model=model, fields=["question", "answer"]) as index:
        for number in range(20):
            fields = {"question": f"질문 {number}", "answer": f"답 {number % 3}"}
            index.add([{"id": number, **fields, "metadata": {"lang": "ko", "weight": 0.123456789}}])
    with Index.open(path, model=model, readonly=True) as index:
        expected = [hit.to_dict() for hit in index.search("질문 3", limit=4)]
    result = invoke("search", "질문 3", "--index", path, "--model", model, "--top", 4, "--json")
    assert result.stdout == f"{json.dumps(expected, ensure_ascii=False)}\n"
    assert expected[0]["metadata"]["weight"] == 0.123456789
    assert expected[0]["score"] == round(expected[0]["score"], 6)


def test_models(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUNJANG_CACHE", str(tmp_path))
    expected = [info.to_dict() for info in list_models()]
    assert json.loads(invoke("models", "--json").stdout) == expected
