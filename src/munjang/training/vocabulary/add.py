"""Domain words as single tokens: suggestions of useful words, and their addition to a model.

A word that the tokeniser splits into five pieces costs five tokens each time and has no separate vector. The
vector of an added word is initialised with the mean of its pieces' vectors, and is then trained.
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
from munjang.validation import checked_count

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer


@dataclass(frozen=True, slots=True)
class AddedTokens:
    """The result of adding tokens.

    Attributes:
        tokens: the new words and their ids; these rows of the model are not trained yet.
        known: words that already were tokens.
        vocabulary_size: the number of rows of the model now.
    """

    tokens: dict[str, int]
    known: list[str]
    vocabulary_size: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggested word: its number of occurrences, its pieces, and the tokens saved by adding it."""

    word: str
    count: int
    pieces: list[str]
    saved: int


def add_domain_tokens(
    model: str | os.PathLike[str], words: Sequence[str], output: str | os.PathLike[str]
) -> AddedTokens:
    """Write a copy of a model with additional words, each initialised with the mean of its pieces.

    The words are matched anywhere in a text, so that a word before a particle is found too. Sentence encoders
    are supported, and heads over the vocabulary are extended too.

    Args:
        model: a folder, catalogue name or hub repository.
        words: the words to add; normalised to NFC.
        output: the folder to write, new or empty.

    Raises `InputError` if there are no words, a word is empty, or the output folder is not empty,
    `InputTypeError` for a value that is not a word, and what opening and saving a model raise.
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

    Particles are removed from Korean words (`munjang.tokenization.josa`), and all forms of a word count
    together. The saving is the number of tokens of the word with its particle now, minus the number with the
    word as a single token. An unknown token saves nothing by this measure although adding it helps most, so
    it counts as at least one saved token per occurrence. Numbers are left out. If the tokeniser ignores case,
    case is ignored here too.

    Args:
        texts: texts of the domain; iterated once.
        tokenizer: the tokenizer of the model.
        limit: the maximum number of suggestions.
        min_count: the minimum number of occurrences of a word.

    Raises `InputError` for a limit or count below 1, `InputTypeError` for a value that is not a text.
    """
    for name, value in (("limit", limit), ("min_count", min_count)):
        checked_count(name, value)
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


Form = tuple[str, str]  # a word, and the particle after it


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
    """Return the number of tokens saved by each word that is not a single token already."""
    texts = {text for word, particle in forms for text in (word, word + particle, particle) if text}
    cut = dict(zip(texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True))
    saved: dict[str, int] = {}
    for (word, particle), count in forms.items():
        unknown = tokenizer.unk_token_id in cut[word].input_ids
        if len(cut[word]) > 1 or unknown:
            now, then = len(cut[word + particle]), 1 + (len(cut[particle]) if particle else 0)
            saved[word] = saved.get(word, 0) + count * max(now - then, int(unknown))
    return {word: tokens for word, tokens in saved.items() if tokens > 0}
