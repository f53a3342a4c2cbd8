"""Torch tensors for callers who work with them; torch itself is never imported here.

Lessons mix vectors with ``torch.topk`` and its like. A program that has imported torch and asks for
tensors, or hands in tensors, gets tensors back; everybody else gets arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

__all__ = ["like_caller", "tensors_for_tensors"]

P = ParamSpec("P")


def like_caller(array: NDArray[Any]) -> Any:
    """Give a torch tensor if the program has imported torch, else the array."""
    torch = sys.modules.get("torch")
    return array if torch is None else torch.from_numpy(np.asarray(array, order="C"))


def tensors_for_tensors(function: Callable[P, NDArray[Any]]) -> Callable[P, Any]:
    """Make a function of arrays give a tensor when one of its arguments is a tensor, or a list of them."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        result = function(*args, **kwargs)
        given = [*args, *kwargs.values()]
        return like_caller(result) if any(_is_tensor(value) for value in given) else result

    return wrapper


def _is_tensor(value: object) -> bool:
    if isinstance(value, list | tuple) and value:
        value = value[0]
    return hasattr(value, "detach") and hasattr(value, "cpu")
