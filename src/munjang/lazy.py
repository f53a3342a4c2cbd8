"""Public names of a package, imported when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(
    package: str,
    homes: Mapping[str, Sequence[str]],
    modules: Sequence[str] = (),
    own: Sequence[str] = (),
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package's ``__init__.py``.

    Args:
        package: its name.
        homes: the public names, grouped by the module that defines them.
        modules: submodules that are public names too.
        own: public names that the package defines itself.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def load(name: str) -> object:
        if name in home_of:
            value: object = getattr(import_module(home_of[name]), name)
        elif name in modules:
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        vars(sys.modules[package])[name] = value
        return value

    return load, lambda: sorted([*home_of, *modules, *own])
