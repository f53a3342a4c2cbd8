"""Opening a model and its tokenizer for a task, the base of the task classes, and their lists of texts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from munjang.checkpoints import OpenOptions, open_checkpoint
from munjang.errors import InputError, InputTypeError
from munjang.runtime.model import Model
from munjang.tokenization import Tokenizer
from munjang.validation import shown_value


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions(OpenOptions):
    """How to open a model for a task.

    ``tokenizer`` replaces the model's own tokenizer: an open one, or the name of one.
    """

    tokenizer: str | os.PathLike[str] | Tokenizer | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """An opened model with its tokenizer."""

    model: Model
    tokenizer: Tokenizer

    @property
    def max_length(self) -> int:
        """The longest input in tokens, special tokens included."""
        return min(self.tokenizer.model_max_length, self.model.config.max_length)


def load(
    model: str | os.PathLike[str] | Model | Loaded, head: str | None, options: ModelOptions | None = None
) -> Loaded:
    """Open a model by name for a head (``None``: the bare encoder); an open model is returned unchanged.

    Raises what `Model.from_pretrained` raises, and `InputError` for an open model without a tokenizer.
    """
    chosen = options or ModelOptions()
    if isinstance(model, Loaded):
        return model
    if isinstance(model, Model):
        if chosen.tokenizer is None:
            raise InputError("An open model needs its tokenizer as well: pass tokenizer=...")
        if head is not None:
            require_opened_with(model, head)
        return Loaded(model, _tokenizer(chosen.tokenizer, chosen))
    checkpoint = open_checkpoint(model, chosen)
    opened = Model.from_checkpoint(checkpoint, head, chosen)
    if chosen.tokenizer is not None:
        return Loaded(opened, _tokenizer(chosen.tokenizer, chosen))
    return Loaded(opened, Tokenizer.from_checkpoint(checkpoint))


def _tokenizer(tokenizer: str | os.PathLike[str] | Tokenizer, options: ModelOptions) -> Tokenizer:
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    # The revision is the model's.
    return Tokenizer.from_pretrained(
        tokenizer, cache_dir=options.cache_dir, token=options.token, offline=options.offline
    )


def require_opened_with(model: Model, *heads: str) -> None:
    """Raise `InputError` unless an open model has one of these heads."""
    if model.head not in heads:
        raise InputError(
            f"The model was opened with {model.head or 'no'} head; this task needs one opened with "
            f"head={' or '.join(map(repr, heads))}. The checkpoint has {', '.join(model.heads) or 'none'}."
        )


class Task:
    """A model that is opened with the head of a task, and its tokenizer.

    Raises what `Model.from_pretrained` raises, and `InputError` for an open model with another head.
    """

    head: ClassVar[str | None] = None

    def __init__(
        self, model: str | os.PathLike[str] | Loaded, *, options: ModelOptions | None = None
    ) -> None:
        self._loaded = load(model, self.head, options)
        if self.head is not None:
            require_opened_with(self._loaded.model, self.head)
        self.model, self.tokenizer = self._loaded.model, self._loaded.tokenizer

    @property
    def max_length(self) -> int:
        """The longest input in tokens, special tokens included."""
        return self._loaded.max_length


def text_list(name: str, value: object) -> list[str]:
    """Return an argument's texts as plain str; `InputTypeError` unless it is a list or a tuple of texts."""
    if not isinstance(value, list | tuple):
        raise InputTypeError(f"{name} must be a text or a list of texts, got {shown_value(value)}.")
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise InputTypeError(f"{name}[{index}] must be a text, got {shown_value(text)}.")
    return [str.__str__(text) for text in value]  # an Enum's own __str__ returns another text
