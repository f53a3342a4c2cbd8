"""Whether a folder can take a run; asked before anything is read or computed."""

from __future__ import annotations

from pathlib import Path

from munjang.errors import CheckpointError, InputError

__all__ = ["ADVICE", "RUN_FILE", "check_output"]

RUN_FILE = "run.json"  # says what a run is
ADVICE = "Choose another output folder, or remove that one."


def check_output(folder: Path) -> None:
    """Raise an error if a folder holds anything but a run of training.

    `InputError` if it does, `CheckpointError` if there is a file in its place.
    """
    if folder.is_file():
        raise CheckpointError(f"Can't write into '{folder}': it is a file. Choose another folder.")
    if folder.is_dir() and not (folder / RUN_FILE).is_file() and any(folder.iterdir()):
        raise InputError(f"'{folder}' is not empty, and what is in it is no run of training. {ADVICE}")
