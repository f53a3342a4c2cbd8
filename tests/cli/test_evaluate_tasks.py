"""``munjang evaluate TASK``: it prints the measures of the library; errors for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from munjang import SentenceTransformer
from munjang.data import read_scored_pairs, read_texts
from munjang.evaluation.language_models import evaluate_language_model
from munjang.evaluation.sentences import evaluate_similarity
from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.generation.text_generation import TextGeneration
from support.broken import with_nan
from support.gpt2 import make_gpt2
from support.heads import MODEL_MAKERS
from support.labelled import TEXTS, labelled_model
from support.program import Invoke
from support.tiny import PROMPTS

LABELS = ("bad", "good")


@pytest.fixture(scope="module")
def model_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return cache(lambda task: MODEL_MAKERS[task](tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_model(tmp_path_factory.mktemp("classifier"), labels=LABELS)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    rows = [f"{place}\t{TEXTS[place % 5]} {place}\t{LABELS[place % 2]}" for place in range(20)]
    return written(tmp_path / "reviews.tsv", "\n".join(["id\tdocument\tlabel", *rows]))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [f"{one}\t{other}\t{place / 4}" for place, (one, other) in enumerate(pairwise(TEXTS))]
    return written(tmp_path / "sts.tsv", "\n".join(["sentence1\tsentence2\tscore", *rows]))


def written(path: Path, content: str) -> Path:
    path.write_text(content + "\n", encoding="utf-8")
    return path


def read(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def values(content: Any) -> dict[str, float]:
    return {name: estimate["value"] for name, estimate in content["metrics"].items()}


def test_classification(invoke: Invoke, classifier: Path, reviews: Path) -> None:
    call = ("evaluate", "classification", reviews, "-m", classifier)
    content = read(invoke(*call, "--json"))
    assert list(content) == ["task", "data", "count", "metrics", "notes"]
    assert (content["task"], content["data"], content["count"]) == ("classification", "reviews.tsv", 20)
    assert list(content["metrics"]) == ["accuracy", "macro_f1", "matthews"]
    accuracy = content["metrics"]["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    some = read(invoke(*call, "--json", "--limit", 5))
    assert some["count"] == 5
    assert some == read(invoke(*call, "--json", "--limit", 5))  # the same sample each time
    table = invoke(*call).stdout
    assert "classification, 20 examples of reviews.tsv" in table
    assert f"{accuracy['value']:.4f}" in table
    lines = invoke(*call, "--markdown").stdout.splitlines()
    assert lines[0] == "**classification, 20 examples of reviews.tsv**"
    assert (
        f"| accuracy | {accuracy['value']:.4f} | {accuracy['low']:.4f} to {accuracy['high']:.4f} |" in lines
    )


def test_columns(invoke: Invoke, classifier: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "odd.csv", "erst,zweit,kind\n서울,한성,good\n부산,한성,bad")
    named = ("--text", "erst", "--text-pair", "zweit", "--label", "kind")
    assert read(invoke("evaluate", "classification", data, "-m", classifier, *named, "--json"))["count"] == 2
    found = invoke("evaluate", "classification", data, "-m", classifier)
    assert found.exit_code == 1
    assert "erst" in found.stderr  # which columns there are


def test_numbers_instead_of_labels(invoke: Invoke, pairs: Path, tmp_path: Path) -> None:
    model = labelled_model(tmp_path / "model", labels=("score",), problem_type="regression")
    found = read(invoke("evaluate", "classification", pairs, "-m", model, "--json", "--label", "score"))
    assert list(found["metrics"]) == ["pearson", "spearman", "mean_squared_error"]


@pytest.mark.parametrize("option", [(), ("--prompt", PROMPTS["query"]), ("--prompt-name", "query")])
def test_similarity(invoke: Invoke, model: Path, pairs: Path, option: tuple[str, ...]) -> None:
    prompt = PROMPTS["query"] if option else None
    expected = evaluate_similarity(SentenceTransformer(model), read_scored_pairs(pairs), prompt=prompt)
    content = read(invoke("evaluate", "similarity", pairs, "-m", model, "--json", *option))
    assert content == {**expected.to_dict(), "data": "sts.tsv"}


def test_cross_encoder(invoke: Invoke, cross_encoder: Path, pairs: Path, tmp_path: Path) -> None:
    content = read(invoke("evaluate", "similarity", pairs, "-m", cross_encoder, "--cross-encoder", "--json"))
    assert set(values(content)) == {"spearman", "pearson"}
    rows = [{"query": "수도", "documents": ["서울", "밥", "강"], "relevance": [1, 0, 0]}] * 2
    lists = written(tmp_path / "lists.jsonl", "\n".join(map(json.dumps, rows)))
    content = read(invoke("evaluate", "reranking", lists, "-m", cross_encoder, "--json"))
    assert content["notes"] == "6 documents"
    assert 0 < values(content)["MRR@10"] <= 1


def test_entities(invoke: Invoke, model_for: Callable[[str], Path], tmp_path: Path) -> None:
    lines = [
        f"{letter}\t{'B-PS' if at == 0 else 'I-PS' if at < 3 else 'O'}" for at, letter in enumerate(TEXTS[0])
    ]
    data = written(tmp_path / "ner.tsv", "\n".join(lines))
    for strategy in ("simple", "first"):
        content = read(
            invoke(
                *("evaluate", "entities", data, "-m", model_for("evaluate entities"), "--json"),
                *("--strategy", strategy),
            )
        )
        assert content["notes"] == "1 entity"
        assert {"entity_f1", "entity_macro_f1", "character_f1", "entity_f1:PS"} <= set(values(content))


def test_relations(invoke: Invoke, model_for: Callable[[str], Path], tmp_path: Path) -> None:
    row = {"text": TEXTS[0], "subject": [0, 3], "object": [5, 7], "label": "good"}
    data = written(tmp_path / "re.jsonl", json.dumps(row, ensure_ascii=False))
    content = read(invoke("evaluate", "relations", data, "-m", model_for("evaluate relations"), "--json"))
    assert set(values(content)) == {"micro_f1", "accuracy", "macro_f1"}


def test_answers(invoke: Invoke, model_for: Callable[[str], Path], tmp_path: Path) -> None:
    asked = {"id": "1", "question": "어디?", "answers": [{"text": "서울", "answer_start": 8}]}
    content = {"data": [{"paragraphs": [{"context": "한국의 수도는 서울이다.", "qas": [asked]}]}]}
    data = written(tmp_path / "squad.json", json.dumps(content, ensure_ascii=False))
    for rule in ("korquad", "squad"):
        call = ("evaluate", "answers", data, "-m", model_for("evaluate answers"), "--normalization", rule)
        content = read(invoke(*call, "--json", "--trim-particles"))
        assert content["notes"] == f"normalised as {rule}"
        assert set(values(content)) == {"exact_match", "f1"}


def test_language_models(invoke: Invoke, model_for: Callable[[str], Path], tmp_path: Path) -> None:
    data = written(tmp_path / "texts.txt", "The cat sat on the mat.\n\n축구는 정말 재미있는 경기다.")
    writer = make_gpt2(tmp_path / "gpt2").folder
    masked = model_for("evaluate language-model")
    for folder, opened in ((writer, TextGeneration(writer)), (masked, FillMask(masked))):
        expected = evaluate_language_model(opened, list(read_texts(data)))
        content = read(invoke("evaluate", "language-model", data, "-m", folder, "--json"))
        assert content == {**expected.to_dict(), "data": "texts.txt"}


def test_progress_is_reported(invoke: Invoke, classifier: Path, reviews: Path) -> None:
    found = invoke("evaluate", "classification", reviews, "-m", classifier, "--json", "--progress")
    assert "Measuring: 20 of 20 (100%)" in found.stderr


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (("classification", "missing.tsv"), 1, "missing.tsv"),
        (("classification", "{reviews}", "--json", "--markdown"), 2, "Use either --json or --markdown"),
        (("classification", "{reviews}", "--label", "id"), 1, "does not have the data's '0', '1'"),
        (("classification", "{reviews}", "--limit", "0"), 2, "--limit"),
        (("entities", "{reviews}"), 1, "reviews.tsv"),
        (("answers", "{reviews}"), 1, "reviews.tsv"),
        (("similarity", "{reviews}"), 1, "columns"),
        (("similarity", "{reviews}", "--cross-encoder", "--prompt", "q: "), 2, "beside --cross-encoder"),
        (("language-model", "{reviews}", "--column", "document"), 1, "masked-lm"),
    ],
)
def test_bad_calls(
    invoke: Invoke, classifier: Path, reviews: Path, call: tuple[str, ...], code: int, message: str
) -> None:
    found = invoke("evaluate", *(part.format(reviews=reviews) for part in call), "-m", classifier)
    assert found.exit_code == code, found.output
    assert message in " ".join(found.stderr.replace("│", " ").split())


def test_a_model_that_diverged(invoke: Invoke, reviews: Path, tmp_path: Path) -> None:
    model = with_nan(labelled_model(tmp_path / "model", labels=LABELS), "classifier.weight")
    found = invoke("evaluate", "classification", reviews, "-m", model)
    assert found.exit_code == 1
    assert "'classifier.weight' holds nan at" in " ".join(found.stderr.split())
    assert found.stdout == ""
