"""Whether a folder can take a run or a new model; asked before anything is read or computed."""

from __future__ import annotations

from pathlib import Path

from munjang.errors import CheckpointError, InputError

__all__ = ["ADVICE", "RUN_FILE", "check_empty", "check_output"]

RUN_FILE = "run.json"  # says what a run is
ADVICE = "Choose another output folder, or remove that one."


def check_output(folder: Path) -> None:
    """Raise an error if a folder holds anything but a run of training.

    `InputError` if it does, `CheckpointError` if there is a file in its place.
    """
    if _holds_something(folder) and not (folder / RUN_FILE).is_file():
        raise InputError(f"'{folder}' is not empty, and what is in it is no run of training. {ADVICE}")


def check_empty(folder: Path) -> None:
    """Raise an error if a folder holds anything: `InputError`, or `CheckpointError` if it is a file.

    What is there may be somebody's only copy, and files of two models in one folder are neither.
    """
    if _holds_something(folder):
        raise InputError(f"'{folder}' is not empty; choose another output folder.")


def _holds_something(folder: Path) -> bool:
    if folder.is_file():
        raise CheckpointError(f"Can't write into '{folder}': it is a file. Choose another folder.")
    return folder.is_dir() and any(folder.iterdir())
