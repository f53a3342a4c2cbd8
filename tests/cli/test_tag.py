"""`munjang tag`: the forms that scripts rely on, the tables, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from munjang.tasks.token_classification import TokenClassification
from support.labelled import NER_LABELS, TEXTS, labelled_model
from support.program import invoke_here as run
from support.program import json_lines as lines


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_model(
        tmp_path_factory.mktemp("models") / "ner", "BertForTokenClassification", NER_LABELS[1:]
    )


def rounded(found: Any) -> Any:
    return [{**one, "score": pytest.approx(one["score"], abs=1e-6)} for one in found]


def test_tag(tagger: Path) -> None:
    tag = TokenClassification(tagger)
    (found,) = lines("tag", TEXTS[1], "-m", tagger)
    assert found
    assert [list(one) for one in found] == [["entity_group", "word", "start", "end", "score"]] * len(found)
    assert found == rounded(tag(TEXTS[1]))
    (found,) = lines("tag", TEXTS[1], "--strategy", "none", "-m", tagger)
    assert found == rounded(tag(TEXTS[1], aggregation_strategy="none"))
    (found,) = lines("tag", "-", "--strategy", "max", "-m", tagger, stdin=TEXTS[1])
    assert found == rounded(tag(TEXTS[1], aggregation_strategy="max"))


def test_tag_for_people(tagger: Path) -> None:
    result = run("tag", TEXTS[1], "-m", tagger)
    assert result.exit_code == 0
    for entity in TokenClassification(tagger)(TEXTS[1]):
        assert f"[{entity['word']} {entity['entity_group']}]" in result.stdout
    result = run("tag", TEXTS[1], "--strategy", "none", "-m", tagger)
    assert "index" in result.stdout


@pytest.mark.parametrize("options", [[], ["-s", "none"]])
def test_a_bad_line_is_reported_and_the_others_are_answered(tagger: Path, options: list[str]) -> None:
    result = run("tag", *options, "-", "--json", "-m", tagger, stdin="서울 시장\n \n한성에서\n")
    assert result.exit_code == 1
    assert [json.loads(line) is None for line in result.stdout.splitlines()] == [False, True, False]
    assert result.stderr.startswith("munjang: standard input:2: ")
    assert result.stderr.count("\n") == 1


def test_a_model_without_the_head_is_one_line(tmp_path: Path) -> None:
    result = run("tag", "a", "-m", labelled_model(tmp_path / "classifier"))
    assert result.exit_code == 1
    assert "no trained token-classification head; it has sequence-classification" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_strategy(tagger: Path) -> None:
    assert run("tag", "a", "--strategy", "last", "-m", tagger).exit_code == 2
