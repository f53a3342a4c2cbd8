"""The files of a `sentence-transformers` model: what they say, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from munjang.checkpoints import Checkpoint, save_weights
from munjang.checkpoints.files import write_json
from munjang.errors import CheckpointError, InputError
from munjang.sentence.modules import Module, read_module
from munjang.sentence.pooling import POOLER, Pooling

__all__ = ["SentenceSettings", "module_weights", "read_settings", "write_settings"]

_TYPES = "sentence_transformers.models"  # the names that every version of the library reads


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceSettings:
    """Everything about a sentence encoder that is not its encoder.

    ``pooling`` is ``None`` where the checkpoint has no such files, so it has to be chosen.
    """

    pooling: Pooling | None = None
    modules: tuple[Module, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str | None = None
    truncate_dim: int | None = None
    max_seq_length: int | None = None
    do_lower_case: bool = False
    transformer_path: str = ""


def read_settings(checkpoint: Checkpoint) -> SentenceSettings:
    """Read a checkpoint's ``modules.json`` and what it leads to; a plain checkpoint gives the defaults.

    Raises `CheckpointError` for files that are broken, `UnsupportedModelError` for modules we don't have.
    """
    if not checkpoint.has("modules.json"):
        return SentenceSettings(prompts=dict(checkpoint.prompts))
    entries = sorted(_entries(checkpoint), key=lambda entry: entry[0])
    transformer_path = next((path for _, kind, path in entries if kind == "Transformer"), None)
    if transformer_path is None:
        raise CheckpointError(f"'{checkpoint.name}': modules.json names no Transformer module.")
    pooling = None
    modules = []
    for _, kind, path in entries:
        if kind == "Pooling":
            pooling = Pooling.from_config(checkpoint.sub(path).read_json("config.json"))
        elif kind != "Transformer":
            config = (
                checkpoint.sub(path).read_json("config.json") if checkpoint.has(f"{path}/config.json") else {}
            )
            modules.append(read_module(kind, path, config, json.dumps(config)))
    if pooling is None:
        raise CheckpointError(f"'{checkpoint.name}': modules.json names no Pooling module.")
    return SentenceSettings(
        pooling=pooling,
        modules=tuple(modules),
        transformer_path=transformer_path,
        **_length_settings(checkpoint.sub(transformer_path)),
        **_prompt_settings(checkpoint),
    )


def _entries(checkpoint: Checkpoint) -> list[tuple[int, str, str]]:
    """The modules in ``modules.json``: number, class name without its package, path."""
    try:
        return [
            (int(entry["idx"]), str(entry["type"]).rpartition(".")[2], str(entry["path"]))
            for entry in checkpoint.read_json_list("modules.json")
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"'{checkpoint.name}': modules.json must list modules with idx, type and path ({error!r})."
        ) from None


def _length_settings(transformer: Checkpoint) -> dict[str, Any]:
    names = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")
    for name in (*names, "sentence_xlm-roberta_config.json"):
        if transformer.has(name):
            config = transformer.read_json(name)
            return {
                "max_seq_length": config.get("max_seq_length"),
                "do_lower_case": bool(config.get("do_lower_case")),
            }
    return {}


def _prompt_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if checkpoint.has("config_sentence_transformers.json"):
        config = checkpoint.read_json("config_sentence_transformers.json")
    prompts = config.get("prompts") or dict(checkpoint.prompts)
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise CheckpointError(f"'{checkpoint.name}': 'prompts' must map names to texts, got {prompts!r}.")
    return {
        "prompts": prompts,
        "default_prompt_name": config.get("default_prompt_name"),
        "similarity_fn_name": config.get("similarity_fn_name"),
        "truncate_dim": config.get("truncate_dim"),
    }


def module_weights(checkpoint: Checkpoint, modules: tuple[Module, ...]) -> dict[str, NDArray[Any]]:
    """Read the tensors of the modules after pooling, named ``{module path}.{tensor}``."""
    found: dict[str, NDArray[Any]] = {}
    for module in modules:
        if module.kind in ("Dense", "LayerNorm"):
            weights = checkpoint.sub(module.prefix).weights()
            found |= {f"{module.prefix}.{name}": weights[name] for name in weights}
    return found


def write_settings(
    folder: Path, settings: SentenceSettings, width: int, tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write the files of a `sentence-transformers` model beside an encoder at ``folder``.

    Raises `InputError` for pooler output, which the format can't express.
    """
    if settings.pooling is None or settings.pooling.modes == (POOLER,):
        raise InputError(
            "Pooling by the pooler output can't be saved: the format knows no such pooling. Use another one."
        )
    steps: list[tuple[str, str]] = [("Transformer", ""), ("Pooling", "1_Pooling")]
    _write_json(folder / "1_Pooling/config.json", settings.pooling.to_config(width))
    for number, module in enumerate(settings.modules, start=2):
        path = f"{number}_{module.kind}"
        steps.append((module.kind, path))
        _write_module(folder / path, module, tensors)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{_TYPES}.{kind}"}
        for i, (kind, path) in enumerate(steps)
    ]
    write_json(folder / "modules.json", modules)
    lengths = {"max_seq_length": settings.max_seq_length, "do_lower_case": settings.do_lower_case}
    write_json(folder / "sentence_bert_config.json", lengths)
    prompts = {
        "prompts": dict(settings.prompts),
        "default_prompt_name": settings.default_prompt_name,
        "similarity_fn_name": settings.similarity_fn_name,
        "truncate_dim": settings.truncate_dim,
    }
    write_json(folder / "config_sentence_transformers.json", prompts)


def _write_module(folder: Path, module: Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    _write_json(folder / "config.json", json.loads(module.config))
    prefix = f"{module.prefix}."
    own = {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
    if own:
        save_weights(folder / "model.safetensors", own)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
