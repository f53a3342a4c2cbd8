"""Errors of hub access, each with a message of one line."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from munjang.checkpoints.catalogue import unknown_model
from munjang.errors import FetchError, MunjangError, OfflineError

if TYPE_CHECKING:
    from munjang.checkpoints.hub.records import HubModel

_CACHE_ERRORS = {
    errno.ENOSPC, errno.EFBIG, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST,
}  # fmt: skip


class BadAnswerError(Exception):
    """An invalid response of a hub; the text describes the response."""


def explain_hub_error(error: Exception, model: HubModel, endpoint: str) -> MunjangError:
    """Return our error for an exception of the hub's library: what happened, the value, the remedy."""
    from huggingface_hub import errors

    name = model.repository
    if isinstance(error, BadAnswerError):
        return FetchError(
            f"Can't fetch '{name}': {error}, so it is refused. Check HF_ENDPOINT ({endpoint}), try again."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return not_here(name)
    if isinstance(error, errors.GatedRepoError):
        return FetchError(
            f"Access to '{name}' is restricted: accept its terms on the hub, then pass a token (token=..., or"
            " HF_TOKEN)."
        )
    if isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
        return unknown_model(
            name, "not a folder, not in the catalogue, not on the hub (a private one needs a token)"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return unknown_model(f"{name}@{model.revision}", f"the repository has no revision '{model.revision}'")
    return FetchError(f"Can't fetch '{name}': {_what_happened(error, endpoint)}")


def not_here(name: str) -> OfflineError:
    """Return the error for a model that is not in the cache while connections are forbidden."""
    return OfflineError(
        f"Model '{name}' is not in the cache, and offline mode forbids to fetch it. Fetch it once while"
        f" online: `munjang models get {name}`."
    )


def _what_happened(error: Exception, endpoint: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"the hub at {endpoint} refused access (error {status}). Pass a token that may read it."
    if status is not None:
        return f"the hub at {endpoint} answered with error {status}. Try again later."
    root = _root_cause(error)
    if isinstance(root, OSError) and root.errno in _CACHE_ERRORS:
        return f"the hub's cache can't be written ({root.strerror}). Make room, or set HF_HOME or cache_dir."
    # A response is not safe to print on a terminal: escape sequences, a megabyte in one line.
    line = "".join(filter(str.isprintable, (str(root).splitlines() or [""])[0])).strip()
    reason = line[:200] or type(root).__name__
    return (
        f"incomplete response from the hub at {endpoint} ({reason}). Check the network or HF_ENDPOINT, "
        "try again."
    )


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
