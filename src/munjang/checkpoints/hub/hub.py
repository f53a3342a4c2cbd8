"""Models from a Hugging Face repository, with ``huggingface_hub`` and its cache.

A repository that was fetched once is opened again without a connection. ``HF_ENDPOINT``, ``HF_HOME``,
``HF_TOKEN``, ``HF_HUB_ETAG_TIMEOUT`` and ``HF_HUB_DOWNLOAD_TIMEOUT`` (seconds without data until a download
counts as stalled; default 10) are used; no telemetry is sent.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.checkpoints.files import read_json
from munjang.checkpoints.hub.checks import Guard, Listing, RepositoryFile, discard, find_damage, read_listing
from munjang.checkpoints.hub.errors import BadAnswerError, explain_hub_error
from munjang.checkpoints.hub.files import needed_files, skips_pickle
from munjang.checkpoints.hub.records import HubModel, write_record
from munjang.errors import CheckpointError, MunjangError
from munjang.progress import megabytes, say, watching

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARY = "munjang"
# Timeout in seconds for a hub that does not respond; a download in progress has no such limit.
_PATIENCE = 10.0


def fetch_snapshot(model: HubModel, *, patience: float = _PATIENCE, quiet: bool = False) -> Path:
    """Download a repository's model files into the hub's cache and return their folder.

    Files in the cache are not downloaded again. Raises ``UnknownModelError`` if the repository or revision
    does not exist, ``CheckpointError`` if it has no model, ``FetchError`` if the hub does not respond or
    refuses, or if a file differs from the announced size or checksum.
    """
    from huggingface_hub import HfApi, constants, file_download

    with _well_behaved(), Guard().watching(file_download) as guard:
        try:
            info = HfApi(library_name=_LIBRARY, token=model.token).model_info(
                model.repository, revision=model.revision, timeout=patience, files_metadata=True
            )
            fetch = _Fetch(model, read_listing(info), guard, patience)
            return _download(fetch, constants.ENDPOINT, quiet)
        except MunjangError:
            raise
        except Exception as error:  # a malformed response can raise any exception in the library
            raise explain_hub_error(error, model, constants.ENDPOINT) from error


def foreign_snapshot(model: HubModel) -> Path | None:
    """Return, without a connection, the snapshot of a model that another program put into the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "modules.json"):
        with contextlib.suppress(ValueError):  # an invalid repository name
            path = try_to_load_from_cache(
                model.repository, name, cache_dir=_cache_dir(model), revision=model.revision
            )
            if isinstance(path, str) and _has_weights(Path(path).parent, model.allow_pickle):
                return Path(path).parent
    return None


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One download of a repository."""

    model: HubModel
    listing: Listing
    guard: Guard
    patience: float

    def get(self, file: str) -> Path:
        """Return the path of a file in the cache after a check against the announced values."""
        announced = self.listing.files[file]
        self.guard.expect(file, announced, self.listing.commit)
        path = self._get(file, self.listing.commit)
        damage = find_damage(path, announced)
        if damage is not None and not self.guard.downloaded:  # left by an earlier, broken download
            discard(path)
            path = self._get(file, self.listing.commit)
            damage = find_damage(path, announced)
        if damage is not None:
            discard(path)
            raise BadAnswerError(f"'{file}' {damage}")
        return path

    def note_revision(self, file: str) -> None:
        """Fetch a file by the revision's name, so that the cache stores the commit of that name."""
        self.guard.expect(file, RepositoryFile(), None)
        self._get(file, self.model.revision)

    def _get(self, file: str, revision: str | None) -> Path:
        from huggingface_hub import hf_hub_download

        path = hf_hub_download(
            self.model.repository,
            file,
            revision=revision,
            cache_dir=_cache_dir(self.model),
            token=self.model.token,
            library_name=_LIBRARY,
            etag_timeout=self.patience,
        )
        return Path(path)

    def is_cached(self, file: str) -> bool:
        """Return whether the cache has a file of this commit."""
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(
            self.model.repository, file, cache_dir=_cache_dir(self.model), revision=self.listing.commit
        )
        return isinstance(path, str)


def _download(fetch: _Fetch, endpoint: str, quiet: bool) -> Path:
    model, listed = fetch.model, fetch.listing.files
    folders = _module_folders(fetch) if "modules.json" in listed else []
    files = needed_files(model.repository, listed, folders, model.allow_pickle)
    total = sum(listed[file].size or 0 for file in files if not fetch.is_cached(file))
    if not all(map(fetch.is_cached, files)):
        say(f"Fetching {model.repository} ({megabytes(total)}) from {endpoint}.", quiet=quiet)
    with watching(_repository_folder(model), model.repository, total, quiet=quiet):
        paths = [fetch.get(file) for file in files]
    fetch.note_revision(files[0])
    snapshot = paths[0].parents[files[0].count("/")]
    write_record(model, snapshot, files, skipped_pickle=skips_pickle(listed, files))
    return snapshot


def _module_folders(fetch: _Fetch) -> list[str]:
    modules = read_json(fetch.get("modules.json"))
    entries = modules if isinstance(modules, list) else []
    return [
        entry["path"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("path"), str)
    ]


def _has_weights(folder: Path, allow_pickle: bool) -> bool:
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    with contextlib.suppress(CheckpointError):
        return bool(
            needed_files("", files, sorted({file.rpartition("/")[0] for file in files}), allow_pickle)
        )
    return False


def _cache_dir(model: HubModel) -> str | None:
    return None if model.cache_dir is None else str(Path(model.cache_dir).expanduser())


def _repository_folder(model: HubModel) -> Path:
    from huggingface_hub import constants

    return (
        Path(_cache_dir(model) or constants.HF_HUB_CACHE) / f"models--{model.repository.replace('/', '--')}"
    )


@contextlib.contextmanager
def _well_behaved() -> Iterator[None]:
    """Disable the hub library's telemetry, progress bars and log output inside the block."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, telemetry = logger.level, constants.HF_HUB_DISABLE_TELEMETRY
    # If the environment sets the progress bars, the library does not allow a program to change them.
    bars = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    constants.HF_HUB_DISABLE_TELEMETRY = True
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry
        if bars:
            enable_progress_bars()
