"""What a user can change on a loaded sentence encoder: prompts, pooling, length of vectors, similarity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from munjang.errors import InputError, InputTypeError
from munjang.sentence.pooling import Pooling
from munjang.sentence.settings import OnTruncation, SentenceSettings, check_flags, check_prompts
from munjang.sentence.similarity import SimilarityFunction, check_truncation

__all__ = ["Configured"]


class Configured(OnTruncation):
    """The part of `SentenceTransformer` that its ``settings`` decide.

    Setting a value that can't be used raises `InputError` or `InputTypeError`.
    """

    settings: SentenceSettings
    width: int

    @property
    def pooling(self) -> Pooling:
        """How token vectors become one."""
        assert self.settings.pooling is not None  # chosen when opened
        return self.settings.pooling

    @property
    def prompts(self) -> dict[str, str]:
        """Texts to put before a sentence, by name."""
        return self.settings.prompts

    @prompts.setter
    def prompts(self, value: Mapping[str, str]) -> None:
        check_prompts(value)
        self.settings = replace(self.settings, prompts=dict(value))

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt that `encode` uses when it is given none."""
        return self.settings.default_prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, value: str | None) -> None:
        self.settings = replace(self.settings, default_prompt_name=value)

    @property
    def truncate_dim(self) -> int | None:
        """How many of each vector's numbers are kept, or ``None`` for all."""
        return self.settings.truncate_dim

    @truncate_dim.setter
    def truncate_dim(self, value: int | None) -> None:
        settings = replace(self.settings, truncate_dim=value)
        check_truncation(value, self.width)
        self.settings = settings

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Keep only so many of each vector's numbers, inside a ``with`` block."""
        before = self.truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = before

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Say whether a prompt's tokens are pooled; INSTRUCTOR models leave them out."""
        check_flags(include_prompt=include_prompt)
        pooling = replace(self.pooling, include_prompt=bool(include_prompt))
        self.settings = replace(self.settings, pooling=pooling)

    @property
    def similarity_fn_name(self) -> str:
        """The name of the function behind `similarity`."""
        return self.settings.similarity_fn_name or SimilarityFunction.COSINE.value

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: str | SimilarityFunction | None) -> None:
        name = None if value is None else SimilarityFunction(value).value
        self.settings = replace(self.settings, similarity_fn_name=name)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """Compare every vector with every other: ``[n, d]`` and ``[m, d]`` -> ``[n, m]``."""
        return SimilarityFunction.to_similarity_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Any:
        """Compare row by row: two ``[n, d]`` -> ``[n]``."""
        return SimilarityFunction.to_similarity_pairwise_fn(self.similarity_fn_name)(embeddings1, embeddings2)

    def _task_prompt(
        self, prompt_name: str | None, prompt: str | None, names: Sequence[str]
    ) -> tuple[str | None, str | None]:
        """Choose by name; the default prompt is for neither questions nor documents."""
        if prompt_name is not None or prompt is not None:
            return prompt_name, prompt
        found = next((name for name in names if name in self.prompts), None)
        return (None, "") if found is None else (found, None)

    def _prompt(self, prompt_name: str | None, prompt: str | None) -> str:
        if prompt is not None:
            if not isinstance(prompt, str):
                raise InputTypeError(f"prompt must be a text, got {prompt!r}.")
            if prompt_name is not None:
                raise InputError(f"Pass prompt or prompt_name, not both: got {prompt!r} and {prompt_name!r}.")
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        return "" if name is None else self.settings.prompt(name)
