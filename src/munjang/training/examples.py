"""Checks of the examples, the task and the options of a training function."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar, is_typeddict

from munjang.errors import InputError, InputTypeError
from munjang.training.options import TrainingOptions
from munjang.validation import check_instance, shown_value

E = TypeVar("E")
H = TypeVar("H")


def checked_examples(
    examples: Iterable[E],
    held_out: Iterable[H],
    *kinds: type,
    task: tuple[object, type] | None = None,
    options: object = None,
    held_out_kinds: tuple[type, ...] = (),
) -> tuple[list[E], list[H]]:
    """Return the examples and the held-out examples of a training function as lists.

    Args:
        examples: any iterable of instances of ``kinds``.
        held_out: any iterable of instances of ``held_out_kinds``.
        kinds: the classes of examples.
        task: the options of the task, and their class.
        options: the options of the run; None if the function has defaults for them.
        held_out_kinds: the classes of held-out examples, by default ``kinds``.

    Raises `InputTypeError` for values of other classes, `InputError` if there are no examples.
    """
    if task is not None:
        check_instance("task", *task)
    if options is not None:
        check_instance("options", options, TrainingOptions)
    listed = _listed("examples", examples, kinds)
    if not listed:
        raise InputError("There are no examples to learn from.")
    return listed, _listed("held_out", held_out, held_out_kinds or kinds)


def _listed(name: str, examples: Iterable[E], kinds: tuple[type, ...]) -> list[E]:
    names = " or ".join(kind.__name__ for kind in kinds)
    if isinstance(examples, str | bytes | os.PathLike) or not isinstance(examples, Iterable):
        shares = "; munjang.data.split holds out a share" if isinstance(examples, float) else ""
        advice = "; munjang.data reads files" if isinstance(examples, str | os.PathLike) else shares
        raise InputTypeError(f"{name} must be a list of {names}, got {shown_value(examples)}{advice}.")
    listed = list(examples)
    for index, example in enumerate(listed):
        if not any(_is_a(example, kind) for kind in kinds):
            what = "Example" if name == "examples" else "Held-out example"
            raise InputTypeError(f"{what} {index} must be a {names}, got {shown_value(example)}.")
    return listed


def _is_a(example: object, kind: type) -> bool:
    if is_typeddict(kind):  # isinstance can't check it
        return isinstance(example, dict) and set(kind.__annotations__) <= set(example)
    return isinstance(example, kind)


def kind_of(examples: Iterable[object], *kinds: type[E]) -> type[E]:
    """Return the class that all examples have. Raises `InputTypeError` if they differ."""
    classes = [next(kind for kind in kinds if isinstance(example, kind)) for example in examples]
    for index, kind in enumerate(classes):
        if kind is not classes[0]:
            raise InputTypeError(
                f"Example 0 is a {classes[0].__name__}, example {index} a {kind.__name__}; "
                "all must be of the same class."
            )
    return classes[0]
