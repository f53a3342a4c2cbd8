"""The settings of a sentence encoder beside its model, and their files, which are sentence-transformers'."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from numpy.typing import NDArray

from munjang.checkpoints import Checkpoint, OpenOptions, save_weights
from munjang.checkpoints.files import write_json
from munjang.errors import CheckpointError, InputError, InputTypeError, UnsupportedModelError
from munjang.models.config import shown
from munjang.sentence.program import POOLER, Module, Pooling, read_module
from munjang.sentence.similarity import SimilarityFunction
from munjang.validation import check_device, check_flags, checked_count

DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # names of the prompt for documents, by preference
_TYPES = "sentence_transformers.models"  # the names that every version of the library reads
_LENGTH_FILES = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# The output of a transformer for each task: its name in the model, and in sentence-transformers.
_TASKS = {
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
    "sequence-classification": ("logits", "scores"),
}
_OBEYED = ("max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name")
_WITHOUT_EFFECT = ("unpad_inputs",)  # how the library batches
# Arguments for opening a model, its tokeniser and its config: these change no result here.
_ARGUMENTS = (
    "model_args",
    "model_kwargs",
    "tokenizer_args",
    "processor_kwargs",
    "config_args",
    "config_kwargs",
)
_HARMLESS_ARGUMENTS = {"trust_remote_code", "torch_dtype", "dtype", "attn_implementation", "use_safetensors"}


class OpenEncoderArguments(TypedDict, total=False):
    """Arguments of opening an encoder, with the names of `sentence-transformers`; see `OpenOptions`."""

    cache_folder: str | os.PathLike[str] | None
    revision: str | None
    token: str | None
    local_files_only: bool | None
    device: str | None
    backend: str
    threads: int | None
    streams: int | None
    dtype: str
    allow_pickle: bool


def open_options(arguments: OpenEncoderArguments) -> OpenOptions:
    """Return the arguments as options; `InputError` for a device that is not the CPU or a value of no use."""
    named = dict(arguments)
    check_device(named.pop("device", None))
    options = OpenOptions.pop_from(named)
    check_flags(
        allow_pickle=options.allow_pickle,
        local_files_only=False if options.offline is None else options.offline,
    )
    return options


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceSettings:
    """The settings of a sentence encoder beside its model.

    ``pooling`` is ``None`` if the checkpoint has no such files, so that it has to be chosen.
    Raises `InputError` or `InputTypeError` for values that can't be used.
    """

    pooling: Pooling | None = None
    modules: tuple[Module, ...] = ()
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str | None = None
    truncate_dim: int | None = None
    max_seq_length: int | None = None
    do_lower_case: bool = False
    transformer_path: str = ""

    def __post_init__(self) -> None:
        check_prompts(self.prompts)
        if self.default_prompt_name is not None:
            self.prompt(self.default_prompt_name)
        if self.similarity_fn_name is not None:
            SimilarityFunction(self.similarity_fn_name)
        for name in ("truncate_dim", "max_seq_length"):
            if (value := getattr(self, name)) is not None:
                checked_count(name, value)

    def prompt_text(self, name: str | None = None, text: str | None = None) -> str:
        """Return ``text``, or else the prompt with this name, or else the default prompt."""
        if text is not None:
            if not isinstance(text, str):
                raise InputTypeError(f"prompt must be a text, got {text!r}.")
            if name is not None:
                raise InputError(f"Pass prompt or prompt_name, not both: got {text!r} and {name!r}.")
            return text
        name = self.default_prompt_name if name is None else name
        return "" if name is None else self.prompt(name)

    def first_prompt(self, *names: str) -> str:
        """Return the first prompt that exists of these names, or the empty text."""
        return next((self.prompts[name] for name in names if name in self.prompts), "")

    def prompt(self, name: str) -> str:
        """Return a prompt's text; `InputError` names the prompts that exist."""
        if not isinstance(name, str):
            raise InputTypeError(f"The name of a prompt must be a text, got {name!r}.")
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise InputError(f"The model has no prompt named {name!r}; it has {known}.")
        return self.prompts[name]


def check_prompts(prompts: Mapping[Any, Any]) -> None:
    """Raise `InputTypeError` unless names are mapped to texts."""
    if not isinstance(prompts, Mapping):
        raise InputTypeError(f"prompts must map names to texts, got a {type(prompts).__name__}.")
    for name, text in prompts.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise InputTypeError(f"prompts must map names to texts, got {name!r}: {text!r}.")


class ModuleEntry(NamedTuple):
    """An entry of ``modules.json``: the class name without its package, and the folder."""

    kind: str
    path: str


def read_settings(checkpoint: Checkpoint) -> SentenceSettings:
    """Read a checkpoint's ``modules.json`` and the files of its modules; return the defaults without it.

    Raises `CheckpointError` for broken files, `UnsupportedModelError` for unsupported modules.
    """
    try:
        if not checkpoint.has("modules.json"):
            return SentenceSettings(prompts=dict(checkpoint.prompts))
        return _read_settings(checkpoint)
    except (InputError, InputTypeError) as error:
        raise CheckpointError(f"'{checkpoint.name}': its files can't be used. {error}") from None


def _read_settings(checkpoint: Checkpoint) -> SentenceSettings:
    check_model_type(checkpoint, "SentenceTransformer")
    entries = read_entries(checkpoint)
    kinds = tuple(entry.kind for entry in entries)
    if kinds[:2] != ("Transformer", "Pooling"):
        raise UnsupportedModelError(
            f"'{checkpoint.name}': modules.json lists {', '.join(kinds)[:200] or 'nothing'}; "
            "a sentence encoder begins with Transformer, Pooling."
        )
    transformer, pooling, *rest = entries
    return SentenceSettings(
        pooling=Pooling.from_config(checkpoint.sub(pooling.path).read_json("config.json")),
        modules=tuple(_read_module(checkpoint, entry) for entry in rest),
        transformer_path=transformer.path,
        **read_transformer_config(checkpoint.sub(transformer.path), "feature-extraction"),
        **_use_settings(checkpoint),
    )


def read_entries(checkpoint: Checkpoint) -> list[ModuleEntry]:
    """Read ``modules.json``.

    Raises `CheckpointError` if it is broken, `UnsupportedModelError` for a module that brings its own code.
    """
    entries = []
    for entry in checkpoint.read_json_list("modules.json"):
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(key), str) for key in ("type", "path")
        ):
            raise CheckpointError(
                f"'{checkpoint.name}': modules.json must list modules with a type and a path, "
                f"has {shown(entry)}."
            )
        package, _, kind = entry["type"].rpartition(".")
        if package.partition(".")[0] != "sentence_transformers":
            raise UnsupportedModelError(
                f"'{checkpoint.name}': the module {shown(entry['type'])} is code of the model's own, "
                "which is never run here."
            )
        entries.append(ModuleEntry(kind, entry["path"]))
    return entries


def _read_module(checkpoint: Checkpoint, entry: ModuleEntry) -> Module:
    folder = checkpoint.sub(entry.path)
    # Modules without settings had no file in older versions.
    config = folder.read_json("config.json") if folder.has("config.json") else {}
    return read_module(entry.kind, entry.path, config)


def check_model_type(checkpoint: Checkpoint, wanted: str) -> None:
    """Raise `UnsupportedModelError` if the files name another class of model than ``wanted``."""
    if not checkpoint.has("config_sentence_transformers.json"):
        return
    kind = checkpoint.read_json("config_sentence_transformers.json").get("model_type")
    if kind not in (None, wanted):
        advice = f"; open it with munjang.{kind}" if kind in ("SentenceTransformer", "CrossEncoder") else ""
        raise UnsupportedModelError(
            f"'{checkpoint.name}': config_sentence_transformers.json has the model_type {kind!r}, "
            f"not {wanted!r}{advice}."
        )


def read_transformer_config(transformer: Checkpoint, task: str) -> dict[str, Any]:
    """Read ``max_seq_length`` and ``do_lower_case`` from a transformer's ``sentence_bert_config.json``.

    Raises `UnsupportedModelError` for a model of another task and for keys that would change results in ways
    that are not implemented here.
    """
    name = next((name for name in _LENGTH_FILES if transformer.has(name)), None)
    config = {} if name is None else transformer.read_json(name)
    for key, value in config.items():
        _check_key(f"'{transformer.name}': {name}: '{key}' = {shown(value)}", key, value, task)
    return {
        "max_seq_length": config.get("max_seq_length"),
        "do_lower_case": config.get("do_lower_case") or False,
    }


def _check_key(what: str, key: str, value: Any, task: str) -> None:
    if key in _WITHOUT_EFFECT or value is None or value == {}:
        return
    output, library_name = _TASKS[task]
    wanted = {
        "transformer_task": task,
        "modality_config": {"text": {"method": "forward", "method_output_name": output}},
        "module_output_name": library_name,
    }
    if key == "do_lower_case" and not isinstance(value, bool):
        raise CheckpointError(f"{what} must be true or false.")
    if key in _ARGUMENTS and isinstance(value, dict) and value.keys() <= _HARMLESS_ARGUMENTS:
        return
    if key not in _OBEYED or value != wanted.get(key, value):
        raise UnsupportedModelError(f"{what} is not supported for {task}.")


def _use_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if checkpoint.has("config_sentence_transformers.json"):
        config = checkpoint.read_json("config_sentence_transformers.json")
    prompts = config.get("prompts") or dict(checkpoint.prompts)
    if isinstance(prompts, dict):
        prompts = {name: "" if text is None else text for name, text in prompts.items()}
    names = ("default_prompt_name", "similarity_fn_name", "truncate_dim")
    return {"prompts": prompts, **{name: config.get(name) for name in names}}


def module_weights(checkpoint: Checkpoint, modules: Sequence[Module]) -> dict[str, NDArray[Any]]:
    """Read the tensors of the modules after pooling, named ``{module path}.{tensor}``."""
    tensors: dict[str, NDArray[Any]] = {}
    for module in modules:
        if module.kind in ("Dense", "LayerNorm"):
            weights = checkpoint.sub(module.prefix).weights()
            own = {name: weights[name] for name in weights}
            _check_dense(module, own)
            tensors |= {f"{module.prefix}.{name}": value for name, value in own.items()}
    return tensors


def _check_dense(module: Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raise `CheckpointError` unless a Dense layer's weights match its config."""
    if module.kind != "Dense" or "linear.weight" not in tensors:
        return  # a missing weight is found, by its name, when the model is checked
    config = json.loads(module.config)
    shape, wanted = tensors["linear.weight"].shape, (config["out_features"], config["in_features"])
    if shape != wanted:
        raise CheckpointError(
            f"'{module.prefix}': the weights have the shape {shape}, config.json says {wanted}."
        )
    if config.get("bias", True) is not ("linear.bias" in tensors):
        bias = "have a bias" if "linear.bias" in tensors else "have no bias"
        raise CheckpointError(
            f"'{module.prefix}': the weights {bias}, config.json says 'bias' = {config.get('bias', True)!r}."
        )


def write_settings(
    folder: Path, settings: SentenceSettings, width: int, tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write the files of a `sentence-transformers` model beside an encoder at ``folder``.

    Raises `InputError` for pooler output, which the format can't express.
    """
    if settings.pooling is None or settings.pooling.modes == (POOLER,):
        raise InputError(
            "Pooling by the pooler output can't be saved: the format has no such pooling. Use another."
        )
    _write_json(folder / "1_Pooling/config.json", settings.pooling.to_config(width))
    for number, module in enumerate(settings.modules, start=2):
        _write_module(folder / f"{number}_{module.kind}", module, tensors)
    lengths = {"max_seq_length": settings.max_seq_length, "do_lower_case": settings.do_lower_case}
    _write_json(folder / "sentence_bert_config.json", lengths)
    _write_json(folder / "config_sentence_transformers.json", _use_config(settings))
    write_json(folder / "modules.json", list(_module_list(settings)))


def _use_config(settings: SentenceSettings) -> dict[str, Any]:
    config = {
        "model_type": "SentenceTransformer",
        "prompts": dict(settings.prompts),
        "default_prompt_name": settings.default_prompt_name,
        "similarity_fn_name": settings.similarity_fn_name or "cosine",
    }
    return config if settings.truncate_dim is None else {**config, "truncate_dim": settings.truncate_dim}


def _module_list(settings: SentenceSettings) -> Iterator[dict[str, Any]]:
    kinds = ("Transformer", "Pooling", *(module.kind for module in settings.modules))
    for i, kind in enumerate(kinds):
        yield {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"{_TYPES}.{kind}"}


def _write_module(folder: Path, module: Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    _write_json(folder / "config.json", json.loads(module.config))
    prefix = f"{module.prefix}."
    own = {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
    if own:
        save_weights(folder / "model.safetensors", own)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
