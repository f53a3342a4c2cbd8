"""`pipeline` and the pipeline classes: `munjang.tasks` with the constructors of `transformers`."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np

from munjang.checkpoints import FetchOptions, OpenOptions
from munjang.errors import InputError
from munjang.models.registry import (
    CAUSAL_LM,
)
from munjang.runtime.tensors import installed_torch
from munjang.tasks.features import FeatureExtraction
from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.loading import Loaded, ModelOptions, load, text_list
from munjang.tasks.question_answering import QuestionAnswering
from munjang.tasks.text_classification import TextClassification
from munjang.tasks.token_classification import TokenClassification
from munjang.tasks.zero_shot import ZeroShotClassification
from munjang.tokenization import Tokenizer
from munjang.transformers.models import GenerationModel, PreTrainedModel, model_class
from munjang.transformers.tokenizers import AutoTokenizer
from munjang.validation import check_device, checked_count

ModelLike = str | os.PathLike[str] | PreTrainedModel
TokenizerLike = str | os.PathLike[str] | Tokenizer | None


def set_seed(seed: int) -> None:
    """Seed the generators that sampling draws from: torch's where it is installed, numpy's otherwise.

    Raises `InputError` or `InputTypeError` unless the seed is a whole number from 0 to 2**32 - 1, as numpy's.
    """
    seed = checked_count("seed", seed, 0)
    if seed >= 2**32:
        raise InputError("seed must be below 2**32, as numpy's generator needs.")
    random.seed(seed)
    np.random.seed(seed)
    if (torch := installed_torch()) is not None:
        torch.manual_seed(seed)


class _Pipeline:
    """A task with the constructor of `transformers`; options of the call are its defaults."""

    head: ClassVar[Any]  # of the task

    def __init__(
        self,
        model: ModelLike,
        tokenizer: TokenizerLike = None,
        *,
        framework: str | None = None,  # noqa: ARG002 - there is one
        device: object = None,
        **options: Any,
    ) -> None:
        check_device(None if device == -1 else device)
        opened = ModelOptions(tokenizer=tokenizer, **asdict(OpenOptions.pop_from(options)))
        self._defaults: Mapping[str, Any] = options
        super().__init__(_loaded(model, self.head, opened))  # type: ignore[call-arg] # the task's

    def __call__(self, *texts: Any, **options: Any) -> Any:
        """Run the task; see its class in `munjang.tasks`."""
        return super().__call__(*texts, **{**self._defaults, **options})  # type: ignore[misc] # the task's


def _loaded(model: ModelLike, head: str | None, options: ModelOptions) -> Loaded:
    return load(model.model if isinstance(model, PreTrainedModel) else model, head, options)


class FillMaskPipeline(_Pipeline, FillMask):
    """Fill-mask; see `munjang.tasks.fill_mask.fill_mask.FillMask`."""


class FeatureExtractionPipeline(_Pipeline, FeatureExtraction):
    """Vectors of tokens; see `munjang.tasks.features.FeatureExtraction`."""


class ZeroShotClassificationPipeline(_Pipeline, ZeroShotClassification):
    """Labels that the model was not trained on; see `munjang.tasks.zero_shot.ZeroShotClassification`."""


class TextClassificationPipeline(_Pipeline, TextClassification):
    """Labels of texts; see `munjang.tasks.text_classification.TextClassification`.

    Without ``top_k`` the result is one label for each text of a list, and for a pair
    ``{"text": a, "text_pair": b}``, as in `transformers`.
    """

    def __call__(self, *texts: Any, **options: Any) -> Any:
        """Return the labels of a text, or of each of a list."""
        results = super().__call__(*texts, **options)
        if "top_k" in {**self._defaults, **options}:
            return results
        if isinstance(texts[0], Mapping):
            return results[0]
        return [best for [best] in results] if isinstance(texts[0], list) else results


class TokenClassificationPipeline(_Pipeline, TokenClassification):
    """Tags of tokens; see `munjang.tasks.token_classification.TokenClassification`."""

    def __call__(self, *texts: Any, **options: Any) -> Any:
        """Return the tags of a text's tokens, or its entities with another ``aggregation_strategy``."""
        return super().__call__(*texts, **{"aggregation_strategy": "none", **self._defaults, **options})


class QuestionAnsweringPipeline(_Pipeline, QuestionAnswering):
    """Answers from a context; see `munjang.tasks.question_answering.QuestionAnswering`."""

    def __call__(self, *texts: Any, **options: Any) -> Any:
        """Return the answer; question and context may come in a dictionary."""
        if len(texts) == 1 and isinstance(texts[0], Mapping):
            return super().__call__(**texts[0], **options)
        return super().__call__(*texts, **options)


_AutoModel = model_class(CAUSAL_LM)


class TextGenerationPipeline:
    """Generates text with `GPT2LMHeadModel.generate`; it samples by default."""

    def __init__(
        self,
        model: ModelLike,
        tokenizer: TokenizerLike = None,
        *,
        framework: str | None = None,  # noqa: ARG002 - there is one
        device: object = None,
        **options: Any,
    ) -> None:
        check_device(None if device == -1 else device)
        if isinstance(model, PreTrainedModel) and tokenizer is None:
            raise InputError("An open model needs its tokenizer as well: pass tokenizer=...")
        opening = asdict(FetchOptions.pop_from(options))
        named = model if tokenizer is None else tokenizer
        self.tokenizer = (
            named if isinstance(named, Tokenizer) else AutoTokenizer.from_pretrained(named, **opening)  # type: ignore[arg-type]
        )
        self.model: GenerationModel = (
            model if isinstance(model, PreTrainedModel) else _AutoModel.from_pretrained(model, **opening)  # type: ignore[assignment]
        )
        if not isinstance(self.model, GenerationModel):
            raise InputError(
                f"{type(model).__name__} can't generate text; open it with AutoModelForCausalLM."
            )
        self._defaults = options

    def __call__(
        self,
        text_inputs: str | list[str],
        *,
        return_full_text: bool = True,
        truncation: bool | None = None,
        prefix: str = "",
        **settings: Any,
    ) -> Any:
        """Return a list of ``{"generated_text": ...}`` for a prompt, a list of such lists for several.

        Settings are those of `generate`; by default the pipeline samples with a temperature of 0.7 and
        generates at most 256 tokens.
        """
        chosen = {**self._defaults, **settings}
        single = isinstance(text_inputs, str)
        texts = text_list("text_inputs", [text_inputs] if single else text_inputs)
        results = [self._written(prefix, text, return_full_text, truncation, chosen) for text in texts]
        return results[0] if single else results

    def _written(
        self, prefix: str, prompt: str, full: bool, truncation: bool | None, settings: dict[str, Any]
    ) -> list[dict[str, str]]:
        longest = settings.get("max_length") if truncation else None
        ids = self.tokenizer.encode(prefix + prompt, truncation=bool(truncation), max_length=longest)
        rows = self.model.generate([ids] if ids else None, **self.model.pipeline_settings(settings))
        start = len(ids) or 1
        texts = [self.tokenizer.decode(row[start:], skip_special_tokens=True) for row in rows.tolist()]
        return [{"generated_text": prompt + text if full else text} for text in texts]


_TASKS: Mapping[str, Any] = {
    "feature-extraction": FeatureExtractionPipeline,
    "fill-mask": FillMaskPipeline,
    "text-classification": TextClassificationPipeline,
    "sentiment-analysis": TextClassificationPipeline,
    "zero-shot-classification": ZeroShotClassificationPipeline,
    "token-classification": TokenClassificationPipeline,
    "ner": TokenClassificationPipeline,
    "question-answering": QuestionAnsweringPipeline,
    "text-generation": TextGenerationPipeline,
}


def pipeline(
    task: str, model: ModelLike | None = None, tokenizer: TokenizerLike = None, **options: Any
) -> Any:
    """Open a model for a task; model and tokenizer may be names or opened, and an opened model needs both.

    Further options are the defaults of the task's call. Raises `InputError` for an unknown task and without a
    model: there is no default model.
    """
    if task not in _TASKS:
        raise InputError(f"Unknown task {task!r}; there are {', '.join(_TASKS)}.")
    if model is None:
        raise InputError(f"pipeline({task!r}) needs a model: name one with model=...")
    return _TASKS[task](model, tokenizer, **options)
