"""A package can be hidden from an import, without a lasting effect."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from munjang.backends.openvino import hidden


@pytest.mark.parametrize("loaded", [True, False])
def test_hidden(loaded: bool) -> None:
    name = "colorsys"  # any small module
    sys.modules.pop(name, None)
    before = import_module(name) if loaded else None
    with hidden(name), pytest.raises(ModuleNotFoundError):
        import_module(name)
    assert sys.modules.get(name) is before
    assert (import_module(name) is before) is loaded
