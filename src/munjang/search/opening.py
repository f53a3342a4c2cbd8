"""What a caller says of an index when it is opened, against what the index says of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from munjang.errors import InputTypeError
from munjang.search.analysis import analyzer_named
from munjang.search.checking import checked_count, shown_value
from munjang.search.describing import check_fields, checked_prompts, describe
from munjang.search.documents import TEXT
from munjang.search.settings import check_same_settings
from munjang.search.store import IndexSettings

if TYPE_CHECKING:
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["Wanted", "check_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of an index; ``None`` leaves it as the index was made, or to the defaults."""

    model: str | os.PathLike[str] | SentenceTransformer | None = None
    fields: Sequence[str] | None = None
    embedded: Sequence[str] | None = None
    analyzer: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    prompts: Mapping[str, str] | None = None
    offline: bool | None = None

    def opened(self, default: str) -> tuple[SentenceTransformer, str]:
        """Give the model, opened, and its name."""
        from munjang.sentence.transformer import SentenceTransformer

        if isinstance(self.model, SentenceTransformer):
            return self.model, self.model.tokenizer.name_or_path
        name = default if self.model is None else self._name(self.model)
        return SentenceTransformer(name, local_files_only=self.offline), name

    def begin(self) -> tuple[SentenceTransformer, IndexSettings]:
        """Choose the settings of a new index."""
        from munjang.checkpoints.catalogue import DEFAULT_MODEL

        fields, embedded = check_fields((TEXT,) if self.fields is None else self.fields, self.embedded)
        analyzer = analyzer_named(self.analyzer).name
        model, name = self.opened(DEFAULT_MODEL)
        settings = describe(
            model,
            name,
            fields=fields,
            embedded=embedded,
            analyzer=analyzer,
            chunk_tokens=self.chunk_tokens,
            chunk_overlap=self.chunk_overlap,
            prompts=self.prompts,
        )
        return model, settings

    def check(self, recorded: IndexSettings, place: str) -> SentenceTransformer | None:
        """Raise `IndexMismatchError` unless an index is as asked; give the model if it had to be opened.

        A model of the recorded name is not opened yet.
        """
        said: dict[str, object] = {}
        if self.fields is not None or self.embedded is not None:
            fields = recorded.fields if self.fields is None else self.fields
            said["fields"], embedded = check_fields(fields, self.embedded)
            if self.embedded is not None:
                said["embedded"] = embedded
        if self.analyzer is not None:
            said["analyzer"] = analyzer_named(self.analyzer).name
        for name, least in (("chunk_tokens", 1), ("chunk_overlap", 0)):
            if (value := getattr(self, name)) is not None:
                said[name] = checked_count(name, value, least)
        if self.prompts is not None:
            said["prompts"] = {**recorded.prompts, **checked_prompts(self.prompts)}
        check_same_settings(recorded, replace(recorded, **said), place)  # type: ignore[arg-type]
        if self.model is None or self.model == recorded.model:
            return None
        model, name = self.opened(recorded.model)
        check_model(recorded, model, name, place)
        return model

    @staticmethod
    def _name(model: object) -> str:
        if not isinstance(model, str | os.PathLike):
            raise InputTypeError(
                f"model must be a name, a folder or a SentenceTransformer, got {shown_value(model)}."
            )
        return os.fspath(model)


def check_model(recorded: IndexSettings, model: SentenceTransformer, name: str, place: str) -> None:
    """Raise `IndexMismatchError` unless a model gives the vectors that an index was made with."""
    found = describe(
        model,
        name,
        fields=recorded.fields,
        embedded=recorded.embedded,
        analyzer=recorded.analyzer,
        chunk_tokens=None,
        chunk_overlap=None,
        prompts=recorded.prompts,
    )
    same = {"chunk_tokens": recorded.chunk_tokens, "chunk_overlap": recorded.chunk_overlap}
    check_same_settings(recorded, replace(found, **same), place)  # type: ignore[arg-type]
