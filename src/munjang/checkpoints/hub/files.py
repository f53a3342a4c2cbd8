"""The selection of the files that a model needs from a hub repository."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from munjang.checkpoints.folder import PICKLE_FILES, SAFETENSORS_FILES
from munjang.errors import CheckpointError, UnsafeCheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

VOCABULARY_FILES = {"tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"}
_TEXT_FILES = VOCABULARY_FILES | {
    "config.json", "generation_config.json", "modules.json", "config_sentence_transformers.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
}  # fmt: skip
# sentence_bert_config.json and its siblings for other architectures.
_SENTENCE_CONFIG = re.compile(r"sentence_\w+_config\.json")
_SAFETENSORS_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLE_SHARD = re.compile(r"pytorch_model-\d+-of-\d+\.bin")


def needed_files(
    repository: str, files: Collection[str], folders: Sequence[str], allow_pickle: bool
) -> list[str]:
    """Return the needed files of a repository: configs, tokenizer, weights; small files first, weights last.

    ``folders`` are the paths of its modules, ``""`` the root. Weights for other engines are not included.
    Raises ``CheckpointError`` if there are no weights, ``UnsafeCheckpointError`` if there is only a pickle.
    """
    inside = {folder: _names_in(folder, files) for folder in dict.fromkeys(("", *folders))}
    texts = [_join(folder, name) for folder, names in inside.items() for name in names if _is_text(name)]
    weights = [
        _join(folder, name) for folder, names in inside.items() for name in _weights(names, allow_pickle)
    ]
    if not weights:
        _refuse(
            repository, inside[""] if len(inside) == 1 else [n for names in inside.values() for n in names]
        )
    return texts + weights


def skips_pickle(files: Collection[str], chosen: Collection[str]) -> bool:
    """Return whether any folder's only weights are a pickle that was not chosen."""
    left = {file.rpartition("/")[0] for file in files if file.rpartition("/")[2] in PICKLE_FILES}
    taken = {file.rpartition("/")[0] for file in chosen if file.endswith((".safetensors", ".bin"))}
    return bool(left - taken)


def _names_in(folder: str, files: Collection[str]) -> list[str]:
    prefix = f"{folder}/" if folder else ""
    names = (file.removeprefix(prefix) for file in sorted(files) if file.startswith(prefix))
    return [name for name in names if "/" not in name]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_text(name: str) -> bool:
    return name in _TEXT_FILES or _SENTENCE_CONFIG.fullmatch(name) is not None


def _weights(names: Collection[str], allow_pickle: bool) -> list[str]:
    """Return one folder's weight files, with the same priority as ``Checkpoint.weights``."""
    kinds = [(SAFETENSORS_FILES, _SAFETENSORS_SHARD)]
    kinds += [(PICKLE_FILES, _PICKLE_SHARD)] if allow_pickle else []
    for (single, index), shard in kinds:
        if single in names:
            return [single]
        if index in names:
            return [index, *(name for name in names if shard.fullmatch(name))]
    return []


def _refuse(repository: str, names: Collection[str]) -> None:
    if any(name in names for name in PICKLE_FILES):
        raise UnsafeCheckpointError(
            f"The hub repository '{repository}' holds its weights only as a pickle, a format that can carry"
            " code. If you trust it, pass allow_pickle=True."
        )
    looked_for = ", ".join(SAFETENSORS_FILES + PICKLE_FILES)
    raise CheckpointError(f"The hub repository '{repository}' holds no weights: looked for {looked_for}.")
