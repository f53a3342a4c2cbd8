"""The model head that a command needs, and the models in the cache: for messages about unavailable models."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from munjang.errors import MunjangError

if TYPE_CHECKING:
    from munjang.checkpoints import ModelInfo

_VECTORS = "sentence vectors"
_LANGUAGE = "munjang train language-model --data FILE --tokenizer FOLDER --output DIR"
_PAIRS = "munjang train reranker --data FILE --output DIR"
# command -> the head that its model needs, and the command that trains one
_NEEDS: Mapping[str, tuple[str, str]] = {
    "fill-mask": ("masked-lm", _LANGUAGE),
    "next-sentence": ("next-sentence-prediction", f"{_LANGUAGE} --next-sentences"),
    "classify": ("sequence-classification", "munjang train classification --data FILE --output DIR"),
    "tag": ("token-classification", "munjang train entities --data FILE --output DIR"),
    "relate": ("relation-extraction", "munjang train relations --data FILE --output DIR"),
    "answer": ("question-answering", "munjang train answers --data FILE --output DIR"),
    "generate": ("causal-lm", ""),
    "rerank": ("sequence-classification", _PAIRS),
}
_SAME = {
    "evaluate classification": "classify",
    "evaluate entities": "tag",
    "evaluate relations": "relate",
    "evaluate answers": "answer",
    "evaluate reranking": "rerank",
    "evaluate language-model": "fill-mask",
}


def model_hint(command: str, name: str | None) -> str:
    """Return a hint: the cached models that a command can use, and how to train one; empty if unknown.

    ``name`` is the unavailable model.
    """
    if command.partition(" ")[0] in ("models", ""):
        return ""
    head, training = _NEEDS.get(_SAME.get(command, command), (_VECTORS, ""))
    cached = _cached_models()
    listed = ", ".join(
        f"{model} ({', '.join(heads) or 'no trained head'})" for model, heads in cached.items()
    )
    parts = [_did_you_mean(name), f"Models in the cache: {listed or 'none'}."]
    suitable = [model for model, heads in cached.items() if head in heads]
    if command.startswith("train"):
        return " ".join(filter(None, parts))
    if suitable:
        parts.append(f"For `munjang {command}`: --model {suitable[0]}.")
    else:
        parts.append(f"None of them has what `munjang {command}` needs ({head}).")
        parts.append(f"`{training}` trains one; --model then takes its folder." if training else "")
    return " ".join(filter(None, parts))


def _did_you_mean(name: str | None) -> str:
    from munjang.checkpoints.catalogue import closest

    suggestion = None if name is None else closest(name)
    return f"Did you mean '{suggestion}'?" if suggestion else ""


def _cached_models() -> dict[str, list[str]]:
    """Return the models in the cache, each with its heads."""
    from munjang.checkpoints import list_models

    models: dict[str, list[str]] = {}
    with suppress(MunjangError):
        for info in list_models():
            if info.present:
                models[info.name] = _heads(info)
    return models


def _heads(info: ModelInfo) -> list[str]:
    from munjang.checkpoints.folder import Checkpoint
    from munjang.models.params import Params
    from munjang.models.program import heads_of
    from munjang.models.registry import architecture_of

    assert info.path is not None  # the model is in the cache
    checkpoint = Checkpoint(info.path, info.name)
    vectors = [_VECTORS] if checkpoint.has("modules.json") or info.aliases else []
    with suppress(MunjangError):
        raw = checkpoint.config()
        return [*vectors, *heads_of(architecture_of(raw), Params(checkpoint.weights()), raw)]
    return vectors
