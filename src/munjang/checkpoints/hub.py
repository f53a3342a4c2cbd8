"""Models from a Hugging Face repository, through ``huggingface_hub`` and its cache.

A repository that was fetched once is opened again without a connection. ``HF_ENDPOINT``, ``HF_HOME`` and
``HF_TOKEN`` are obeyed; no telemetry is sent.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.checkpoints.files import read_json
from munjang.checkpoints.huberrors import explain_hub_error, hub_errors
from munjang.checkpoints.hubfiles import needed_files, skips_pickle
from munjang.checkpoints.hubrecords import HubModel, write_record
from munjang.checkpoints.progress import megabytes, say, watching
from munjang.errors import CheckpointError, MunjangError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from huggingface_hub.hf_api import ModelInfo

__all__ = ["fetch_snapshot", "foreign_snapshot"]

_LIBRARY = "munjang"
# Seconds until a hub that says nothing counts as down; a download that has begun may take its time.
_PATIENCE = 10.0


def fetch_snapshot(model: HubModel, *, patience: float = _PATIENCE, quiet: bool = False) -> Path:
    """Bring a repository's model files into the hub's cache and give their folder.

    Files that are there are not fetched again. Raises ``UnknownModelError`` when there is no such repository
    or revision, ``CheckpointError`` when it holds no model, ``FetchError`` when the hub is silent or refuses.
    """
    from huggingface_hub import HfApi, constants

    with _well_behaved():
        try:
            info = HfApi(library_name=_LIBRARY, token=model.token).model_info(
                model.repository, revision=model.revision, timeout=patience, files_metadata=True
            )
            return _download(model, info, constants.ENDPOINT, quiet)
        except MunjangError:
            raise
        except hub_errors() as error:
            raise explain_hub_error(error, model, constants.ENDPOINT) from error


def foreign_snapshot(model: HubModel) -> Path | None:
    """Find, without a connection, a model that another program brought into the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "modules.json"):
        with contextlib.suppress(ValueError):  # a name that no repository can have
            found = try_to_load_from_cache(
                model.repository, name, cache_dir=_cache_dir(model), revision=model.revision
            )
            if isinstance(found, str) and _has_weights(Path(found).parent, model.allow_pickle):
                return Path(found).parent
    return None


def _download(model: HubModel, info: ModelInfo, endpoint: str, quiet: bool) -> Path:
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    folders = _module_folders(model, info) if "modules.json" in sizes else []
    files = needed_files(model.repository, sizes, folders, model.allow_pickle)
    missing = [file for file in files if not _is_cached(model, info, file)]
    total = sum(sizes[file] for file in missing)
    if missing:
        say(f"Fetching {model.repository} ({megabytes(total)}) from {endpoint}.", quiet=quiet)
    with watching(_repository_folder(model), model.repository, total, quiet=quiet):
        paths = [_get(model, file, info.sha) for file in files]
    # Once more by the revision's own name: this notes in the hub's cache which commit the name means.
    _get(model, files[0], model.revision)
    snapshot = paths[0].parents[files[0].count("/")]
    write_record(model, snapshot, files, skipped_pickle=skips_pickle(sizes, files))
    return snapshot


def _get(model: HubModel, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(
        model.repository,
        file,
        revision=revision,
        cache_dir=_cache_dir(model),
        token=model.token,
        library_name=_LIBRARY,
    )
    return Path(path)


def _module_folders(model: HubModel, info: ModelInfo) -> list[str]:
    modules = read_json(_get(model, "modules.json", info.sha))
    entries = modules if isinstance(modules, list) else []
    return [
        entry["path"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("path"), str)
    ]


def _is_cached(model: HubModel, info: ModelInfo, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.repository, file, cache_dir=_cache_dir(model), revision=info.sha)
    return isinstance(found, str)


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
    """Keep the hub's library from reporting home, and from drawing and logging over our one line."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, telemetry = logger.level, constants.HF_HUB_DISABLE_TELEMETRY
    # Where the user's environment decides about the bars, a program may not.
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
