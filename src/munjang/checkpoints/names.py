"""Resolution of a model's name: a folder, a catalogue entry, or a repository on the hub."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from munjang.checkpoints.catalogue import find_entry
from munjang.checkpoints.folder import Checkpoint
from munjang.checkpoints.hub.errors import not_here
from munjang.checkpoints.hub.records import HubModel, is_repository, read_record
from munjang.checkpoints.settings import FetchArguments, FetchOptions, is_offline
from munjang.checkpoints.sources import obtain_entry
from munjang.checkpoints.suggestions import shortened, unknown_model
from munjang.errors import CheckpointError, FetchError, InputTypeError, UnknownModelError
from munjang.progress import say
from munjang.validation import takes_keywords

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["open_checkpoint"]

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
        raise InputTypeError(f"A model is named by a string or a path, not by {type(name).__name__}.")
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
    path = _from_hub(models, offline=is_offline(options.offline), quiet=not progress)
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
        found = next(filter(None, map(foreign_snapshot, models)), None)
        if found is None:
            raise not_here(models[0].repository)
        return found
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
