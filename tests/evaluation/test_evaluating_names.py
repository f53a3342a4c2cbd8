"""`munjang.evaluation` has the names that it lists, a measure loads no engine, and steps add up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import munjang.evaluation
from munjang.evaluation.evaluation import in_steps
from support.processes import run_python


def test_every_public_name_exists() -> None:
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


def test_steps() -> None:
    """The inputs form a single step, or with a progress bar or bounded memory several steps."""
    for advance, bounded, sizes in (
        (None, False, [6000]),
        (None, True, [256] * 23 + [112]),
        (True, True, [256] * 23 + [112]),
        (True, False, [300] * 20),
    ):
        ran: list[int] = []
        told: list[int] = []

        def run(some: Sequence[int], ran: list[int] = ran) -> list[int]:
            ran.append(len(some))
            return [2 * one for one in some]

        watched = told.append if advance else None
        assert in_steps(run, range(6000), watched, bounded=bounded) == list(range(0, 12000, 2))
        assert ran == sizes
        assert told == (sizes if advance else [])
