"""The paths of a tokeniser's files, and its small JSON files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from munjang.tokenization.config_keys import checked_config, checked_special_tokens

if TYPE_CHECKING:
    from munjang.checkpoints import Checkpoint

__all__ = ["Sources", "read_sources", "tokenizer_folder"]


class Sources(NamedTuple):
    """The checkpoint, and its ``tokenizer_config.json``, ``special_tokens_map.json`` and ``config.json``."""

    files: Checkpoint
    config: dict[str, Any]
    special_tokens_map: dict[str, Any]
    model_config: dict[str, Any]

    @property
    def token_sources(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The dicts that define special tokens; the second takes precedence."""
        return self.config, self.special_tokens_map


def read_sources(files: Checkpoint) -> Sources:
    """Read the three files; a missing file counts as empty.

    Raises:
        CheckpointError: a file is broken, or a key has a value that `config_keys` refuses.

    """

    def read(filename: str) -> dict[str, Any]:
        return files.read_json(filename) if files.has(filename) else {}

    config = checked_config(
        files.path / "tokenizer_config.json",
        read("tokenizer_config.json"),
        vocabulary_only=not files.has("tokenizer.json"),
    )
    # A config with added_tokens_decoder is complete; a map in the same folder is for older readers.
    special = {} if "added_tokens_decoder" in config else read("special_tokens_map.json")
    special = checked_special_tokens(files.path / "special_tokens_map.json", special)
    return Sources(files, config, special, read("config.json"))


def tokenizer_folder(name: object) -> Path | None:
    """Return the folder of this name if it contains a tokeniser's vocabulary, else None."""
    if not isinstance(name, (str, os.PathLike)):
        return None
    # os.path, because Path raises for unknown users and for invalid file names.
    folder = os.path.expanduser(os.fspath(name))  # noqa: PTH111
    found = any(os.path.isfile(os.path.join(folder, file)) for file in _VOCABULARIES)  # noqa: PTH113, PTH118
    return Path(folder) if found else None


_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
