"""The tokeniser's half of trimming: what each piece stands for, which pieces need which, and the new file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from munjang.errors import CheckpointError, UnsupportedModelError
from munjang.tokenization.library import library_errors

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

__all__ = ["PieceText", "always_kept", "derivations", "describe", "piece_text", "without_others"]

PieceText = Callable[[str], str]
Description = dict[str, Any]

_SPACE = "▁"


def describe(tokenizer: Tokenizer) -> Description:
    """Give ``tokenizer.json`` as it would be written; `UnsupportedModelError` for a kind we can't trim."""
    content: Description = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = content["model"]["type"]
    if kind not in ("Unigram", "WordPiece", "BPE", "WordLevel"):
        raise UnsupportedModelError(f"A vocabulary of the kind {kind!r} can't be trimmed.")
    return content


def piece_text(content: Description) -> PieceText:
    """Give a function from a piece to the text it stands for, without marks such as ``##`` and ``▁``.

    A byte-level piece may begin or end within a character; that part of it stands for nothing.
    """
    if _is_byte_level(content):
        return _bytes_as_text
    prefix = content["model"].get("continuing_subword_prefix") or ""
    suffix = content["model"].get("end_of_word_suffix") or ""
    return lambda piece: piece.removeprefix(prefix).removesuffix(suffix).replace(_SPACE, "")


def _is_byte_level(content: Description) -> bool:
    return '"ByteLevel"' in json.dumps([content["pre_tokenizer"], content["normalizer"]])


def _bytes_as_text(piece: str) -> str:
    letters = _byte_letters()
    if not all(letter in letters for letter in piece):  # an added token
        return piece
    return bytes(letters[letter] for letter in piece).decode("utf-8", "ignore").strip()


def _byte_letters() -> dict[str, int]:
    """Letter -> byte of GPT-2's byte-level pair encoding: printable ones stand for themselves."""
    if not _LETTERS:
        plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in plain]
        _LETTERS.update({chr(byte): byte for byte in plain})
        _LETTERS.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    return _LETTERS


_LETTERS: dict[str, int] = {}


def always_kept(tokenizer: Tokenizer, content: Description) -> set[int]:
    """Give the ids that every trimmed vocabulary needs: added tokens, the unknown one, all single bytes."""
    vocabulary = tokenizer.get_vocab()
    kept = set(tokenizer.get_added_vocab().values())
    model = content["model"]
    single = (f"<0x{byte:02X}>" for byte in range(256)) if model.get("byte_fallback") else ()
    letters = _byte_letters() if _is_byte_level(content) else ()
    unknown = [] if model.get("unk_token") is None else [model["unk_token"]]
    kept |= {vocabulary[piece] for piece in (*single, *letters, *unknown) if piece in vocabulary}
    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        # The score of an unknown character is reckoned from the lowest of all.
        kept.add(scores.index(min(scores)))
        kept |= set() if model["unk_id"] is None else {model["unk_id"]}
    return kept


def derivations(content: Description) -> Iterator[tuple[str, str, str]]:
    """Give the merges of a pair encoding as left part, right part and result; nothing for other kinds."""
    model = content["model"]
    prefix = model.get("continuing_subword_prefix") or ""
    for merge in model.get("merges") or ():
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield left, right, left + right.removeprefix(prefix)


def without_others(tokenizer: Tokenizer, content: Description, kept: Sequence[int]) -> Any:
    """Give the library's tokeniser with the ``kept`` pieces alone, numbered in this (ascending) order.

    Raises `CheckpointError` if it can't be built with these numbers.
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
                f"The vocabulary of {tokenizer.name_or_path!r} can't be numbered anew: token {piece!r} "
                f"should get id {number} but gets {backend.token_to_id(piece)}."
            )
    return backend


def _vocabulary(model: dict[str, Any], numbers: dict[str, int], kept: set[int]) -> Any:
    if model["type"] == "Unigram":
        return [entry for index, entry in enumerate(model["vocab"]) if index in kept]
    return {piece: numbers[piece] for piece in model["vocab"] if piece in numbers}


def _renumbered(processor: Any, numbers: dict[str, int]) -> Any:
    """Put the new ids of special tokens into a post-processor of any kind."""
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
