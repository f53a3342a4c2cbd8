"""A checkpoint: a folder in the standard Hugging Face layout, opened for reading."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from munjang.checkpoints.catalogue import shortened
from munjang.checkpoints.files import open_regular, read_json
from munjang.checkpoints.weights import Weights, open_safetensors, open_shards
from munjang.errors import CheckpointError, UnsafeCheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

SAFETENSORS_FILES = ("model.safetensors", "model.safetensors.index.json")
PICKLE_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's folder: its configuration, tokenizer files and weights.

    ``name`` is the name that the user requested. ``prompts`` are the catalogue's prompts, used if the model's
    files define none. A pickle of weights is read only with ``allow_pickle``.
    """

    path: Path
    name: str
    allow_pickle: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)

    def has(self, filename: str) -> bool:
        """Return whether the folder contains this file.

        Raises ``CheckpointError`` if the path exists but is not a readable file: ignoring a ``modules.json``
        that is a FIFO or a broken link would load a different model.
        """
        path = self._locate(filename)
        if not os.path.lexists(path):  # os.path returns False where Path raises
            return False
        open_regular(path).close()
        return True

    def read_json(self, filename: str) -> dict[str, Any]:
        """Read a JSON object; raise ``CheckpointError`` if the file is missing or not a JSON object."""
        content = read_json(self._locate(filename))
        if not isinstance(content, dict):
            raise CheckpointError(
                f"'{self.path / filename}' should hold a JSON object, not a {type(content).__name__}."
            )
        return content

    def read_json_list(self, filename: str) -> list[Any]:
        """Read a JSON list (``modules.json`` is one); errors as in ``read_json``."""
        content = read_json(self._locate(filename))
        if not isinstance(content, list):
            raise CheckpointError(
                f"'{self.path / filename}' should hold a JSON list, not a {type(content).__name__}."
            )
        return content

    def config(self) -> dict[str, Any]:
        """Read ``config.json``."""
        return self.read_json("config.json")

    def sub(self, path: str) -> Checkpoint:
        """Return the checkpoint in a subfolder, such as a module of ``modules.json``; ``""`` is this one."""
        if path in ("", "."):
            return self
        return Checkpoint(self._locate(path), f"{self.name}/{path}", self.allow_pickle)

    def weights(self) -> Weights:
        """Open the weights: names as published, data read on access.

        Raises ``CheckpointError`` if there are no weights or a file is broken, ``UnsafeCheckpointError`` if
        they are a pickle and pickles are not allowed, ``MissingExtraError`` if reading them needs PyTorch.
        """
        single, index = (self.path / name for name in SAFETENSORS_FILES)
        if self.has(single.name):
            return open_safetensors(single)
        if self.has(index.name):
            return open_shards(index)
        return self._pickled_weights()

    def _pickled_weights(self) -> Weights:
        pickle = next((self.path / name for name in PICKLE_FILES if self.has(name)), None)
        if pickle is None:
            looked_for = ", ".join(SAFETENSORS_FILES + PICKLE_FILES)
            raise CheckpointError(f"'{self.path}' holds no weights: looked for {looked_for}.")
        if not self.allow_pickle:
            raise UnsafeCheckpointError(
                f"The weights of '{self.name}' are a pickle ('{pickle.name}'), a format that can carry code. "
                "If you trust where they come from, pass allow_pickle=True; a safetensors copy is better."
            )
        from munjang.checkpoints.pickled import open_pickle

        return open_pickle(pickle)

    def _locate(self, relative: str) -> Path:
        # Names come from JSON files of a download; none may point outside the folder (path traversal).
        parts = Path(relative)
        if parts.is_absolute() or ".." in parts.parts or "\0" in relative or len(relative) > 1000:
            name = shortened(relative)
            raise CheckpointError(f"'{self.path}' refers to '{name}', which is outside the checkpoint.")
        return self.path / parts
