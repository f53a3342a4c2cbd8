"""Munjang: Korean and English sentences, understood on an ordinary CPU.

The public names are loaded when they are first used: ``import munjang`` alone loads no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from munjang.lazy import lazy_names

if TYPE_CHECKING:
    from munjang import (
        data as data,
    )
    from munjang import (
        errors as errors,
    )
    from munjang import (
        evaluation as evaluation,
    )
    from munjang import (
        training as training,
    )
    from munjang import (
        util as util,
    )
    from munjang.chat.chatbot import ChatBot as ChatBot
    from munjang.errors import MunjangError as MunjangError
    from munjang.runtime.model import Model as Model
    from munjang.runtime.model import ModelOutput as ModelOutput
    from munjang.runtime.notices import (
        AssumptionWarning as AssumptionWarning,
    )
    from munjang.runtime.notices import (
        TruncationWarning as TruncationWarning,
    )
    from munjang.search.index import Index as Index
    from munjang.sentence.cross_encoder import CrossEncoder as CrossEncoder
    from munjang.sentence.transformer import SentenceTransformer as SentenceTransformer
    from munjang.tasks.explain.explain import explain as explain
    from munjang.tasks.pipelines import pipeline as pipeline
    from munjang.tokenization import Tokenizer as Tokenizer

__version__ = "0.1.0"
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "munjang.chat.chatbot": ("ChatBot",),
        "munjang.errors": ("MunjangError",),
        "munjang.runtime.model": ("Model", "ModelOutput"),
        "munjang.search.index": ("Index",),
        "munjang.sentence.cross_encoder": ("CrossEncoder",),
        "munjang.runtime.notices": ("AssumptionWarning", "TruncationWarning"),
        "munjang.sentence.transformer": ("SentenceTransformer",),
        "munjang.tasks.explain.explain": ("explain",),
        "munjang.tasks.pipelines": ("pipeline",),
        "munjang.tokenization": ("Tokenizer",),
    },
    modules=("data", "errors", "evaluation", "training", "util"),
    own=("__version__",),
)
__all__ = [*__dir__()]
