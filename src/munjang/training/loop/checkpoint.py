"""The checkpoint files of an unfinished run; the same command resumes exactly from them.

``run.json`` identifies the run. ``checkpoint/last.safetensors`` holds the full training state after some
update. It is a single file, so it is either complete or absent. ``checkpoint/best.safetensors`` holds the
trained tensors at the best evaluation.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints import save_weights
from munjang.checkpoints.files import read_json, write_json
from munjang.checkpoints.weights import open_safetensors
from munjang.errors import CheckpointError, InputError
from munjang.training.loop.network import Network
from munjang.training.loop.optimizer import Optimizer
from munjang.training.output import ADVICE, RUN_FILE, check_output

_PROGRESS = "progress"
_OPTIMIZER = "optimizer/"
_NETWORK = "network/"


@dataclass(slots=True)
class Progress:
    """The progress of a run: its counters and its best evaluation."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    without_better: int = 0
    seconds: float = 0.0
    tokens: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)  # measured before the first update

    def to_json(self) -> dict[str, Any]:
        """Return all fields as a dictionary that can be written as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class RunFolder:
    """The output folder of a run, with its checkpoints."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        # The JSON round trip turns tuples into lists, so that the value equals the one read from run.json.
        self._identity = json.loads(json.dumps(identity))
        self._checkpoints = folder / "checkpoint"

    def claim(self) -> bool:
        """Start a run in this folder, or find the same run there. Return whether that run is finished.

        Raises `InputError` if the folder holds another run or other files.
        """
        check_output(self.folder)
        path = self.folder / RUN_FILE
        if path.is_file():
            stored = read_json(path)
            other = stored.get("identity") if isinstance(stored, dict) else None
            if other != self._identity:
                raise InputError(f"'{self.folder}' holds another run: {self._difference(other)}. {ADVICE}")
            return isinstance(stored, dict) and bool(stored.get("finished"))
        self._write(finished=False)
        return False

    def _difference(self, other: object) -> str:
        if not isinstance(other, dict):
            return "its run.json says nothing"
        # Checksums come last: they are not readable for the user.
        names = sorted(self._identity.keys() | other.keys(), key=lambda name: ("checksum" in name, name))
        for name in names:
            if self._identity.get(name) != other.get(name):
                return f"'{name}' is {self._identity.get(name)!r:.80} here and {other.get(name)!r:.80} there"
        return "its settings differ"

    def _write(self, *, finished: bool, **more: Any) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / RUN_FILE, {"finished": finished, **more, "identity": self._identity})
        except OSError as error:
            reason = error.strerror or error
            raise CheckpointError(
                f"Can't write into '{self.folder}': {reason}. Choose another folder or make room."
            ) from error

    def save(self, progress: Progress, network: Network, optimizer: Optimizer) -> None:
        """Write the full training state. Raises `CheckpointError` if the disk is full."""
        tensors = {f"{_OPTIMIZER}{name}": value for name, value in optimizer.state().items()}
        tensors |= {f"{_NETWORK}{name}": value for name, value in network.state()}
        self._save("last.safetensors", tensors, progress)

    def save_best(self, progress: Progress, network: Network) -> None:
        """Write the trained tensors as the best checkpoint so far."""
        self._save(
            "best.safetensors", {f"{_NETWORK}{name}": value for name, value in network.state()}, progress
        )

    def _save(self, name: str, tensors: dict[str, NDArray[Any]], progress: Progress) -> None:
        text = json.dumps(progress.to_json()).encode()
        try:
            self._checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"Can't write into '{self.folder}': {error.strerror or error}.") from error
        save_weights(self._checkpoints / name, {**tensors, _PROGRESS: np.frombuffer(text, dtype=np.uint8)})

    def resume(self, network: Network, optimizer: Optimizer) -> Progress:
        """Load the last checkpoint, if it exists, and return its progress."""
        path = self._checkpoints / "last.safetensors"
        if not path.is_file():
            return Progress()
        tensors = open_safetensors(path)
        network.load_state(_under(_NETWORK, tensors))
        optimizer.load_state(_under(_OPTIMIZER, tensors))
        return Progress(**json.loads(tensors[_PROGRESS].tobytes()))

    def load_best(self, network: Network) -> None:
        """Load the best checkpoint. If there is none, the network keeps its latest values."""
        path = self._checkpoints / "best.safetensors"
        if path.is_file():
            network.load_state(_under(_NETWORK, open_safetensors(path)))

    def finish(self, **result: Any) -> None:
        """Mark the run as finished and delete its checkpoints."""
        self._write(finished=True, **result)
        shutil.rmtree(self._checkpoints, ignore_errors=True)

    def result(self) -> dict[str, Any]:
        """Return the contents of ``run.json``: for a finished run, its results."""
        stored = read_json(self.folder / RUN_FILE)
        return stored if isinstance(stored, dict) else {}


def _under(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
