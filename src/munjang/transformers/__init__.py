"""The names that lessons import from `transformers`, over what this package computes.

``from transformers import BertForMaskedLM, BertTokenizer`` becomes ``from munjang.transformers import ...``,
and the rest of a lesson is unchanged. All tokenizer classes are one class, because a tokenizer's files define
its behaviour. The class of a model names the head that is opened: there is a class for each architecture and
each of its heads; the ``Auto`` classes are for any architecture. ``docs/migration.md`` lists the differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from munjang.models.registry import ARCHITECTURES
from munjang.transformers.models import AUTO_HEADS, AutoConfig, PreTrainedModel, model_class
from munjang.transformers.pipelines import (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    QuestionAnsweringPipeline,
    TextClassificationPipeline,
    TextGenerationPipeline,
    TokenClassificationPipeline,
    ZeroShotClassificationPipeline,
    pipeline,
    set_seed,
)
from munjang.transformers.tokenizers import AutoTokenizer, BatchEncoding

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def _classes() -> dict[str, Any]:
    """Return the classes of models and tokenizers by name; ``TF`` classes are for lessons with TensorFlow."""
    models = [model_class(head) for head in AUTO_HEADS]
    tokenizers = ["PreTrainedTokenizerFast"]
    for family, architecture in ARCHITECTURES.items():
        heads = [head for head in AUTO_HEADS if head is None or head in architecture.heads]
        models += [model_class(head, family) for head in heads]
        tokenizers += [f"{architecture.class_prefix}Tokenizer{end}" for end in ("", "Fast")]
    named = {model.__name__: model for model in models}
    tensorflow = {
        f"TF{name}": model
        for name, model in named.items()
        if name == "AutoModel" or name.startswith(("Bert", "GPT2LM"))
    }
    return {**named, **tensorflow, **dict.fromkeys(tokenizers, AutoTokenizer)}


_CLASSES = _classes()
globals().update(_CLASSES)
__all__ = [
    *_CLASSES,
    "AutoConfig",
    "AutoTokenizer",
    "BatchEncoding",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "PreTrainedModel",
    "QuestionAnsweringPipeline",
    "TextClassificationPipeline",
    "TextGenerationPipeline",
    "TokenClassificationPipeline",
    "ZeroShotClassificationPipeline",
    "pipeline",
    "set_seed",
]
