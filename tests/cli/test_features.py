"""`munjang features`: the forms that scripts rely on, tables, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from munjang.tasks.features import FeatureExtraction
from support.program import invoke_here as run
from support.program import json_lines as lines


def test_features(bert: Path) -> None:
    extract = FeatureExtraction(bert)
    (found,) = lines("features", "I love Paris", "--pad-to", 7, "--layers", "all", "-m", bert)
    assert found["shape"] == [5, 1, 7, 32]
    assert found["tokens"][:5] == ["[CLS]", "i", "love", "paris", "[SEP]"]
    assert np.allclose(found["values"], extract("I love Paris", layers="all", pad_to=7), atol=1e-6)
    for options, expected in (
        (["--layers", "-2"], extract("I love Paris", layers=-2)),
        (["--layers", "0,-1"], extract("I love Paris", layers=[0, -1])),
        (["--combine", "0,0,0,1,1"], extract("I love Paris", combine=[0, 0, 0, 1, 1])),
        (
            ["--combine", "concat_last_four", "--level", "mean"],
            extract("I love Paris", None, "concat_last_four", "mean"),
        ),
        (["--level", "word"], extract("I love Paris", level="word")),
    ):
        (one,) = lines("features", "I love Paris", "-m", bert, *options)
        assert np.allclose(one["values"], expected, atol=1e-6)


def test_an_error_of_every_line_is_reported_once(bert: Path) -> None:
    result = run("features", "-", "--layers", "9", "-m", bert, stdin="a\nb\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("munjang: There is no layer 9")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["features", "I love Paris"], ["[CLS]", "paris", "1 x 5 x 32 numbers"]),
        (["features", "I love Paris", "--level", "cls"], ["(all)", "1 x 32 numbers"]),
        (
            ["features", "I love Paris", "--layers", "0,-1"],
            ["layer 0, the embedding output", "layer 4", "2 x 1 x 5 x 32 numbers"],
        ),
        (
            ["features", "I love Paris", "--layers", "all"],
            ["layer 0, the embedding output", "layer 1", "layer 2", "layer 3", "layer 4"],
        ),
    ],
)
def test_tables(bert: Path, arguments: list[str], shown: list[str]) -> None:
    result = run(*arguments, "-m", bert)
    assert result.exit_code == 0, result.output
    for part in shown:
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["features", "I love Paris", "--layers", "9"], "There is no layer 9"),
        (["features", "I love Paris", "--combine", "product"], "Unknown combine 'product'"),
    ],
)
def test_invalid_calls_have_errors_of_one_line(bert: Path, arguments: list[str], line: str) -> None:
    result = run(*arguments, "-m", bert)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["features", "I love Paris", "--layers", "first"],
        ["features", "I love Paris", "--combine", "1,a"],
        ["features", "I love Paris", "--level", "letter"],
    ],
)
def test_options_that_do_not_apply(bert: Path, arguments: list[str]) -> None:
    assert run(*arguments, "-m", bert).exit_code == 2
