"""Munjang: Korean and English sentences, understood on an ordinary CPU.

The public names are loaded when they are first used: ``import munjang`` alone loads no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from munjang import errors, evaluation, training, util
    from munjang.chat.chatbot import ChatBot
    from munjang.errors import MunjangError
    from munjang.runtime.arrays import ModelOutput
    from munjang.runtime.model import Model
    from munjang.search.index import Index
    from munjang.sentence.cross_encoder import CrossEncoder
    from munjang.sentence.notices import AssumptionWarning, TruncationWarning
    from munjang.sentence.transformer import SentenceTransformer
    from munjang.tasks.explain.explain import explain
    from munjang.tasks.pipelines import pipeline
    from munjang.tokenization import Tokenizer

__all__ = [
    "AssumptionWarning",
    "ChatBot",
    "CrossEncoder",
    "Index",
    "Model",
    "ModelOutput",
    "MunjangError",
    "SentenceTransformer",
    "Tokenizer",
    "TruncationWarning",
    "__version__",
    "errors",
    "evaluation",
    "explain",
    "pipeline",
    "training",
    "util",
]

__version__ = "0.1.0"

_HOMES = {
    "AssumptionWarning": "munjang.sentence.notices",
    "ChatBot": "munjang.chat.chatbot",
    "CrossEncoder": "munjang.sentence.cross_encoder",
    "Index": "munjang.search.index",
    "Model": "munjang.runtime.model",
    "ModelOutput": "munjang.runtime.arrays",
    "MunjangError": "munjang.errors",
    "SentenceTransformer": "munjang.sentence.transformer",
    "Tokenizer": "munjang.tokenization",
    "TruncationWarning": "munjang.sentence.notices",
    "explain": "munjang.tasks.explain.explain",
    "pipeline": "munjang.tasks.pipelines",
}
_MODULES = ("errors", "evaluation", "training", "util")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"munjang.{name}")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'munjang' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
