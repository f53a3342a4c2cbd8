"""Words of a domain as tokens of their own: which would help, and adding them to a model.

A word that a vocabulary cuts into five pieces costs five tokens each time and has no vector of its own. An
added word starts as the mean of its pieces, and is then trained.
"""

from __future__ import annotations

import os
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.errors import InputError, InputTypeError
from munjang.search.text.analysis import runs
from munjang.tokenization import nfc
from munjang.tokenization.josa import length_without_josa
from munjang.training.models import open_model
from munjang.training.output import check_empty

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

__all__ = ["AddedTokens", "Suggestion", "add_domain_tokens", "suggest_tokens"]


@dataclass(frozen=True, slots=True)
class AddedTokens:
    """What was added.

    Attributes:
        tokens: the new words and their ids; the rows of the model that have not been trained yet.
        known: words that were tokens already.
        vocabulary_size: how many rows the model has now.
    """

    tokens: dict[str, int]
    known: list[str]
    vocabulary_size: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A word worth a token: how often it was seen, its pieces, and how many tokens one for it would save."""

    word: str
    count: int
    pieces: list[str]
    saved: int


def add_domain_tokens(
    model: str | os.PathLike[str], words: Sequence[str], output: str | os.PathLike[str]
) -> AddedTokens:
    """Write a copy of a model that knows more words, each starting as the mean of its pieces.

    The words are matched wherever they stand in a text, so that one is found before a particle too. A
    sentence encoder stays one, and heads over the vocabulary grow with it.

    Args:
        model: a folder, catalogue name or hub repository.
        words: to add; brought to NFC.
        output: the folder to write, new or empty.

    Raises `InputError` if there are no words, a word is empty, or the output folder holds something,
    `InputTypeError` for what is no word, and what opening and saving a model raise.
    """
    wanted = _checked_words(words)
    folder = Path(output)
    check_empty(folder)
    opened = open_model(model)
    tokenizer = opened.tokenizer
    known = [word for word in wanted if word in tokenizer.get_vocab()]
    new = [word for word in wanted if word not in set(known)]
    tokenizer.add_tokens(new)
    added = {word: tokenizer.get_vocab()[word] for word in new}
    # Some checkpoints have more rows than their tokeniser has tokens.
    rows = max(len(tokenizer), opened.model.config.vocab_size)
    pieces = {index: tokenizer.added_pieces[index] for index in added.values()}
    opened.model.resize_token_embeddings(rows, pieces)
    opened.save(folder)
    return AddedTokens(added, known, rows)


def _checked_words(words: Sequence[str]) -> list[str]:
    if isinstance(words, str):
        raise InputTypeError("words is a list of words, not one word.")
    for word in words:
        if not isinstance(word, str):
            raise InputTypeError(f"A word is a str, not {word!r} of type {type(word).__name__}.")
        if not word.strip():
            raise InputError("A word to add is empty; give it at least one character.")
    if not words:
        raise InputError("There are no words to add: the list is empty.")
    return list(dict.fromkeys(nfc(word.strip()) for word in words))


def suggest_tokens(
    texts: Iterable[str], tokenizer: Tokenizer, *, limit: int = 100, min_count: int = 5
) -> list[Suggestion]:
    """Return the words of texts that would save most tokens if they were tokens, best first.

    Particles are taken off Korean words (`munjang.tokenization.josa`), and all forms of a word count for
    it. Saved is what its pieces take now, with those of the particle, less what both would take. A word
    that is an unknown token saves nothing by that measure and gains most, so it counts as one saved each
    time. Numbers are left out. Where the tokeniser ignores case, so does this.

    Args:
        texts: of the domain; gone through once.
        tokenizer: of the model.
        limit: the most suggestions.
        min_count: how often a word must occur.

    Raises `InputError` for a limit or count below 1, `InputTypeError` for what is no text.
    """
    for name, value in (("limit", limit), ("min_count", min_count)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}.")
    forms = _forms(texts, _ignores_case(tokenizer))
    counts: Counter[str] = Counter()
    for (word, _), count in forms.items():
        counts[word] += count
    frequent = {form: n for form, n in forms.items() if counts[form[0]] >= min_count}
    saved = _saved(frequent, tokenizer)
    best = sorted(saved, key=lambda word: (-saved[word], -counts[word], word))[:limit]
    return [Suggestion(word, counts[word], tokenizer.tokenize(word), saved[word]) for word in best]


def _ignores_case(tokenizer: Tokenizer) -> bool:
    return all(tokenizer.tokenize(a) == tokenizer.tokenize(a.lower()) for a in string.ascii_uppercase)


Form = tuple[str, str]  # a word, and the particle that stood after it


def _forms(texts: Iterable[str], fold_case: bool) -> Counter[Form]:
    if isinstance(texts, str):
        raise InputTypeError("texts is a list or another iterable of texts, not one text.")
    forms: Counter[Form] = Counter()
    for text in texts:
        if not isinstance(text, str):
            raise InputTypeError(f"A text is a str, not {text!r} of type {type(text).__name__}.")
        forms.update(_words(nfc(text.lower() if fold_case else text)))
    return forms


def _words(text: str) -> Iterator[Form]:
    for hangul, start, end in runs(text):
        word = text[start:end]
        if not word.isnumeric():
            kept = length_without_josa(word) if hangul else len(word)
            yield word[:kept], word[kept:]


def _saved(forms: dict[Form, int], tokenizer: Tokenizer) -> dict[str, int]:
    """Return the tokens saved by each word that is not one token already."""
    texts = {text for word, particle in forms for text in (word, word + particle, particle) if text}
    cut = dict(zip(texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True))
    saved: dict[str, int] = {}
    for (word, particle), count in forms.items():
        unknown = tokenizer.unk_token_id in cut[word].input_ids
        if len(cut[word]) > 1 or unknown:
            now, then = len(cut[word + particle]), 1 + (len(cut[particle]) if particle else 0)
            saved[word] = saved.get(word, 0) + count * max(now - then, int(unknown))
    return {word: tokens for word, tokens in saved.items() if tokens > 0}
