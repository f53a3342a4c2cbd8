"""The user's cache of models: each model is added atomically, also if a process fails or is killed.

Layout under the cache's root::

    models/NAME/KEY/       a complete model; KEY changes when its content changes
    tmp/NAME.RANDOM/       a model that is being built; left over only by a process that was killed
    locks/NAME.lock        held by the process that builds or removes NAME

A model is built in ``tmp`` and moved to its final path by one rename. The lock is an operating system lock,
so it is released when the process ends; the holder may delete leftovers of earlier holders in ``tmp``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.checkpoints.files import flush
from munjang.errors import FetchError, MunjangError
from munjang.progress import megabytes, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def model_folder(root: Path, name: str) -> Path:
    """Return the folder that holds every version of a model."""
    return root / "models" / name


def cached_model(root: Path, name: str, key: str) -> Path | None:
    """Return the folder of a model that is in the cache; takes no lock and writes nothing."""
    folder = model_folder(root, name) / key
    # os.path returns False where Path raises: for a cache folder without read permission.
    return folder if os.path.isdir(folder) else None  # noqa: PTH112


def install_model(
    root: Path, name: str, key: str, build: Callable[[Path], Path], *, needed: int = 0, quiet: bool = False
) -> Path:
    """Add a model to the cache and return its folder.

    ``build`` gets an empty working folder and returns the folder inside it that contains the finished model.
    ``needed`` is the maximum size in bytes. If another process built the model meanwhile, its copy is used.
    Raises ``FetchError`` if the cache can't be written or is full, and any exception of ``build``.
    """
    with _explained(root, name), _locked(root, name, quiet):
        present = cached_model(root, name, key)
        if present is not None:
            return present
        with _workplace(root, name) as work:
            _require_room(root, name, needed)
            folder = build(work)
            _flush_files(folder)
            target = model_folder(root, name) / key
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
            flush(target.parent)
        _drop_others(target)
    return target


def remove_cached(root: Path, name: str) -> bool:
    """Delete every version of a model from the cache; return whether there was any."""
    folder = model_folder(root, name)
    if not os.path.isdir(folder):  # noqa: PTH112  (never raises)
        return False
    with _explained(root, name), _locked(root, name, quiet=False), _workplace(root, name) as work:
        # An atomic rename first; the slow deletion after it.
        folder.rename(work / "removed")
    return True


@contextlib.contextmanager
def _locked(root: Path, name: str, quiet: bool) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path = root / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Waiting for another process that is working on '{name}'.", quiet=quiet)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _workplace(root: Path, name: str) -> Iterator[Path]:
    folder = root / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{name}.*"):
        shutil.rmtree(stale, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _require_room(root: Path, name: str, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if free < needed:
        raise FetchError(
            f"'{name}' takes {megabytes(needed)}, but the disk of the model cache '{root}' has only"
            f" {megabytes(free)} left: free some space, or set MUNJANG_CACHE to another folder."
        )


def _drop_others(keep: Path) -> None:
    """Delete the same model's versions from older releases."""
    for folder in keep.parent.iterdir():
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)


def _flush_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        flush(path)


@contextlib.contextmanager
def _explained(root: Path, name: str) -> Iterator[None]:
    """Translate system errors into an error of one line: the folder, the reason and the remedy."""
    try:
        yield
    except MunjangError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            message = f"No room for '{name}' in the model cache '{root}': {reason}. Free some space, or set"
        else:
            message = f"Can't write '{name}' to the model cache '{root}': {reason}. Set"
        raise FetchError(f"{message} MUNJANG_CACHE to a folder that can take it.") from error
