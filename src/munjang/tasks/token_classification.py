"""Token classification: named entities, parts of speech, and other labels of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from munjang.choices import Grouping, Strategy
from munjang.errors import InputError, InputTypeError
from munjang.models.program import LOGITS
from munjang.models.registry import TOKEN_CLASSIFICATION
from munjang.sentence.activations import softmax
from munjang.tasks.aggregation import STRATEGIES, EntityGroup, ScoredToken, TokenEntity, group, name_tokens
from munjang.tasks.loading import Task
from munjang.tasks.scores import Scores, check_text, name_of_text
from munjang.tasks.windows import Window, context_of, windows
from munjang.tokenization.encoding import Encoding
from munjang.validation import shown_value

Found: TypeAlias = list[TokenEntity] | list[EntityGroup]


class TokenClassification(Task):
    """Finds the entities of a text, with their spans.

    Example::

        tag = munjang.pipeline("token-classification", "folder/of/a/model")
        tag("이순신은 한성에서 태어났다.")
        # [{"entity_group": "PS", "score": 0.99, "word": "이순신", "start": 0, "end": 3}, ...]

    Raises what `Model.from_pretrained` raises; `CheckpointError` if the checkpoint has no trained
    token-classification head, or if its labels do not fit its weights.
    """

    head = TOKEN_CLASSIFICATION

    @overload
    def __call__(  # type: ignore[overload-overlap] # a str is a sequence of str too
        self, texts: str, *, aggregation_strategy: Grouping = ..., ignore_labels: Sequence[str] = ...
    ) -> list[EntityGroup]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap] # as above
        self, texts: str, *, aggregation_strategy: Literal["none"], ignore_labels: Sequence[str] = ...
    ) -> list[TokenEntity]: ...
    @overload
    def __call__(
        self,
        texts: Sequence[str],
        *,
        aggregation_strategy: Grouping = ...,
        ignore_labels: Sequence[str] = ...,
    ) -> list[list[EntityGroup]]: ...
    @overload
    def __call__(
        self,
        texts: Sequence[str],
        *,
        aggregation_strategy: Literal["none"],
        ignore_labels: Sequence[str] = ...,
    ) -> list[list[TokenEntity]]: ...
    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        aggregation_strategy: Strategy = "simple",
        ignore_labels: Sequence[str] = ("O",),
    ) -> Any:
        """Return the entities of a text in order, or a list of such lists for a list of texts.

        Args:
            texts: a text or a list of texts. A text longer than the model is read in overlapping
                windows, and each token's label is from the window where it has the most context.
            aggregation_strategy: ``"none"`` for every token with its tag, ``"simple"`` to merge neighbouring
                tokens to entities, or ``"first"``, ``"max"`` or ``"average"`` to give each word of the
                tokenizer one tag first; see `munjang.tasks.aggregation.group`.
            ignore_labels: tags (with ``"none"``) or types of entities that are excluded.

        Raises `InputError` for an empty text or an unknown strategy, `InputTypeError` for values other than
        texts.
        """
        if aggregation_strategy not in STRATEGIES:
            raise InputError(
                f"Unknown aggregation_strategy {aggregation_strategy!r}; there are {', '.join(STRATEGIES)}."
            )
        ignored = _ignored(ignore_labels)
        single = isinstance(texts, str)
        listed = _texts([texts] if isinstance(texts, str) else texts)
        results = [
            self._entities(tokens, text, aggregation_strategy, ignored)
            for tokens, text in zip(self._tokens(listed), listed, strict=True)
        ]
        return results[0] if single else results

    def _entities(
        self, tokens: list[ScoredToken], text: str, strategy: Strategy, ignored: frozenset[str]
    ) -> Found:
        labels = self.model.config.labels.id2label
        if strategy == "none":
            return [tag for tag in name_tokens(tokens, labels) if tag["entity"] not in ignored]
        entities = group(tokens, labels, strategy, text)
        return [entity for entity in entities if entity["entity_group"] not in ignored]

    def _tokens(self, texts: list[str]) -> Iterable[list[ScoredToken]]:
        encodings = self.tokenizer.encode_batch(texts, truncation=False)
        for encoding, scores, text in zip(encodings, self._scores(encodings), texts, strict=True):
            yield [
                self._token(encoding, at, scores[at], text)
                for at, special in enumerate(encoding.special_tokens_mask)
                if not special
            ]

    def _token(self, encoding: Encoding, at: int, scores: Scores, text: str) -> ScoredToken:
        start, end = encoding.offsets[at]
        is_unknown = encoding.input_ids[at] == self.tokenizer.unk_token_id
        word = text[start:end] if is_unknown else encoding.tokens[at]
        return ScoredToken(word, start, end, at, encoding.word_ids[at], scores)

    def _scores(self, encodings: Sequence[Encoding]) -> list[Scores]:
        """Return probabilities ``[L, num_labels]`` for each encoding."""
        cut = [windows(encoding, self.max_length) for encoding in encodings]
        parts = [window for its_windows in cut for window in its_windows]
        scores = [np.empty(0, dtype=np.float32)] * len(parts)
        program = self.model.program(frozenset({LOGITS}))
        for done in self.model.runner.run(program, [part.encoding for part in parts]):
            for index, logits in zip(done.indices, done.split(LOGITS), strict=True):
                scores[index] = softmax(logits)
        rest = iter(scores)
        return [
            _merged(encoding, [(window, next(rest)) for window in its_windows])
            for encoding, its_windows in zip(encodings, cut, strict=True)
        ]


def _merged(encoding: Encoding, parts: Sequence[tuple[Window, Scores]]) -> Scores:
    """Return each token's scores from the window with the most context around it."""
    if len(parts) == 1:
        return parts[0][1]
    length = sum(sequence == 0 for sequence in encoding.sequence_ids)
    merged = np.zeros((len(encoding), parts[0][1].shape[1]), dtype=np.float32)
    best = np.full(len(encoding), -1)
    for window, scores in parts:
        context = context_of(window, length)
        for position, row in zip(window.positions, scores, strict=True):
            room = next(context) if encoding.sequence_ids[position] == 0 else 0
            if room > best[position]:
                best[position], merged[position] = room, row
    return merged


def _texts(texts: Any) -> list[str]:
    if not isinstance(texts, Sequence) or isinstance(texts, bytes):
        raise InputTypeError(f"texts must be a text or a list of texts, got {shown_value(texts)}.")
    return [check_text(text, name_of_text(index, len(texts))) for index, text in enumerate(texts)]


def _ignored(labels: Sequence[str]) -> frozenset[str]:
    if isinstance(labels, str):
        raise InputTypeError(f"ignore_labels must be a list of labels, got the str {labels!r}.")
    return frozenset(labels)
