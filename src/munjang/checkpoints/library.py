"""The models in the local cache or in the catalogue: list, get, remove."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from munjang.checkpoints.cache import remove_cached
from munjang.checkpoints.catalogue import CATALOGUE, CatalogueEntry, find_entry, unknown_model
from munjang.checkpoints.files import read_json
from munjang.checkpoints.hub.records import HubRecord, forget, list_records
from munjang.checkpoints.names import PROVENANCE, open_checkpoint, present_entry
from munjang.checkpoints.settings import FetchArguments, FetchOptions, cache_root, is_offline
from munjang.errors import CheckpointError, FetchError, InputError
from munjang.validation import takes_keywords

CacheDir = str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model's entry in a list of models.

    ``size_bytes`` is its size on disk, also if it is not downloaded yet; ``sources`` are the possible
    sources, in the order in which they are tried; ``origin`` is the source of the copy at ``path``.
    ``dimension`` and ``licence`` are ``None`` if unknown.
    """

    name: str
    aliases: tuple[str, ...]
    description: str
    dimension: int | None
    size_bytes: int
    licence: str | None
    sources: tuple[str, ...]
    present: bool
    path: Path | None
    origin: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the entry, for JSON."""
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "description": self.description,
            "present": self.present,
            "dimension": self.dimension,
            "size_bytes": self.size_bytes,
            "licence": self.licence,
            "sources": list(self.sources),
            "path": None if self.path is None else str(self.path),
            "origin": self.origin,
        }


def list_models(*, cache_dir: CacheDir = None) -> list[ModelInfo]:
    """Return all catalogue models, downloaded or not, then every other model fetched from the hub."""
    catalogue = [_describe_entry(entry, cache_dir) for entry in CATALOGUE]
    known = {alias for entry in CATALOGUE for alias in entry.aliases}
    records = [record for record in list_records(cache_root(cache_dir)) if record.repository not in known]
    return catalogue + [_describe_record(record) for record in records]


@takes_keywords(FetchArguments, FetchOptions)
def get_model(
    name: str,
    *,
    progress: bool = True,
    **arguments: Unpack[FetchArguments],
) -> ModelInfo:
    """Download a model if it is not in the cache, and return its entry; errors as in ``open_checkpoint``.

    For a hub repository outside the catalogue the hub is asked again, so this downloads a newer commit.
    """
    options = FetchOptions(**arguments)
    if find_entry(name) is None and not is_offline(options.offline):
        forget(cache_root(options.cache_dir), name)
    checkpoint = open_checkpoint(name, options, progress=progress)
    models = (info for info in list_models(cache_dir=options.cache_dir) if info.path == checkpoint.path)
    return next(models, _describe_folder(name, checkpoint.path))


def remove_model(name: str, *, cache_dir: CacheDir = None) -> ModelInfo:
    """Delete all revisions of a model from the cache, and return its former entry.

    Raises ``UnknownModelError`` if it is not in the cache, ``InputError`` if it belongs to an installed
    package, and ``FetchError`` if the cache can't be written.
    """
    entry = find_entry(name)
    wanted = entry.name if entry else name
    info = next(
        (info for info in list_models(cache_dir=cache_dir) if info.name == wanted and info.present), None
    )
    if info is None:
        raise unknown_model(name, "it is not in the cache, so there is nothing to remove")
    root = cache_root(cache_dir)
    if entry is not None and remove_cached(root, entry.name):
        return info
    _remove_from_hub_cache(root, entry.repository if entry else name, info)
    return info


def _remove_from_hub_cache(root: Path, repository: str, info: ModelInfo) -> None:
    records = [record for record in list_records(root) if record.repository == repository]
    if not records:
        raise InputError(f"'{info.name}' belongs to {info.origin}; uninstall that package to remove it.")
    forget(root, repository)
    for folder in {record.storage for record in records}:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise FetchError(f"Can't remove '{folder}': {error.strerror or error}.") from error


def _describe_entry(entry: CatalogueEntry, cache_dir: CacheDir) -> ModelInfo:
    path = present_entry(entry, cache_dir)
    return ModelInfo(
        name=entry.name,
        aliases=entry.aliases,
        description=entry.description,
        dimension=entry.dimension,
        size_bytes=entry.size_bytes if path is None else _size(path),
        licence=entry.licence,
        sources=entry.sources,
        present=path is not None,
        path=path,
        origin=None if path is None else _origin(entry, path, cache_dir),
    )


def _describe_record(record: HubRecord) -> ModelInfo:
    origin = f"the hub repository {record.repository}, revision {record.revision}"
    return _describe(record.repository, record.snapshot, origin)


def _describe_folder(name: str, path: Path) -> ModelInfo:
    return _describe(name, path, "a folder")


def _describe(name: str, path: Path, origin: str) -> ModelInfo:
    config: object = None
    with contextlib.suppress(CheckpointError):
        config = read_json(path / "config.json")
    dimension = config.get("hidden_size") if isinstance(config, dict) else None
    return ModelInfo(
        name=name,
        aliases=(),
        description=str(config.get("model_type", "")) if isinstance(config, dict) else "",
        dimension=dimension if isinstance(dimension, int) else None,
        size_bytes=_size(path),
        licence=None,
        sources=(origin,),
        present=True,
        path=path,
        origin=origin,
    )


def _origin(entry: CatalogueEntry, path: Path, cache_dir: CacheDir) -> str:
    with contextlib.suppress(CheckpointError):
        provenance = read_json(path / PROVENANCE)
        if isinstance(provenance, dict):
            return str(provenance.get("source", path))
    if any(record.snapshot == path for record in list_records(cache_root(cache_dir))):
        return f"the hub repository {entry.repository}"
    return f"the installed package {entry.wheel.project} {entry.wheel.version}"


def _size(path: Path) -> int:
    # A snapshot of the hub's cache is a folder of links; the disk space is used by their targets.
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
