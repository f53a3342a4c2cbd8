"""Records of models fetched from the hub, so that a second start needs no connection and no hub library.

One small JSON file per repository and revision, written only after the last file of the model has arrived.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from munjang.checkpoints.catalogue import unknown_model
from munjang.checkpoints.files import read_json, write_json
from munjang.checkpoints.settings import cache_root
from munjang.errors import CheckpointError, InputError, InputTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPOSITORY = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Sequences that git refuses in the name of a branch or tag, and path traversal out of the folder.
_NO_REVISION = re.compile(r"[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|^/|[/.]$|\.lock(/|$)")


def is_repository(name: str) -> bool:
    """Return whether this is a valid name of a hub repository."""
    return bool(_REPOSITORY.fullmatch(name)) and len(name) <= 200 and "--" not in name and ".." not in name


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """The model to fetch from the hub; ``cache_dir`` and ``token`` are as in ``open_checkpoint``."""

    repository: str
    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    token: str | None = None
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        """Raise ``UnknownModelError`` for names that would lead to wrong paths (path traversal)."""
        if not is_repository(self.repository):
            raise unknown_model(self.repository, "not a folder, and no repository can have this name")
        revision, token = self.revision, self.token
        if revision is not None and not isinstance(revision, str):
            raise InputTypeError(f"A revision is a string, not {type(revision).__name__}.")
        if revision is not None and (not 0 < len(revision) <= 200 or _NO_REVISION.search(revision)):
            raise unknown_model(
                f"{self.repository}@{revision}", "no branch, tag or commit can have this name"
            )
        if isinstance(token, str) and not re.fullmatch("[!-~]*", token):
            raise InputError("The token contains invalid characters; copy it again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRecord:
    """The fetched files of one snapshot; ``skipped_pickle`` if a pickle was not allowed."""

    repository: str
    revision: str
    snapshot: Path
    files: tuple[str, ...]
    skipped_pickle: bool

    @property
    def storage(self) -> Path:
        """Return the folder in which the hub's cache keeps every revision of the repository."""
        return self.snapshot.parent.parent

    def is_whole(self) -> bool:
        """Return whether every file still exists."""
        return all(os.path.isfile(self.snapshot / file) for file in self.files)  # noqa: PTH113  (never raises)


def read_record(model: HubModel) -> HubRecord | None:
    """Return the record of a model if all its files still exist, else None."""
    record = _parse(_record_path(model))
    if record is None or not record.is_whole() or (model.allow_pickle and record.skipped_pickle):
        return None
    return record


def write_record(model: HubModel, snapshot: Path, files: list[str], *, skipped_pickle: bool) -> None:
    """Write the record of a snapshot. If the cache can't be written, the next start asks the hub again."""
    path = _record_path(model)
    content = {"snapshot": str(snapshot.absolute()), "files": files, "skipped_pickle": skipped_pickle}
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)


def list_records(root: Path) -> Iterator[HubRecord]:
    """Yield the records whose models still exist."""
    folder = root / "hub"
    # os.path, because Path raises for names that no folder can have.
    for path in sorted(folder.glob("*/*.json")) if os.path.isdir(folder) else ():  # noqa: PTH112
        record = _parse(path)
        if record is not None and record.is_whole():
            yield record


def forget(root: Path, repository: str) -> None:
    """Delete the records of a repository; do nothing for names that are not repositories."""
    if is_repository(repository):
        shutil.rmtree(root / "hub" / _folder_name(repository), ignore_errors=True)


def _parse(path: Path) -> HubRecord | None:
    try:
        content = read_json(path)
    except CheckpointError:
        return None
    match content:
        case {
            "snapshot": str(snapshot),
            "files": [*files],
            "skipped_pickle": bool(skipped),
        } if files and _is_snapshot(Path(snapshot), path.parent.name):
            return HubRecord(
                repository=path.parent.name.replace("--", "/"),
                revision=unquote(path.stem),
                snapshot=Path(snapshot),
                files=tuple(str(file) for file in files),
                skipped_pickle=skipped,
            )
    return None


def _is_snapshot(path: Path, folder_name: str) -> bool:
    """Return whether the path is a snapshot's: removing a model removes the folder two levels above it."""
    return (
        path.is_absolute()
        and _COMMIT.fullmatch(path.name) is not None
        and path.parent.name == "snapshots"
        and path.parent.parent.name == f"models--{folder_name}"
    )


def _record_path(model: HubModel) -> Path:
    folder = cache_root(model.cache_dir) / "hub" / _folder_name(model.repository)
    return folder / f"{quote(model.revision or 'main', safe='')}.json"


def _folder_name(repository: str) -> str:
    # No repository name contains "--", so this is reversible.
    return repository.replace("/", "--")
