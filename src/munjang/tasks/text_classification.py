"""Text classification: a label for a text, or for a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, overload

import numpy as np

from munjang.errors import InputError, InputTypeError
from munjang.models.registry import SEQUENCE_CLASSIFICATION
from munjang.runtime.notices import warn_truncated
from munjang.runtime.runner import TokenIdsLike
from munjang.tasks.loading import Task
from munjang.tasks.scores import (
    Function,
    LabelScore,
    Scores,
    check_text,
    choose_function,
    logits_of,
    name_of_text,
    ranked,
    scores_of,
)
from munjang.tasks.windows import windows as split_into_windows
from munjang.validation import optional_count, shown_value


class TextPair(TypedDict, total=False):
    """A text and its second text, with the names of tokenizers' arguments."""

    text: str
    text_pair: str


OneText: TypeAlias = str | tuple[str, str] | TextPair
Plain: TypeAlias = str | tuple[str, str]


class TextClassification(Task):
    """Predicts the label of a text or a pair of texts.

    Example::

        classify = munjang.pipeline("text-classification", "folder/of/a/model")
        classify("정말 재미있는 영화였어요.")  # [{"label": "positive", "score": 0.98}]

    Raises what `Model.from_pretrained` raises; `CheckpointError` if the checkpoint has no trained
    sequence-classification head, or if its labels do not fit its weights.
    """

    head = SEQUENCE_CLASSIFICATION

    @overload
    def __call__(  # type: ignore[overload-overlap] # a str is a sequence of str too
        self,
        texts: OneText,
        *,
        top_k: int | None = 1,
        function_to_apply: Function | None = None,
        windows: bool = False,
    ) -> list[LabelScore]: ...
    @overload
    def __call__(
        self,
        texts: Sequence[OneText],
        *,
        top_k: int | None = 1,
        function_to_apply: Function | None = None,
        windows: bool = False,
    ) -> list[list[LabelScore]]: ...
    def __call__(
        self,
        texts: OneText | Sequence[OneText],
        *,
        top_k: int | None = 1,
        function_to_apply: Function | None = None,
        windows: bool = False,
    ) -> list[LabelScore] | list[list[LabelScore]]:
        """Return the best labels of a text, best first, or a list of such lists for a list of texts.

        Args:
            texts: a text, a pair ``(a, b)`` or ``{"text": a, "text_pair": b}``, or a list of them.
            top_k: the number of labels; None for all.
            function_to_apply: ``"softmax"`` (scores add up to 1), ``"sigmoid"`` (each label on its own) or
                ``"none"`` (the logits). By default the sigmoid for models of one label and multi-label
                models, none for a regression (the score is the number itself), the softmax otherwise.
            windows: read texts that are longer than the model in overlapping windows, and return the mean of
                the windows' scores; of a pair, the first text is split. Otherwise longer texts are
                truncated, with a `TruncationWarning`.

        Raises `InputTypeError` for values other than texts and pairs, and `InputError` for an empty text,
        invalid values, or a pair whose second text alone fills the windows.
        """
        optional_count("top_k", top_k)
        function = choose_function(self.model.config.labels, function_to_apply)
        single = isinstance(texts, str | tuple | Mapping)
        listed = as_texts([texts] if single else texts)
        scores = self._scores(listed, function, windows)
        results = [ranked(self.model.config.labels, row, top_k) for row in scores]
        return results[0] if single else results

    def _scores(self, texts: list[Plain], function: Function, windowed: bool) -> Scores:
        if not windowed:
            return scores_of(function, logits_of(self.model, self._cut(texts)))
        parts: list[TokenIdsLike] = []
        owners: list[int] = []
        for owner, encoding in enumerate(self.tokenizer.encode_batch(texts, truncation=False)):
            its_windows = split_into_windows(encoding, self.max_length)
            parts += [window.encoding for window in its_windows]
            owners += [owner] * len(its_windows)
        scores = scores_of(function, logits_of(self.model, parts))
        sums = np.zeros((len(texts), scores.shape[1]), dtype=np.float32)
        counted = np.array(owners, dtype=np.intp)
        np.add.at(sums, counted, scores)
        counts = np.bincount(counted, minlength=len(texts))[:, None]
        return np.asarray(sums / counts, dtype=np.float32)

    def _cut(self, texts: list[Plain]) -> Sequence[TokenIdsLike]:
        limit = self.max_length
        ids = self.tokenizer.encode_ids(texts, max_length=limit)
        warn_truncated((text.truncated for text in ids), limit, " windows=True reads them whole.")
        return ids


def as_texts(texts: Any) -> list[Plain]:
    """Return texts and pairs as str and tuples; raise `InputTypeError` or `InputError` with the index."""
    if not isinstance(texts, Sequence) or isinstance(texts, bytes):
        raise InputTypeError(f"texts must be a text, a pair or a list of them, got {shown_value(texts)}.")
    return [_plain(text, name_of_text(index, len(texts))) for index, text in enumerate(texts)]


def _plain(text: Any, name: str) -> Plain:
    if isinstance(text, Mapping):
        unknown = set(text) - {"text", "text_pair"}
        if unknown or "text" not in text:
            raise InputError(f"{name} must have 'text' and may have 'text_pair', got {', '.join(text)}.")
        pair = text.get("text_pair")
        text = text["text"] if pair is None else (text["text"], pair)
    if isinstance(text, tuple):
        if len(text) != 2:
            raise InputError(
                f"{name} is a tuple of {len(text)}; a pair has two texts, and several texts go in a list."
            )
        return check_text(text[0], name), check_text(text[1], f"The pair of {name.lower()}")
    return check_text(text, name)
