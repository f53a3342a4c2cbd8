"""Fill-mask: prediction of the words at the masks of a text."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import NotRequired, TypeAlias, TypedDict, overload

import numpy as np

from munjang.errors import CheckpointError, InputError
from munjang.models.registry import MASKED_LM
from munjang.runtime.notices import TruncationReport
from munjang.tasks.fill_mask.pieces import Piece, Pieces
from munjang.tasks.fill_mask.search import Choice, Filled, MaskedText, fill_with, search
from munjang.tasks.loading import Loaded, ModelOptions, Task, text_list
from munjang.tasks.scores import name_of_text
from munjang.tokenization import Encoding
from munjang.validation import optional_count

Filter: TypeAlias = Callable[[str], bool]
Texts: TypeAlias = list[str] | tuple[str, ...]

_TOP_K = 5
_OTHER_MASKS = ("[MASK]", "<mask>")


class Fill(TypedDict):
    """One way to fill the masks of a text.

    ``score`` is the probability over the whole vocabulary, for several pieces the joint probability;
    ``sequence`` is the caller's text with the fill. ``withheld`` is the probability of the pieces that are
    never offered (special tokens, the unknown piece, broken characters); for several masks, that at least
    one of them has such a piece. A fill of one piece has ``token`` and ``token_str``; of several pieces,
    ``tokens``, ``token_strs`` and ``scores``, each given the pieces to its left; a target always has its
    ``token_str``.
    """

    score: float
    sequence: str
    withheld: float
    token: NotRequired[int]
    token_str: NotRequired[str]
    tokens: NotRequired[list[int]]
    token_strs: NotRequired[list[str]]
    scores: NotRequired[list[float]]


class FillMask(Task):
    """Fills the masks of texts with a masked language model.

    Example::

        fill = munjang.pipeline("fill-mask", "klue/bert-base")
        fill("축구는 정말 재미있는 [MASK]다.")[0]["sequence"]  # "축구는 정말 재미있는 스포츠다."

    Raises what `Model.from_pretrained` raises, and `CheckpointError` if the tokenizer has no mask token.
    """

    head = MASKED_LM

    def __init__(
        self, model: str | os.PathLike[str] | Loaded, *, options: ModelOptions | None = None
    ) -> None:
        super().__init__(model, options=options)
        if self.tokenizer.mask_token is None or self.tokenizer.mask_token_id is None:
            raise CheckpointError(f"The tokenizer of '{self.tokenizer.name_or_path}' has no mask token.")
        self.mask_token = self.tokenizer.mask_token
        self._mask_id = self.tokenizer.mask_token_id
        self._pieces = Pieces(self.tokenizer, self.model.config.vocab_size)

    @overload
    def __call__(
        self,
        text: str,
        top_k: int | None = None,
        targets: str | Texts | None = None,
        filter: Filter | None = None,
        *,
        beam: int = 10,
    ) -> list[Fill]: ...
    @overload
    def __call__(
        self,
        text: Texts,
        top_k: int | None = None,
        targets: str | Texts | None = None,
        filter: Filter | None = None,
        *,
        beam: int = 10,
    ) -> list[list[Fill]]: ...
    def __call__(
        self,
        text: str | Texts,
        top_k: int | None = None,
        targets: str | Texts | None = None,
        filter: Filter | None = None,  # noqa: A002 - the name of the public argument
        *,
        beam: int = 10,
    ) -> list[Fill] | list[list[Fill]]:
        """Return the most likely fills of a text, best first, or of each text of a list.

        Several masks are filled together: ``score`` is the probability of the first mask's piece, times that
        of the second's in a text that has the first, and so on from left to right.

        Args:
            text: contains the model's mask token at least once.
            top_k: the number of fills; by default 5, or all of the targets.
            targets: consider only these words. A word of several pieces gets as many masks, and its joint
                probability. With several masks, a target must be one piece.
            filter: a function that accepts or rejects a ``token_str`` (each piece's, or the target).
            beam: with several masks, the number of partial fills that are followed, at least ``top_k``.

        Issues a `TruncationWarning` for texts that were truncated. Raises `InputError` for a text without a
        mask, or with a mask beyond the model's length, for targets that the vocabulary can't write, and for
        invalid values; `InputTypeError` for values other than texts.
        """
        count = optional_count("top_k", _TOP_K if top_k is None and targets is None else top_k)
        width = max(optional_count("beam", beam) or 1, count or 1)
        listed = text_list("text", [text] if isinstance(text, str) else text)
        masked = self._read(listed)
        if targets is None:
            fills = self._search(masked, self._choices(masked, filter), width, count or _TOP_K)
        else:
            words = text_list("targets", [targets] if isinstance(targets, str) else targets)
            fills = self._among(masked, _checked_words(words), filter, width, count)
        return fills[0] if isinstance(text, str) else fills

    def _choices(self, texts: Sequence[MaskedText], accepts: Filter | None) -> list[Choice]:
        accept = None if accepts is None else cache(lambda token: bool(accepts(self._pieces[token].text)))
        return [Choice(self._pieces.offered, accept)] * len(texts)

    def _search(
        self, texts: Sequence[MaskedText], choices: Sequence[Choice], width: int, count: int
    ) -> list[list[Fill]]:
        # One mask needs no wider beam than the number of fills.
        width = width if any(len(text.masks) > 1 for text in texts) else count
        results = search(self.model, texts, choices, self._pieces.offered, width)
        return [
            [self._fill(text, filled) for filled in fills[:count]]
            for text, fills in zip(texts, results, strict=True)
        ]

    def _among(
        self,
        texts: Sequence[MaskedText],
        words: list[str],
        accepts: Filter | None,
        width: int,
        count: int | None,
    ) -> list[list[Fill]]:
        """Return the fills by the given words."""
        cut = [self._cut(text, words) for text in texts]
        kept = [word for word in words if accepts is None or accepts(word)]
        single = [i for i, text in enumerate(texts) if len(text.masks) == 1]
        several = [i for i, text in enumerate(texts) if len(text.masks) > 1]
        results: list[list[Fill]] = [[] for _ in texts]
        if several:
            choices = [self._only(cut[i], kept) for i in several]
            number = count or _TOP_K
            fills = self._search([texts[i] for i in several], choices, max(width, number), number)
            for i, its_fills in zip(several, fills, strict=True):
                results[i] = its_fills
        jobs = [(i, word, texts[i].widened(len(cut[i][word]))) for i in single for word in kept]
        self._check_room([(word, text) for _, word, text in jobs])
        filled = fill_with(self.model, [(text, cut[i][word]) for i, word, text in jobs], self._pieces.offered)
        for (i, word, text), its_fill in zip(jobs, filled, strict=True):
            results[i].append(self._fill(text, its_fill, word))
        return [sorted(fills, key=lambda fill: -fill["score"])[:count] for fills in results]

    def _cut(self, text: MaskedText, words: Sequence[str]) -> dict[str, list[int]]:
        """Return the ids of each target, as they are after the text before the mask."""
        before = text.text[: text.spans[0][0]]
        cut = {word: self._pieces.of_word(word, before) for word in words}
        unknown = [word for word, ids in cut.items() if ids is None]
        if unknown:
            raise InputError(f"The model's vocabulary can't write the targets {_quoted(unknown)}.")
        return {word: ids for word, ids in cut.items() if ids is not None}

    def _only(self, cut: dict[str, list[int]], words: Sequence[str]) -> Choice:
        longer = [word for word in words if len(cut[word]) > 1]
        if longer:
            raise InputError(
                "In a text with several masks a target must be one piece of the vocabulary; "
                f"these are more: {_quoted(longer)}."
            )
        allowed = np.zeros_like(self._pieces.offered)
        allowed[[cut[word][0] for word in words]] = True
        return Choice(allowed)

    def _check_room(self, widened: Sequence[tuple[str, MaskedText]]) -> None:
        for word, text in widened:
            if len(text.input_ids) > self.max_length:
                raise InputError(
                    f"With the {len(text.masks)} pieces of the target '{word}' the text has "
                    f"{len(text.input_ids)} tokens, the model takes {self.max_length}; shorten the text."
                )

    def _read(self, texts: Sequence[str]) -> list[MaskedText]:
        """Tokenize texts and find their masks."""
        encodings = self.tokenizer.encode_batch(texts)
        report = TruncationReport(self.max_length)
        masked: list[MaskedText] = []
        for number, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            name = name_of_text(number, len(texts))
            if self._mask_id not in encoding.input_ids:
                raise InputError(f"{name} {self._no_mask(text)}")
            kept = self._shortened(name, text, encoding)
            report.add([kept.truncated])
            masked.append(self._masked(text, kept))
        report.warn()
        return masked

    def _no_mask(self, text: str) -> str:
        for other in _OTHER_MASKS:
            if other != self.mask_token and other in text:
                return f"has {other}, which is another model's mask; this one's is {self.mask_token}."
        return f"has no {self.mask_token}; write it where a word is missing: {text!r:.80}."

    def _shortened(self, name: str, text: str, encoding: Encoding) -> Encoding:
        if len(encoding) <= self.max_length:
            return encoding
        kept = self.tokenizer.encode_batch([text], truncation=True, max_length=self.max_length)[0]
        if kept.input_ids.count(self._mask_id) < encoding.input_ids.count(self._mask_id):
            raise InputError(
                f"{name} has {len(encoding)} tokens, the model takes {self.max_length}, and a "
                f"{self.mask_token} is beyond them; shorten the text."
            )
        return kept

    def _masked(self, text: str, encoding: Encoding) -> MaskedText:
        masks = [i for i, token in enumerate(encoding.input_ids) if token == self._mask_id]
        return MaskedText(
            text,
            tuple(encoding.input_ids),
            tuple(encoding.token_type_ids),
            tuple(masks),
            tuple(self._span(text, *encoding.offsets[index]) for index in masks),
        )

    def _span(self, text: str, start: int, end: int) -> tuple[int, int]:
        """Return the span of a mask alone: RoBERTa's offsets include the space before it."""
        start = max(text.find(self.mask_token, start, end), start)
        return start, min(end, start + len(self.mask_token))

    def _fill(self, text: MaskedText, filled: Filled, target: str | None = None) -> Fill:
        pieces = [self._pieces[token] for token in filled.tokens]
        if target is not None:
            # The target "##다" is the name of a piece in the vocabulary; in the text it is "다".
            marked = len(pieces) == 1 and target.endswith(pieces[0].text)
            spliced = [Piece(pieces[0].text if marked else target.strip(), pieces[0].spaced)]
        else:
            spliced = pieces
        score, sequence = math.exp(filled.total), _splice(text.text, text.spans, spliced)
        withheld = 1 - math.prod(1 - part for part in filled.withheld)
        if len(pieces) == 1:
            token, token_str = filled.tokens[0], spliced[0].text
            return Fill(score=score, token=token, token_str=token_str, sequence=sequence, withheld=withheld)
        fill = Fill(
            score=score,
            tokens=list(filled.tokens),
            token_strs=[piece.text for piece in pieces],
            scores=[math.exp(log_probability) for log_probability in filled.log_probabilities],
            sequence=sequence,
            withheld=withheld,
        )
        if target is not None:
            fill["token_str"] = spliced[0].text
        return fill


def _splice(text: str, spans: Sequence[tuple[int, int]], pieces: Sequence[Piece]) -> str:
    """Return the text with pieces instead of its masks."""
    result, last = "", 0
    for (start, end), piece in zip(spans, pieces, strict=True):
        result += text[last:start]
        if piece.spaced and result and not result[-1].isspace():
            result += " "
        result += piece.text
        last = end
    return result + text[last:]


def _checked_words(words: list[str]) -> list[str]:
    if not words:
        raise InputError("targets is empty; pass words, or None for the whole vocabulary.")
    if not all(word.strip() for word in words):
        raise InputError("A target is empty; pass words.")
    return list(dict.fromkeys(words))


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
