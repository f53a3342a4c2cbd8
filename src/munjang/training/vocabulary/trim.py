"""Trimming of a multilingual model's vocabulary to the pieces that selected languages use.

The table of word embeddings is half of such a model or more, and a text in a single language uses a small
part of it. The trimmed model computes the same vectors: the same pieces have the same rows
(https://arxiv.org/abs/2010.05609 measures this for multilingual BERT).
"""

from __future__ import annotations

import json
import os
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import CheckpointError, InputError, InputTypeError, UnsupportedModelError
from munjang.models.params import Params
from munjang.runtime.model import Model
from munjang.tokenization import nfc
from munjang.tokenization.limits import library_errors
from munjang.tokenization.pieces import BYTE_OF_LETTER
from munjang.training.models import open_model
from munjang.training.output import check_empty

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

KOREAN_AND_ENGLISH = ("Hangul", "Latin", "Common")
"""Common is what many scripts share: digits, punctuation, symbols, emoji."""

_KNOWN = (
    "Common", "Latin", "Hangul", "Han", "Hiragana", "Katakana", "Bopomofo", "Cyrillic", "Greek", "Arabic",
    "Hebrew", "Armenian", "Georgian", "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil",
    "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao", "Tibetan", "Myanmar", "Khmer", "Ethiopic",
    "Mongolian", "Syriac", "Thaana",
)  # fmt: skip


def in_scripts(scripts: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that checks whether all characters of a text belong to these scripts.

    Combining marks that inherit the script of their letter always belong to them. Raises `InputError` for an
    unknown script, `InputTypeError` for a single string instead of a list.
    """
    if isinstance(scripts, str):
        raise InputTypeError(f"scripts is a list of names, such as {KOREAN_AND_ENGLISH}, not {scripts!r}.")
    remove = _remover(tuple(sorted({*scripts, "Inherited"})))
    # The library never applies a pattern to an empty text.
    return lambda text: not text or not remove(text)


@cache
def _remover(scripts: tuple[str, ...]) -> Callable[[str], str]:
    from tokenizers import Regex, normalizers

    for script in scripts:
        _check(script)
    properties = "".join(f"\\p{{{script}}}" for script in scripts)
    remover: Any = normalizers.Replace(Regex(f"[{properties}]"), "")
    remove: Callable[[str], str] = remover.normalize_str
    return remove


def _check(script: str) -> None:
    from tokenizers import Regex

    try:
        if script.replace("_", "").isalpha():
            Regex(f"\\p{{{script}}}")
            return
    except Exception:  # noqa: BLE001, S110 - the library raises nothing more precise
        pass
    raise InputError(
        f"{script!r} is no script of Unicode; there are {', '.join(_KNOWN[:6])} and others, by English names."
    )


def scripts_of(characters: Iterable[str]) -> list[str]:
    """Return the scripts in wide use to which at least one of these characters belongs."""
    text = "".join(characters)
    return [script for script in _KNOWN if len(_remover((script,))(text)) < len(text)]


PieceText = Callable[[str], str]
Description = dict[str, Any]

_SPACE = "▁"


def describe(tokenizer: Tokenizer) -> Description:
    """Return the content of ``tokenizer.json``. Raises `UnsupportedModelError` for an unsupported kind."""
    content: Description = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = content["model"]["type"]
    if kind not in ("Unigram", "WordPiece", "BPE", "WordLevel"):
        raise UnsupportedModelError(f"A vocabulary of the kind {kind!r} can't be trimmed.")
    return content


def piece_text(content: Description) -> PieceText:
    """Return a function that maps a piece to its text, without marks such as ``##`` and ``▁``.

    A byte-level piece may begin or end within a character; such an incomplete character is dropped.
    """
    if _is_byte_level(content):
        return _bytes_as_text
    prefix = content["model"].get("continuing_subword_prefix") or ""
    suffix = content["model"].get("end_of_word_suffix") or ""
    return lambda piece: piece.removeprefix(prefix).removesuffix(suffix).replace(_SPACE, "")


def _is_byte_level(content: Description) -> bool:
    return '"ByteLevel"' in json.dumps([content["pre_tokenizer"], content["normalizer"]])


def _bytes_as_text(piece: str) -> str:
    letters = BYTE_OF_LETTER
    if not all(letter in letters for letter in piece):  # an added token
        return piece
    return bytes(letters[letter] for letter in piece).decode("utf-8", "ignore").strip()


def always_kept(tokenizer: Tokenizer, content: Description) -> set[int]:
    """Return the ids that every trimmed vocabulary needs: added tokens, the unknown token, single bytes."""
    vocabulary = tokenizer.get_vocab()
    kept = set(tokenizer.get_added_vocab().values())
    model = content["model"]
    single = (f"<0x{byte:02X}>" for byte in range(256)) if model.get("byte_fallback") else ()
    letters = BYTE_OF_LETTER if _is_byte_level(content) else ()
    unknown = [] if model.get("unk_token") is None else [model["unk_token"]]
    kept |= {vocabulary[piece] for piece in (*single, *letters, *unknown) if piece in vocabulary}
    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        # The score of an unknown character is computed from the lowest score.
        kept.add(scores.index(min(scores)))
        kept |= set() if model["unk_id"] is None else {model["unk_id"]}
    return kept


def derivations(content: Description) -> Iterator[tuple[str, str, str]]:
    """Yield the merges of a BPE model as left part, right part and result; nothing for other kinds."""
    model = content["model"]
    prefix = model.get("continuing_subword_prefix") or ""
    for merge in model.get("merges") or ():
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield left, right, left + right.removeprefix(prefix)


def without_others(tokenizer: Tokenizer, content: Description, kept: Sequence[int]) -> Any:
    """Return the library's tokeniser with only the ``kept`` pieces, renumbered in this (ascending) order.

    Raises `CheckpointError` if it can't be built with these ids.
    """
    from tokenizers import Tokenizer as LibraryTokenizer

    former = {index: piece for piece, index in tokenizer.get_vocab().items()}
    numbers = {former[index]: number for number, index in enumerate(kept)}
    model = {**content["model"], "vocab": _vocabulary(content["model"], numbers, set(kept))}
    if model["type"] == "Unigram" and model["unk_id"] is not None:
        model["unk_id"] = numbers[former[model["unk_id"]]]
    if "merges" in model:
        both = zip(model["merges"], derivations(content), strict=True)
        model["merges"] = [merge for merge, parts in both if all(part in numbers for part in parts)]
    added = [{**token, "id": numbers[token["content"]]} for token in content["added_tokens"]]
    processor = _renumbered(content["post_processor"], numbers)
    new = {**content, "model": model, "added_tokens": added, "post_processor": processor}
    with library_errors(f"The vocabulary of {tokenizer.name_or_path!r} can't be trimmed", CheckpointError):
        backend = LibraryTokenizer.from_str(json.dumps(new))
    backend.encode_special_tokens = tokenizer.backend_tokenizer.encode_special_tokens
    for piece, number in numbers.items():
        if backend.token_to_id(piece) != number:
            raise CheckpointError(
                f"The vocabulary of {tokenizer.name_or_path!r} can't be renumbered: token {piece!r} "
                f"should get id {number} but gets {backend.token_to_id(piece)}."
            )
    return backend


def _vocabulary(model: dict[str, Any], numbers: dict[str, int], kept: set[int]) -> Any:
    if model["type"] == "Unigram":
        return [entry for index, entry in enumerate(model["vocab"]) if index in kept]
    return {piece: numbers[piece] for piece in model["vocab"] if piece in numbers}


def _renumbered(processor: Any, numbers: dict[str, int]) -> Any:
    """Return a post-processor of any kind with the new ids of special tokens."""
    if not isinstance(processor, dict):
        return processor
    new = dict(processor)
    if processor.get("type") == "Sequence":
        new["processors"] = [_renumbered(part, numbers) for part in processor["processors"]]
    for name in ("sep", "cls"):
        if name in processor:
            token = processor[name][0]
            new[name] = [token, numbers[token]]
    if isinstance(processor.get("special_tokens"), dict):
        new["special_tokens"] = {
            name: {**token, "ids": [numbers[piece] for piece in token["tokens"]]}
            for name, token in processor["special_tokens"].items()
        }
    return new


_BATCH = 1024  # texts that are tokenised at once


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The result of trimming.

    Attributes:
        kept: ``[V]``; the former id of each token of the new vocabulary, ascending.
        before: the former number of tokens of the tokeniser.
        after: the new number of tokens.
        parameters_before: the former number of parameters of the model.
        parameters_after: the new number of parameters.
        same_for: a description of the texts that are guaranteed to have the same pieces as before.
    """

    kept: NDArray[np.int64]
    before: int
    after: int
    parameters_before: int
    parameters_after: int
    same_for: str


def trim_vocabulary(
    model: str | os.PathLike[str],
    texts: Iterable[str] | None,
    output: str | os.PathLike[str],
    *,
    scripts: Sequence[str] | None = None,
    min_count: int = 1,
) -> Trimmed:
    """Write a copy of a model with only the pieces that the selected languages use.

    With ``scripts``, every piece written in these scripts is kept: any text in these scripts then has the
    same pieces and vectors as before. This is the safe choice. It is the default without ``texts``, with
    Hangul, Latin and Common (digits, punctuation, symbols). With ``texts``, the pieces that occur in the
    texts are kept, and the single characters of all scripts that occur. This results in a smaller vocabulary.
    *These* texts have the same pieces as before (if ``min_count`` is 1). Another text has the same pieces if
    all of them occurred in ``texts``; a piece that did not occur is replaced by shorter pieces. With both
    arguments, the pieces selected by either are kept.

    Special and added tokens are always kept, and so are all other pieces that are needed for identical
    results: the parts of the merges of BPE models, all single bytes, and the piece with the lowest score,
    from which a Unigram model computes the score of unknown characters.

    Args:
        model: a folder, catalogue name or hub repository.
        texts: texts in the selected languages; iterated once.
        output: the folder to write, new or empty. Sentence encoders are supported; heads over the vocabulary
            are trimmed too.
        scripts: names of Unicode scripts.
        min_count: the minimum number of occurrences of a piece in the texts.

    Raises `InputError` for an output folder that is not empty, unknown scripts and texts that are all empty,
    `UnsupportedModelError` for a tokeniser that is not Unigram, WordPiece, BPE or WordLevel, and what opening
    and saving a model raise.
    """
    folder = Path(output)
    check_empty(folder)
    opened = open_model(model)
    if texts is None and scripts is None:
        scripts = KOREAN_AND_ENGLISH
    chosen = _Choice(opened.tokenizer)
    # RoBERTa counts positions from the padding id, which therefore must not change.
    chosen.add_ids(range(opened.model.config.position_offset))
    if scripts is not None:
        chosen.add_scripts(scripts)
    if texts is not None:
        chosen.add_texts(texts, min_count)
    kept = chosen.closed()
    former_model, former_tokenizer = opened.model, opened.tokenizer
    backend = without_others(former_tokenizer, chosen.content, kept.tolist())
    opened.tokenizer = former_tokenizer.with_backend(backend)
    opened.model = _cut(former_model, kept)
    opened.save(folder)
    return Trimmed(
        kept,
        len(former_tokenizer),
        len(kept),
        _parameters(former_model),
        _parameters(opened.model),
        _same_for(scripts, texts is not None and min_count == 1),
    )


class _Choice:
    """The set of ids to keep."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.content = describe(tokenizer)
        self._text = piece_text(self.content)
        self._kept = always_kept(tokenizer, self.content)

    def add_ids(self, ids: Iterable[int]) -> None:
        self._kept |= set(ids) & set(self.tokenizer.get_vocab().values())

    def add_scripts(self, scripts: Sequence[str]) -> None:
        fits = in_scripts(scripts)
        self._kept |= {i for piece, i in self.tokenizer.get_vocab().items() if fits(self._text(piece))}

    def add_texts(self, texts: Iterable[str], min_count: int) -> None:
        counts, characters = self._count(texts)
        self._kept |= set(np.flatnonzero(counts >= max(min_count, 1)).tolist())
        fits = in_scripts(scripts_of(characters))
        for piece, index in self.tokenizer.get_vocab().items():
            text = self._text(piece)
            if len(text) <= 1 and (fits(text) or text in characters):
                self._kept.add(index)

    def _count(self, texts: Iterable[str]) -> tuple[NDArray[np.int64], set[str]]:
        """Count each id in the texts. Return the counts and the set of characters in the normalised texts."""
        counts = np.zeros(max(self.tokenizer.get_vocab().values()) + 1, dtype=np.int64)
        characters: set[str] = set()
        for batch in _batches(texts):
            characters.update(*map(self.tokenizer.normalized, batch))
            encodings = self.tokenizer.encode_batch(batch, add_special_tokens=False, truncation=False)
            ids = [encoding.input_ids for encoding in encodings if encoding.input_ids]
            if ids:
                counts += np.bincount(np.concatenate(ids), minlength=len(counts))
        if not counts.any():
            raise InputError("There is no text to choose pieces by: the texts are empty.")
        return counts, characters

    def closed(self) -> NDArray[np.int64]:
        """Return the ids, ascending, including the parts of their merges, recursively."""
        vocabulary = self.tokenizer.get_vocab()
        parts: dict[int, set[int]] = {}
        for left, right, result in derivations(self.content):
            if left in vocabulary and right in vocabulary and result in vocabulary:
                parts.setdefault(vocabulary[result], set()).update((vocabulary[left], vocabulary[right]))
        todo = list(self._kept)
        while todo:
            new = parts.get(todo.pop(), set()) - self._kept
            self._kept |= new
            todo += new
        return np.array(sorted(self._kept), dtype=np.int64)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    if isinstance(texts, str):
        raise InputTypeError("texts is a list or another iterable of texts, not one text.")
    source = iter(texts)
    while batch := list(islice(source, _BATCH)):
        for text in batch:
            if not isinstance(text, str):
                raise InputTypeError(f"A text is a str, not {text!r} of type {type(text).__name__}.")
        yield list(map(nfc, batch))


def _cut(model: Model, kept: NDArray[np.int64]) -> Model:
    names = model.architecture.vocabulary_tensors(Params(model.weights))
    tables = {name: model.weights[name][kept] for name in names}
    weights: Any = ChainMap(tables, model.weights)  # type: ignore[arg-type] # read, never written
    return Model(_config(model.raw_config, kept), weights, backend="numpy")


def _config(config: dict[str, Any], kept: NDArray[np.int64]) -> dict[str, Any]:
    """Return a config with the new size and ids; ids of removed tokens are left out."""
    numbers = {former: number for number, former in enumerate(kept.tolist())}
    new = dict(config)
    for key, value in config.items():
        if key.endswith("_token_id") and isinstance(value, int):
            if value in numbers:
                new[key] = numbers[value]
            else:
                del new[key]
    return {**new, "vocab_size": len(kept)}


def _parameters(model: Model) -> int:
    return sum(int(np.prod(model.weights[name].shape)) for name in model.weights)


def _same_for(scripts: Sequence[str] | None, texts: bool) -> str:
    parts = []
    if scripts is not None:
        parts.append(f"all texts in {', '.join(scripts)}")
    if texts:
        parts.append("the given texts")
    return " and ".join(parts) or "no texts for certain: min_count left rare pieces out"
