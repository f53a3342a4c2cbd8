"""Relation extraction: the relation between two marked entities of a text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from munjang.choices import MarkerKind
from munjang.data.examples import Span
from munjang.errors import InputError, InputTypeError
from munjang.models.batch import TokenBatch
from munjang.models.registry import RELATION_EXTRACTION, SEQUENCE_CLASSIFICATION
from munjang.runtime.notices import warn_truncated
from munjang.tasks.loading import Loaded, ModelOptions, Task, load, require_opened_with
from munjang.tasks.markers import Marked, mark, markers_of
from munjang.tasks.scores import (
    LabelScore,
    Scores,
    check_text,
    choose_function,
    logits_of,
    name_of_text,
    ranked,
    scores_of,
)
from munjang.tokenization import Tokenizer
from munjang.tokenization.encoding import Encoding
from munjang.validation import optional_count


class RelationInput(TypedDict):
    """A text and two entities in it, ``(start, end)`` or ``(start, end, type)``."""

    text: str
    subject: Span
    object: Span


class RelationExtraction(Task):
    """Predicts the relation between a text's subject and its object.

    Example::

        relate = munjang.pipeline("relation-extraction", "folder/of/a/model")
        relate("이순신은 한성에서 태어났다.", subject=(0, 3, "PER"), object=(5, 7, "LOC"))
        # [{"label": "per:place_of_birth", "score": 0.97}]

    The model has the relation head of `munjang.models.heads`, or is a sequence classifier that was trained
    on marked texts. ``markers`` is the kind of markers: ``"plain"`` (``[E1]``...``[/E1]`` and
    ``[E2]``...``[/E2]``), ``"typed"`` (``[S:PER]``...``[/S:PER]`` and ``[O:LOC]``...``[/O:LOC]``) or
    ``"klue"`` (``<subj>``...``</subj>`` and ``<obj>``...``</obj>``); by default the kind in the model's
    files.

    Raises what `Model.from_pretrained` raises; `CheckpointError` if the checkpoint has neither head, or if
    its tokenizer has no markers.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Loaded,
        *,
        options: ModelOptions | None = None,
        markers: MarkerKind | None = None,
    ) -> None:
        super().__init__(model if isinstance(model, Loaded) else _open(model, options))
        require_opened_with(self._loaded.model, RELATION_EXTRACTION, SEQUENCE_CLASSIFICATION)
        self.markers = markers_of(self._loaded, markers)

    @overload
    def __call__(
        self,
        text: str,
        subject: Span,
        object: Span,
        *,
        top_k: int | None = ...,
    ) -> list[LabelScore]: ...
    @overload
    def __call__(
        self, text: Sequence[RelationInput], *, top_k: int | None = ...
    ) -> list[list[LabelScore]]: ...
    def __call__(
        self,
        text: str | Sequence[RelationInput],
        subject: Span | None = None,
        object: Span | None = None,  # noqa: A002
        *,
        top_k: int | None = 1,
    ) -> list[LabelScore] | list[list[LabelScore]]:
        """Return the best relations, best first, or a list of such lists for a list of inputs.

        Args:
            text: a text, or a list of ``{"text": ..., "subject": ..., "object": ...}``.
            subject: the subject's span in characters, and its type if the markers are typed.
            object: the same for the object.
            top_k: the number of relations; None for all.

        Of a text that is too long, the part around the two entities is read, with a `TruncationWarning` about
        the rest. Raises `InputTypeError` or `InputError` for an empty text, entities outside the text
        or overlapping, a type that is missing or unknown, and entities too far apart for the model.
        """
        optional_count("top_k", top_k)
        single = isinstance(text, str)
        given: Sequence[Any] = text
        if isinstance(text, str):
            given = [{"text": text, "subject": subject, "object": object}]
        elif subject is not None or object is not None:
            raise InputError("A list of inputs contains its subjects and objects; pass none beside it.")
        marked = [self._mark(item, name_of_text(index, len(given))) for index, item in enumerate(given)]
        labels = self.model.config.labels
        scores = scores_of(choose_function(labels, None), self._logits(marked))
        results = [ranked(labels, row, top_k) for row in scores]
        return results[0] if single else results

    def _mark(self, given: Any, name: str) -> Marked:
        if not isinstance(given, Mapping) or set(given) != {"text", "subject", "object"}:
            raise InputTypeError(
                f"{name} must be a dictionary of a text, a subject and an object, got {given!r:.80}."
            )
        text = check_text(given["text"], name)
        return mark(text, given["subject"], given["object"], self.markers)

    def _logits(self, marked: list[Marked]) -> Scores:
        limit = self.max_length
        whole = self.tokenizer.encode_batch([item.text for item in marked], truncation=False)
        shortened = [
            with_markers(encoding, item, self.tokenizer, limit)
            for encoding, item in zip(whole, marked, strict=True)
        ]
        texts = [encoding for encoding, _ in shortened]
        warn_truncated((text.truncated for text in texts), limit)
        if self.model.head != RELATION_EXTRACTION:
            return logits_of(self.model, texts)
        return logits_of(
            self.model,
            texts,
            lambda batch, indices: point_at_markers(batch, [shortened[index][1] for index in indices]),
        )


def _open(model: str | os.PathLike[str], options: ModelOptions | None) -> Loaded:
    heads = load(model, None, options).model.heads
    is_classifier = SEQUENCE_CLASSIFICATION in heads and RELATION_EXTRACTION not in heads
    return load(model, SEQUENCE_CLASSIFICATION if is_classifier else RELATION_EXTRACTION, options)


def with_markers(
    encoding: Encoding, marked: Marked, tokenizer: Tokenizer, limit: int
) -> tuple[Encoding, tuple[int, int]]:
    """Truncate the encoding of a marked text to ``limit`` tokens around its entities and return their starts.

    Raises `InputError` if the entities are too far apart.
    """
    converted = tokenizer.convert_tokens_to_ids(marked.markers)
    ids = [index for index in converted if index is not None]  # all: the vocabulary has the markers
    cut = _around(encoding, ids, limit)
    return cut, (cut.input_ids.index(ids[0]), cut.input_ids.index(ids[2]))


def point_at_markers(
    batch: TokenBatch[NDArray[Any]], starts: Sequence[tuple[int, int]]
) -> TokenBatch[NDArray[Any]]:
    """Set a batch's ``pool_weights`` ``[B, 2, L]`` to 1 at the two start markers of each text."""
    weights = np.zeros((len(starts), 2, batch.pad_index.shape[1]), dtype=np.float32)
    for row, columns in enumerate(starts):
        weights[row, (0, 1), columns] = 1
    return replace(batch, pool_weights=weights)


def _around(encoding: Encoding, markers: Sequence[int], limit: int) -> Encoding:
    """Cut an encoding that is too long at both ends, as evenly as it goes, around its markers."""
    if len(encoding) <= limit:
        return encoding
    ordinary = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence is not None]
    marked = [number for number, i in enumerate(ordinary) if encoding.input_ids[i] in markers]
    room = limit - (len(encoding) - len(ordinary))
    needed = marked[-1] - marked[0] + 1
    if needed > room:
        raise InputError(
            f"The entities are {needed} tokens apart, with their markers; the model takes {room} tokens of "
            "a text. Choose entities that are closer together."
        )
    start = min(max(0, marked[0] - (room - needed) // 2), len(ordinary) - room)
    special = set(range(len(encoding))) - set(ordinary)
    return encoding.select(sorted([*special, *ordinary[start : start + room]]))
