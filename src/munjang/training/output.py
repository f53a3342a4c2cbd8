"""Checks of an output folder for a run or a new model, done before any reading or computing."""

from __future__ import annotations

from pathlib import Path

from munjang.errors import CheckpointError, InputError

RUN_FILE = "run.json"  # identifies a run
ADVICE = "Choose another output folder, or remove that one."


def check_output(folder: Path) -> None:
    """Check that a folder is absent, empty or holds a training run.

    Raises `InputError` if it holds other files, `CheckpointError` if the path is a file.
    """
    if _holds_something(folder) and not (folder / RUN_FILE).is_file():
        raise InputError(f"'{folder}' is not empty and holds no training run. {ADVICE}")


def check_empty(folder: Path) -> None:
    """Check that a folder is absent or empty.

    Raises `InputError` if it holds files, `CheckpointError` if the path is a file. Existing files are never
    overwritten: they may be the user's only copy, and a mixture of the files of two models is unusable.
    """
    if _holds_something(folder):
        raise InputError(f"'{folder}' is not empty; choose another output folder.")


def _holds_something(folder: Path) -> bool:
    if folder.is_file():
        raise CheckpointError(f"Can't write into '{folder}': it is a file. Choose another folder.")
    return folder.is_dir() and any(folder.iterdir())
