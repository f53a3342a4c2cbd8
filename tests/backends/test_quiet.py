"""A package can be hidden from an import, and nothing is left behind."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from munjang.backends.quiet import hidden


@pytest.mark.parametrize("loaded", [True, False])
def test_hidden(loaded: bool) -> None:
    name = "colorsys"  # any small module
    sys.modules.pop(name, None)
    before = import_module(name) if loaded else None
    with pytest.raises(ValueError, match="inside"), hidden(name):
        with pytest.raises(ModuleNotFoundError):
            import_module(name)
        raise ValueError("inside")
    assert sys.modules.get(name) is before
    assert (import_module(name) is before) is loaded


def test_the_engine_came_without_its_telemetry() -> None:
    import_module("munjang.backends.openvino")
    stub = sys.modules["openvino.tools.ovc.telemetry_utils"].tm
    assert stub.__name__ == "openvino.tools.ovc.telemetry_stub"
