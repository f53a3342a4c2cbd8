"""`munjang.evaluation` has the names that it lists, and a measure loads no engine."""

from __future__ import annotations

from pathlib import Path

import pytest

import munjang.evaluation
from support.processes import run_python


def test_every_name_is_there() -> None:
    names = munjang.evaluation.__all__
    assert [getattr(munjang.evaluation, name).__name__ for name in names if name != "Statistic"]
    assert set(names) <= set(dir(munjang.evaluation))
    with pytest.raises(AttributeError, match="no attribute 'bleu'"):
        getattr(munjang.evaluation, "bleu")  # noqa: B009


def test_a_measure_needs_numpy_alone(tmp_path: Path) -> None:
    code = """
import sys
from munjang.evaluation import answer_f1, entity_f1, macro_f1, spearman
assert macro_f1(["a"], ["a"]) == spearman([1, 2], [3, 4]) == answer_f1("a", ["a"]) == 1
assert entity_f1([[(0, 1, "PS")]], [[(0, 1, "PS")]]) == 1
heavy = {"torch", "openvino", "tokenizers", "apsw", "scipy", "sklearn"}
print([name for name in sys.modules if name in heavy])
"""
    assert run_python(code, home=tmp_path) == "[]\n"
