"""Checks of a hub's responses before they are used as paths, and of its files before they are recorded.

``huggingface_hub`` builds paths from the commit and the ETag that a hub sends, and compares a file only with
the size that the download itself announced. Therefore a repository's files are fetched inside ``Guard``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from munjang.checkpoints.files import JSON_LIMIT, VOCABULARY_LIMIT
from munjang.checkpoints.hub.errors import BadAnswerError
from munjang.checkpoints.hub.files import VOCABULARY_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The public hub sends a SHA-1 or SHA-256; other hubs send other values. They become file names in the cache.
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+=-]{0,199}")
_LOCK = threading.RLock()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryFile:
    """A file as the hub's API announces it; ``None`` for values that are not in the API's response."""

    size: int | None = None
    sha256: str | None = None
    git_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository's commit and its files."""

    commit: str
    files: dict[str, RepositoryFile]


def read_listing(info: Any) -> Listing:
    """Return the commit and files of a response of the hub's API.

    Files with a path outside the folder are skipped. Raises ``BadAnswerError`` for invalid values.
    """
    commit = _matching(info.sha, _COMMIT)
    if commit is None:
        raise BadAnswerError(f"the hub named the commit {_shown(info.sha)}, not 40 hexadecimal digits")
    siblings = info.siblings or []
    if not isinstance(siblings, list):
        raise BadAnswerError(f"the hub listed the files as {_shown(siblings)}, not as a list")
    return Listing(
        commit, {file.rfilename: _announced(file) for file in siblings if _stays_inside(file.rfilename)}
    )


def _announced(file: Any) -> RepositoryFile:
    size, lfs = file.size, file.lfs
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise BadAnswerError(f"the hub announced '{file.rfilename}' with the size {_shown(size)}")
    if lfs is not None:  # its blob id is the id of the LFS pointer
        return RepositoryFile(size=size, sha256=_matching(lfs.sha256, _SHA256))
    return RepositoryFile(size=size, git_hash=_matching(file.blob_id, _COMMIT))


def _stays_inside(name: object) -> bool:
    if not isinstance(name, str):
        raise BadAnswerError(f"the hub listed a file named {_shown(name)}")
    return (
        name.isprintable() and not set('\\:*?"<>|') & set(name) and not {"", ".", ".."} & set(name.split("/"))
    )


def _matching(value: object, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def size_limit(file: str, announced: RepositoryFile) -> int | None:
    """Return the maximum download size of a file in bytes; ``None`` for weights of unknown size.

    Raises ``BadAnswerError`` if the announced size exceeds the limit for this kind of file.
    """
    name = PurePosixPath(file).name
    most = VOCABULARY_LIMIT if name in VOCABULARY_FILES else JSON_LIMIT if name.endswith(".json") else None
    if most is not None and announced.size is not None and announced.size > most:
        raise BadAnswerError(
            f"'{file}' has {announced.size:,} bytes, and such a file may have at most {most:,}"
        )
    return most if announced.size is None else announced.size


class Guard:
    """A wrapper of the HTTP functions of ``huggingface_hub`` while a block runs; for one thread at a time.

    A file's headers are checked at the place where the library reads them, because a hub could answer an
    earlier request differently. Downloads use plain HTTP, where size and timeouts can be checked.
    """

    def __init__(self) -> None:
        self.downloaded = False
        self._file = ""
        self._limit: int | None = None
        self._size: int | None = None
        self._commit: str | None = None
        self._stalled: Exception | None = None

    def expect(self, file: str, announced: RepositoryFile, commit: str | None) -> None:
        """Set the next download's expected values; ``commit`` is ``None`` if a branch may have changed."""
        self._limit = size_limit(file, announced)
        self._file, self._size, self._commit = file, announced.size, commit
        self.downloaded, self._stalled = False, None

    @contextlib.contextmanager
    def watching(self, module: Any) -> Iterator[Guard]:
        """Check this thread's downloads with ``huggingface_hub.file_download`` inside the block."""
        with _LOCK:
            metadata, get = module.get_hf_file_metadata, module.http_get
            thread = threading.get_ident()

            def checked_metadata(*args: Any, **kwargs: Any) -> Any:
                own = threading.get_ident() == thread
                return self._metadata(metadata, *args, **kwargs) if own else metadata(*args, **kwargs)

            def checked_get(*args: Any, **kwargs: Any) -> Any:
                own = threading.get_ident() == thread
                return self._get(get, *args, **kwargs) if own else get(*args, **kwargs)

            module.get_hf_file_metadata, module.http_get = checked_metadata, checked_get
            try:
                yield self
            finally:
                module.get_hf_file_metadata, module.http_get = metadata, get

    def _metadata(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        if self._stalled is not None:  # the library would retry for minutes
            raise self._stalled
        try:
            metadata = original(*args, **kwargs)
        except Exception as error:
            self._stalled = error if _is_timeout(error) else None
            # For a missing file, the library writes to a folder named after the error response's commit.
            headers = getattr(getattr(error, "response", None), "headers", None) or {}
            self._check_commit(headers.get("X-Repo-Commit"))
            raise
        if metadata.etag is not None and not _matching(metadata.etag, _ETAG):
            self._refuse(f"the ETag {_shown(metadata.etag)}, which can't name a file")
        self._check_commit(metadata.commit_hash)
        if None not in (self._size, metadata.size) and metadata.size != self._size:
            self._refuse(f"the size {metadata.size:,}, but {self._size:,} was announced")
        xet = getattr(metadata, "xet_file_data", None)
        return metadata if xet is None else dataclasses.replace(metadata, xet_file_data=None)

    def _check_commit(self, commit: str | None) -> None:
        if commit is not None and not _matching(commit, _COMMIT):
            self._refuse(f"the commit {_shown(commit)}, not 40 hexadecimal digits")
        if self._commit is not None and commit not in (None, self._commit):
            self._refuse(f"the commit {commit} instead of {self._commit}")

    def _refuse(self, what: str) -> None:
        raise BadAnswerError(f"the hub sent for '{self._file}' {what}")

    def _get(self, original: Any, url: str, temp_file: BinaryIO, **kwargs: Any) -> None:
        self.downloaded = True
        error = sys.exception() if "_nb_retries" in kwargs else None
        if error is not None and _is_timeout(error):  # broken connections are resumed, timeouts are not
            raise error
        limit = kwargs.get("expected_size") if self._limit is None else self._limit
        file = temp_file if limit is None or isinstance(temp_file, _Limited) else _Limited(temp_file, limit)
        original(url, file, **kwargs)


class _Limited:
    """A file object that raises if the file grows beyond a maximum size."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = limit

    def write(self, chunk: bytes) -> int:
        if self._file.tell() + len(chunk) > self._limit:
            raise BadAnswerError(f"more than the announced {self._limit:,} bytes arrived")
        return self._file.write(chunk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _is_timeout(error: BaseException) -> bool:
    # Releases of the hub's library use different HTTP libraries.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"Timeout", "TimeoutException"}) or "timed out" in str(error).lower()


def find_damage(path: Path, announced: RepositoryFile) -> str | None:
    """Return how a file of the hub's cache differs from the announced values, or ``None``."""
    size = path.stat().st_size
    if announced.size is not None and size != announced.size:
        return f"has {size:,} bytes, but {announced.size:,} were announced"
    named = _matching(_blob(path).name, _SHA256) if announced.git_hash is None else None
    if (wanted := announced.sha256 or named) is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    elif (wanted := announced.git_hash) is not None:
        content = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
        digest = content.hexdigest()
    else:
        return None
    return None if digest == wanted else f"has the hash {digest}, but {wanted} was announced"


def discard(path: Path) -> None:
    """Delete a file from the hub's cache, and the blob that its link points to."""
    blob = _blob(path)
    for part in {path, blob if blob.parent.name == "blobs" else path}:
        part.unlink(missing_ok=True)


def _blob(path: Path) -> Path:
    return Path(os.path.normpath(path.parent / path.readlink())) if path.is_symlink() else path
