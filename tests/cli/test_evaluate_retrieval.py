"""``munjang evaluate retrieval``: a table for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.program import Invoke


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    paragraphs = [
        {"context": text, "qas": [{"id": query, "question": query, "answers": []}]}
        for text, query in (("서울은 한국의 수도이다", "수도"), ("축구는 재미있는 운동이다", "운동"))
    ]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8")
    return path


def test_json(invoke: Invoke, squad: Path, model: Path) -> None:
    found = invoke("evaluate", "retrieval", squad, "-m", model, "--analyzer", "hangul-bigrams", "--json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)
    assert content["notes"] == "2 questions, 2 paragraphs"
    assert [row["mode"] for row in content["rows"]] == ["semantic", "lexical", "hybrid"]
    assert content["rows"][1]["Recall@1"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_table(invoke: Invoke, squad: Path, model: Path) -> None:
    found = invoke("evaluate", "retrieval", squad, "-m", model, "--mode", "lexical", "--queries", "1")
    assert found.exit_code == 0, found.output
    assert "1.000–1.000" in found.stdout
    assert "95% interval" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.json",), 1, "can't be read"),
        (("table.xyz",), 2, "neither a folder"),
        (("{squad}", "--mode", "best"), 1, "Unknown mode 'best'"),
        (("{squad}", "--mode", "reranked"), 1, "needs a cross-encoder"),
    ],
)
def test_bad_calls(
    arguments: tuple[str, ...], code: int, message: str, invoke: Invoke, squad: Path, model: Path
) -> None:
    found = invoke("evaluate", "retrieval", *(one.format(squad=squad) for one in arguments), "-m", model)
    assert found.exit_code == code
    assert message in " ".join(found.stderr.split())
