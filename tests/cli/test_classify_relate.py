"""`munjang classify` and `relate`: the forms that scripts rely on, the tables, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from munjang.cli.classify_relate import parse_span
from munjang.errors import InputError
from munjang.tasks.loading import load
from munjang.tasks.markers import add_markers
from munjang.tasks.relation_extraction import RelationExtraction
from munjang.tasks.text_classification import TextClassification
from munjang.tasks.zero_shot import ZeroShotClassification
from support.labelled import TEXTS, labelled_model
from support.program import invoke_here as run
from support.program import json_lines as lines

TEXT = "이순신은 한성에서 태어났다."


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_model(
        tmp_path_factory.mktemp("models") / "nli", labels=("contradiction", "neutral", "entailment")
    )


@pytest.fixture(scope="module")
def relater(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = labelled_model(tmp_path_factory.mktemp("models") / "re")
    loaded = load(folder, "sequence-classification")
    add_markers(loaded, "typed")
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def rounded(found: Any) -> Any:
    return [{**one, "score": pytest.approx(one["score"], abs=1e-6)} for one in found]


def test_classify(classifier: Path) -> None:
    classify = TextClassification(classifier)
    (found,) = lines("classify", TEXT, "-m", classifier)
    assert [list(one) for one in found] == [["label", "score"]] * 3
    assert found == rounded(classify(TEXT, top_k=None))
    (found,) = lines("classify", TEXT, "--pair", TEXTS[1], "--top", 1, "-m", classifier)
    assert found == rounded(classify((TEXT, TEXTS[1])))
    both = lines("classify", "-m", classifier, stdin="\n".join(TEXTS[:2]))
    assert both == [rounded(one) for one in classify(TEXTS[:2], top_k=None)]


def test_classify_with_custom_labels(classifier: Path) -> None:
    arguments = ["-l", "날씨", "-l", "cat", "--template", "이 글은 {}."]
    (found,) = lines("classify", TEXT, *arguments, "-m", classifier)
    expected = ZeroShotClassification(classifier)(TEXT, ["날씨", "cat"], hypothesis_template="이 글은 {}.")
    assert [one["label"] for one in found] == expected["labels"]
    assert [one["score"] for one in found] == pytest.approx(expected["scores"], abs=1e-6)


def test_classify_for_people(classifier: Path) -> None:
    result = run("classify", TEXT, "-m", classifier)
    assert result.exit_code == 0
    assert "neutral" in result.stdout
    assert "█" in result.stdout


def test_long_texts(classifier: Path) -> None:
    result = run("classify", TEXT * 6, "-m", classifier, "--json")
    assert result.exit_code == 0
    assert "longer than 40 tokens" in result.stderr
    assert run("classify", TEXT * 6, "-m", classifier, "--json", "--windows").stderr == ""


def test_relate(relater: Path) -> None:
    relate = RelationExtraction(relater)
    expected = rounded(relate(TEXT, (0, 3, "PER"), (5, 7, "LOC"), top_k=None))
    places = lines("relate", TEXT, "--subject", "0:3:PER", "--object", "5:7:LOC", "-m", relater)
    words = lines("relate", TEXT, "--subject", "이순신:PER", "--object", "한성:LOC", "-m", relater)
    assert places == words == [expected]
    result = run("relate", TEXT, "--subject", "0:3:PER", "--object", "5:7:LOC", "-k", 1, "-m", relater)
    assert result.exit_code == 0
    assert expected[0]["label"] in result.stdout


def test_reading_a_span() -> None:
    assert parse_span("0:3", TEXT, "subject") == (0, 3)
    assert parse_span("0:3:PER", TEXT, "subject") == (0, 3, "PER")
    assert parse_span("한성", TEXT, "subject") == (5, 7)
    assert parse_span("a:b", "in a:b c", "subject") == (3, 6)
    with pytest.raises(InputError, match="The object '에' occurs 2 times"):
        parse_span("에", "집에 밖에", "object")
    with pytest.raises(InputError, match="'서울' does not occur"):
        parse_span("서울:LOC", TEXT, "object")


@pytest.mark.parametrize("options", [["classify"], ["classify", "-l", "서울", "-l", "시장"]])
def test_a_bad_line_is_reported_and_the_others_are_answered(classifier: Path, options: list[str]) -> None:
    result = run(*options, "-", "--json", "-m", classifier, stdin="서울 시장\n \n한성에서\n")
    assert result.exit_code == 1
    assert [json.loads(line) is None for line in result.stdout.splitlines()] == [False, True, False]
    assert result.stderr.startswith("munjang: standard input:2: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", " "], "The text is empty"),
        (["classify", "a", "-l", "b", "--template", "none"], "must have a {}"),
        (["relate", TEXT, "--subject", "0:3", "--object", "2:5"], "has no such markers"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, classifier: Path) -> None:
    result = run(*arguments, "-m", classifier)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_options_that_do_not_apply(classifier: Path) -> None:
    assert run("classify", "a").exit_code == 2  # no model
    assert run("classify", "a", "-l", "b", "--pair", "c", "-m", classifier).exit_code == 2
