"""Checks of arguments: each returns a plain value, or raises `InputTypeError` or `InputError`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from inspect import Parameter, isclass, signature
from os import PathLike
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from munjang.errors import InputError, InputTypeError

C = TypeVar("C", str, str | None)
P = ParamSpec("P")
R = TypeVar("R")


def plain_value(value: object) -> object:
    """Return a value of NumPy, of an enumeration or of another subclass as Python's own str, int or float."""
    numpy = sys.modules.get("numpy")  # not loaded for this: without it there is no value of NumPy
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # an Enum's own __str__ returns another text
    if isinstance(value, int):
        return int.__index__(value)
    return float.__float__(value) if isinstance(value, float) else value


def shown_value(value: object) -> str:
    """Return the beginning of a value's repr for an error message, also if repr raises."""
    try:
        return f"{value!r:.80}"
    except (ValueError, RecursionError):  # more than 4,300 digits, or nested deeply
        return f"a huge {type(value).__name__}"


def checked_text(value: object, what: str) -> str:
    """Return a text that can be stored: without NUL characters and lone surrogates."""
    if not isinstance(value, str):
        raise InputTypeError(f"{what} must be a text, got {shown_value(value)}.")
    value = str.__str__(value)
    if "\0" in value:
        raise InputError(f"{what} has a NUL character at position {value.index(chr(0))}; take it out.")
    refuse_surrogates(value, what)
    return value


def refuse_surrogates(text: str, what: str) -> None:
    """Raise `InputError` for a text with a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} has a lone surrogate U+{ord(text[error.start]):04X} at position {error.start}, "
            "which is no character; read it with its right encoding."
        ) from None


def checked_choice(name: str, value: object, choices: Sequence[C]) -> C:
    """Return the choice that the value of an option is; a choice is a text or None."""
    for choice in choices:
        if value is choice or (isinstance(value, str) and value == choice):
            return choice
    raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}, got {shown_value(value)}.")


def checked_integer(name: str, value: object) -> int:
    """Return an integer of any size."""
    plain = plain_value(value)
    if isinstance(plain, bool) or not isinstance(plain, int):
        raise InputTypeError(f"{name} must be a whole number, got {shown_value(value)}.")
    return plain


def checked_count(name: str, value: object, least: int = 1) -> int:
    """Return an integer that is at least ``least``."""
    number = checked_integer(name, value)
    if number < least:
        raise InputError(f"{name} must be at least {least}, got {shown_value(value)}.")
    return number


def optional_count(name: str, value: object, least: int = 1) -> int | None:
    """Return an integer that is at least ``least``, or None."""
    return None if value is None else checked_count(name, value, least)


def checked_number(name: str, value: object, *, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a number within bounds, never NaN."""
    plain = plain_value(value)
    bounds = f" from {least:g}" * (least > -math.inf) + f" to {most:g}" * (most < math.inf)
    message = f"{name} must be a number{bounds}, got {shown_value(value)}."
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise InputTypeError(message)
    try:
        number = float(plain)
    except OverflowError:
        raise InputError(message) from None
    if not least <= number <= most:
        raise InputError(message)
    return number


def checked_flag(name: str, value: object) -> bool:
    """Return a boolean option."""
    plain = plain_value(value)
    if not isinstance(plain, bool):
        raise InputTypeError(f"{name} must be True or False, got {shown_value(value)}.")
    return plain


def check_flags(**flags: object) -> None:
    """Raise `InputTypeError` for a value that is not True or False: ``"no"`` would be truthy."""
    for name, value in flags.items():
        checked_flag(name, value)


def check_instance(name: str, value: object, kind: type) -> None:
    """Raise `InputTypeError` unless a value is an instance of a class; the class itself is none."""
    if not isinstance(value, kind):
        got = f"the class {value.__name__}; call it" if isclass(value) else f"{shown_value(value)}"
        raise InputTypeError(f"{name} must be a {kind.__name__}, got {got}.")


def check_fields(options: Any) -> None:
    """Check each field of a dataclass by its declared type; for ``__post_init__``.

    Values of NumPy become plain ones, lists become tuples. A number is finite, and at least the ``min`` of
    the field's metadata. Raises `InputTypeError` for a value of another type, `InputError` for another value.
    """
    hints = get_type_hints(type(options))
    for each in fields(options):
        declared = hints[each.name]
        kinds = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
        value = _checked_field(each.name, getattr(options, each.name), kinds)
        least = each.metadata.get("min")
        if least is not None and value is not None and value < least:
            raise InputError(f"{each.name} must be at least {least}, got {value}.")
        object.__setattr__(options, each.name, value)  # also of a frozen dataclass


def _checked_field(name: str, value: object, kinds: Sequence[Any]) -> Any:
    for kind in kinds:
        if get_origin(kind) is Literal and isinstance(value, str):
            return checked_choice(name, value, get_args(kind))
        if _is_of(value, kind):
            if kind is float:
                return checked_number(name, value)
            if isinstance(value, Sequence) and not isinstance(value, str):
                return tuple(plain_value(item) for item in value)
            return plain_value(value)
    wanted = " or ".join(_described(kind) for kind in kinds if kind is not NoneType)
    raise InputTypeError(f"{name} must be {wanted}, got {shown_value(value)}.")


def _is_of(value: object, kind: Any) -> bool:
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin is Sequence:
        items = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [None]
        return all(_is_of(item, arguments[0]) for item in items)
    if origin is tuple:
        return isinstance(value, tuple) and tuple(map(type, value)) == arguments
    plain = plain_value(value)
    if isinstance(plain, bool) or origin is Literal:
        return kind is bool
    return isinstance(plain, int | float) if kind is float else isinstance(plain, origin)


_TYPES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", PathLike: "a path"}


def _described(kind: Any) -> str:
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (Sequence, tuple):
        number = "a list of" if origin is Sequence else f"a tuple of {len(arguments)}"
        return f"{number} {'texts' if arguments[0] is str else 'whole numbers'}"
    return _TYPES.get(origin, f"a {origin.__name__}")


def check_device(device: object) -> None:
    """Raise `InputError` for a device other than the CPU; ``torch.device("cpu")`` is accepted."""
    if device is not None and str(device) != "cpu":
        raise InputError(
            f"device must be None or 'cpu', got {str(device)!r}: this package computes on the CPU."
        )


def takes_keywords(
    arguments: type, defaults: type | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for a function with ``**options: Unpack[arguments]``, where that is a `TypedDict`.

    The function raises `TypeError` for any other keyword, and its signature lists the keywords. Their default
    values are those of the dataclass ``defaults``; the default is None for a keyword that it does not have.
    """
    values = {field.name: field.default for field in fields(defaults)} if defaults else {}
    listed = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=values.get(name),
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in arguments.__annotations__.items()
    ]

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        plain = signature(function)
        own = [value for value in plain.parameters.values() if value.kind is not Parameter.VAR_KEYWORD]
        known = {parameter.name for parameter in (*own, *listed)}

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in known:
                    raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument {name!r}")
            return function(*args, **kwargs)

        vars(checked)["__signature__"] = plain.replace(parameters=[*own, *listed])
        return checked

    return decorate


def same_signature(source: Callable[P, R]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Return a decorator for a function that passes its arguments on to ``source``.

    The function then has the parameters of ``source`` for type checkers and for `inspect.signature`.
    """

    def decorate(function: Callable[..., R]) -> Callable[P, R]:
        vars(function)["__signature__"] = signature(source)
        return function

    return decorate
