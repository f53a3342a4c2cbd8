"""The options of tasks: every field is checked by its type, and values of NumPy become plain ones.

What can be wrong: a text in place of a boolean or of a list, a number of another type, an unknown choice.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from munjang import training
from munjang.errors import InputError, InputTypeError

OPTIONS = [
    each
    for name in training.__all__
    if isinstance(each := getattr(training, name), type)
    and is_dataclass(each)
    and each.__name__.endswith(("Task", "Options", "NewModel", "Goals", "LayerMatching"))
]


FIELDS = [(options, each.name) for options in OPTIONS for each in fields(options)]


@pytest.mark.parametrize(("options", "name"), FIELDS, ids=lambda each: getattr(each, "__name__", each))
def test_every_field_is_checked(options: type[Any], name: str) -> None:
    """A value that no field has: an object."""
    with pytest.raises(InputTypeError, match=f"{name} must be .*, got <object"):
        options(**{name: object()})


@pytest.mark.parametrize(("options", "name"), FIELDS, ids=lambda each: getattr(each, "__name__", each))
def test_texts_are_no_booleans_numbers_lists_or_choices(options: type[Any], name: str) -> None:
    declared = get_type_hints(options)[name]
    kinds = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    if str in kinds:
        return
    choice = any(get_origin(kind) is Literal for kind in kinds)
    with pytest.raises(InputError if choice else InputTypeError, match=f"{name} must be .*, got 'no'"):
        options(**{name: "no"})


def test_lists_hold_texts() -> None:
    for wrong in ("AB", ["a", 1], {"a"}, np.array(["a"])):
        with pytest.raises(InputTypeError, match="types must be a list of texts, got "):
            training.EntitiesTask(types=wrong)  # type: ignore[arg-type]
    assert training.EntitiesTask(types=["a", "b"]).types == ("a", "b")


def test_values_of_numpy_become_plain() -> None:
    """They can be written into the files of a run."""
    options = training.TrainingOptions(epochs=np.float32(0.5), seed=np.int64(3), bfloat16=np.False_)  # type: ignore[arg-type]
    assert [type(each) for each in (options.epochs, options.seed, options.bfloat16)] == [float, int, bool]


def test_numbers_out_of_range() -> None:
    for kind, wrong, message in (
        (training.ClassificationTask, {"max_length": 0}, "max_length must be at least 1, got 0"),
        (training.AnswersTask, {"negative_windows": 1.5}, "negative_windows must be a number from 0 to 1"),
        (training.RerankingTask, {"highest": 0.0}, "highest must be more than 0, got 0"),
        (training.SentencesTask, {"score_scale": -1}, "score_scale must be more than 0, got -1"),
        (training.MiningTask, {"num_negatives": 0}, "num_negatives must be at least 1, got 0"),
        (training.ScoreDistillationTask, {"divisor": 0.0}, "divisor must be more than 0, got 0"),
    ):
        with pytest.raises(InputError, match=message):
            kind(**wrong)
