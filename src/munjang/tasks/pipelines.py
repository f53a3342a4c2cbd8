"""`munjang.pipeline`: a task by name."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Unpack

from munjang.checkpoints import OpenArguments, OpenOptions
from munjang.errors import InputError
from munjang.runtime.model import Model
from munjang.tasks.loading import Loaded, ModelOptions
from munjang.tokenization import Tokenizer
from munjang.validation import takes_keywords

# task -> module:class; a module is imported when its task is first used
TASKS = {
    "feature-extraction": "features:FeatureExtraction",
    "fill-mask": "fill_mask.fill_mask:FillMask",
    "next-sentence-prediction": "next_sentence:NextSentencePrediction",
    "text-classification": "text_classification:TextClassification",
    "zero-shot-classification": "zero_shot:ZeroShotClassification",
    "token-classification": "token_classification:TokenClassification",
    "relation-extraction": "relation_extraction:RelationExtraction",
    "question-answering": "question_answering:QuestionAnswering",
    "text-generation": "generation.text_generation:TextGeneration",
}
_OTHER_NAMES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


@takes_keywords(OpenArguments, OpenOptions)
def pipeline(
    task: str,
    model: str | os.PathLike[str] | Model | Loaded | None = None,
    tokenizer: str | os.PathLike[str] | Tokenizer | None = None,
    **options: Unpack[OpenArguments],
) -> Any:
    """Open a model for a task; the result is an object of the task's class, which is called with texts.

    ``model`` is a name, or an open `Model` with the right head, which needs its ``tokenizer`` too. Otherwise
    the tokenizer is the model's own, unless one is named. The other options are those of
    `Model.from_pretrained`.

    Raises `InputError` for an unknown task and without a model (there is no default model), and what
    `Model.from_pretrained` raises.
    """
    known = _OTHER_NAMES.get(task, task)
    if known not in TASKS:
        raise InputError(f"Unknown task '{task}'; there are {', '.join(TASKS)}.")
    if model is None:
        raise InputError(f"pipeline({task!r}) needs a model: name one with model=...")
    module, _, name = TASKS[known].partition(":")
    chosen = ModelOptions(tokenizer=tokenizer, **options)
    return getattr(import_module(f"munjang.tasks.{module}"), name)(model, options=chosen)
