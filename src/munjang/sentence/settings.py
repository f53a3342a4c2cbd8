"""What a sentence encoder's files say about its use, and what a caller puts in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from munjang.errors import InputError, InputTypeError
from munjang.runtime.tensors import check_device
from munjang.sentence.modules import Module
from munjang.sentence.pooling import Pooling
from munjang.sentence.similarity import SimilarityFunction
from munjang.validation import check_choice, checked_count

__all__ = ["OnTruncation", "SentenceSettings", "check_device", "check_prompts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceSettings:
    """Everything about a sentence encoder that is not its encoder.

    ``pooling`` is ``None`` where the checkpoint has no such files, so it has to be chosen.
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

    def prompt(self, name: str) -> str:
        """Return a prompt's text; `InputError` names the prompts that exist."""
        if not isinstance(name, str):
            raise InputTypeError(f"The name of a prompt must be a text, got {name!r}.")
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise InputError(f"The model has no prompt named {name!r}; it has {known}.")
        return self.prompts[name]


class OnTruncation:
    """What happens to texts that are too long: ``on_truncation``, checked whenever it is set."""

    _on_truncation: str

    @property
    def on_truncation(self) -> str:
        """``"warn"`` once per call with the count, ``"error"``, or ``"ignore"``."""
        return self._on_truncation

    @on_truncation.setter
    def on_truncation(self, value: str) -> None:
        check_choice("on_truncation", value, ("warn", "error", "ignore"))
        self._on_truncation = value


def check_prompts(prompts: Mapping[Any, Any]) -> None:
    """Raise `InputTypeError` unless names are mapped to texts."""
    if not isinstance(prompts, Mapping):
        raise InputTypeError(f"prompts must map names to texts, got a {type(prompts).__name__}.")
    for name, text in prompts.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise InputTypeError(f"prompts must map names to texts, got {name!r}: {text!r}.")
