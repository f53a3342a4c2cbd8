"""Finding out what a model's name means: a folder, a catalogue entry, or a repository on the hub."""

from __future__ import annotations

import os
from pathlib import Path

from munjang.checkpoints.folder import Checkpoint
from munjang.errors import CheckpointError, InputTypeError, UnknownModelError

__all__ = ["open_checkpoint"]

_MODEL_FILES = ("config.json", "modules.json")


def open_checkpoint(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | None = None,
    offline: bool | None = None,
    allow_pickle: bool = False,
) -> Checkpoint:
    """Open the checkpoint in a folder.

    Raises ``UnknownModelError`` when there is no such folder, ``CheckpointError`` when it holds no model.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise InputTypeError(f"A model is named by a string or a path, not by {type(name).__name__}.")
    text = os.fspath(name)
    folder = Path(text).expanduser()
    if os.path.isdir(folder):  # noqa: PTH112  (Path.is_dir raises for names that no file can have)
        return _open_folder(folder, text, allow_pickle)
    raise UnknownModelError(f"Model '{text}' was not found: there is no such folder.")


def _open_folder(folder: Path, name: str, allow_pickle: bool) -> Checkpoint:
    checkpoint = Checkpoint(folder, name, allow_pickle)
    if not any(checkpoint.has(file) for file in _MODEL_FILES):
        raise CheckpointError(
            f"'{folder}' is not a model's folder: it has neither {' nor '.join(_MODEL_FILES)}."
        )
    return checkpoint
