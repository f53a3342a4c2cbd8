"""The files of a run that is not finished: from them the same command goes on, exactly.

``run.json`` says what the run is. ``checkpoint/last.safetensors`` is everything at some update, in one file,
so that it is whole or not there; ``checkpoint/best.safetensors`` is what learned, at the best evaluation.
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

__all__ = ["Progress", "RunFolder"]

_PROGRESS = "progress"
_OPTIMIZER = "optimizer/"
_NETWORK = "network/"


@dataclass(slots=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    without_better: int = 0
    seconds: float = 0.0
    tokens: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)  # measured before the first update

    def to_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {name: getattr(self, name) for name in self.__slots__}


class RunFolder:
    """The output folder while a run is going on."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        # As it comes back from a file: tuples are lists there.
        self._identity = json.loads(json.dumps(identity))
        self._checkpoints = folder / "checkpoint"

    def claim(self) -> bool:
        """Begin a run in this folder or find the one that was begun; say whether it is finished.

        Raises `InputError` if another run, or something else, is in the folder.
        """
        check_output(self.folder)
        path = self.folder / RUN_FILE
        if path.is_file():
            found = read_json(path)
            other = found.get("identity") if isinstance(found, dict) else None
            if other != self._identity:
                raise InputError(f"'{self.folder}' holds another run: {self._difference(other)}. {ADVICE}")
            return isinstance(found, dict) and bool(found.get("finished"))
        self._write(finished=False)
        return False

    def _difference(self, other: object) -> str:
        if not isinstance(other, dict):
            return "its run.json says nothing"
        # A checksum says nothing to a person: it comes last.
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
        """Write everything that the next update needs; `CheckpointError` if there is no room."""
        tensors = {f"{_OPTIMIZER}{name}": value for name, value in optimizer.state().items()}
        tensors |= {f"{_NETWORK}{name}": value for name, value in network.state()}
        self._save("last.safetensors", tensors, progress)

    def save_best(self, progress: Progress, network: Network) -> None:
        """Write what learned, as the best so far."""
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
        """Take up the last checkpoint, if there is one."""
        path = self._checkpoints / "last.safetensors"
        if not path.is_file():
            return Progress()
        tensors = open_safetensors(path)
        network.load_state(_under(_NETWORK, tensors))
        optimizer.load_state(_under(_OPTIMIZER, tensors))
        return Progress(**json.loads(tensors[_PROGRESS].tobytes()))

    def load_best(self, network: Network) -> None:
        """Take the best that was saved; what was learned last, if nothing was."""
        path = self._checkpoints / "best.safetensors"
        if path.is_file():
            network.load_state(_under(_NETWORK, open_safetensors(path)))

    def finish(self, **result: Any) -> None:
        """Mark the run as finished; its checkpoints are needed no more."""
        self._write(finished=True, **result)
        shutil.rmtree(self._checkpoints, ignore_errors=True)

    def result(self) -> dict[str, Any]:
        """What a finished run said of itself."""
        found = read_json(self.folder / RUN_FILE)
        return found if isinstance(found, dict) else {}


def _under(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
