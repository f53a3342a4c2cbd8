"""How a `TokenCorpus` is made: whole or not at all, once for several processes."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from munjang.checkpoints.files import flush, read_json, write_json
from munjang.errors import DataFileError, InputError, MunjangError
from munjang.tokenization import nfc
from munjang.tokenization.library import library_errors
from munjang.training.corpus_part import Part
from munjang.training.text_files import lines_of
from munjang.training.word_starts import word_starts

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

__all__ = ["FORMAT", "build", "fingerprint", "is_whole", "vocabulary_mark"]

FORMAT = 2
_CHARACTERS = 1_000_000  # of text that are tokenised at once


def vocabulary_mark(tokenizer: Tokenizer) -> str:
    """Tell vocabularies apart: equal marks mean the same pieces with the same ids."""
    pieces = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(repr(pieces).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def fingerprint(
    paths: Sequence[str], tokenizer: Tokenizer, *, sentences: bool, encoding: str, part: Part | None = None
) -> str:
    """Tell apart what a corpus is made of: files by name, size and time of change, tokeniser, settings."""
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    for path in paths:
        about = Path(path).stat()
        digest.update(repr((str(Path(path).absolute()), about.st_size, about.st_mtime_ns)).encode())
    digest.update(repr((FORMAT, sentences, encoding, part)).encode())
    return digest.hexdigest()


def build(
    paths: Sequence[str],
    tokenizer: Tokenizer,
    folder: Path,
    mark: str,
    *,
    sentences: bool,
    encoding: str,
    advance: Callable[[int], None],
    part: Part | None = None,
) -> None:
    """Put a corpus of these files into a folder, unless the one that is there fits."""
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if _fits(folder, mark):
                return
            _check_replaceable(folder)
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
                new = Path(temporary) / "new"
                new.mkdir()
                about = _write(paths, tokenizer, new, sentences, encoding, advance, part)
                write_json(new / "corpus.json", {**about, "fingerprint": mark})
                flush(new)
                _take_place(new, folder, Path(temporary) / "old")
    except MunjangError:  # some of them are an OSError too
        raise
    except OSError as error:
        raise DataFileError(
            f"Can't write the corpus '{folder}': {error.strerror or error}. Choose another folder or make "
            "room."
        ) from error


def _fits(folder: Path, mark: str) -> bool:
    if not (folder / "corpus.json").is_file():
        return False
    try:
        about = read_json(folder / "corpus.json")
    except MunjangError:
        return False
    return isinstance(about, dict) and about.get("fingerprint") == mark and is_whole(folder, about)


def is_whole(folder: Path, about: dict[str, Any]) -> bool:
    """Say whether the files of a corpus are there and as long as they were."""
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in about["sizes"].items()
    )


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir():
        if folder.exists():
            raise DataFileError(f"'{folder}' is a file; name a folder for the corpus.")
        return
    if any(folder.iterdir()) and not (folder / "corpus.json").is_file():
        raise DataFileError(f"'{folder}' holds something else than a corpus; name an empty or new folder.")


def _take_place(new: Path, folder: Path, old: Path) -> None:
    # A corpus that somebody still has mapped stays whole for them.
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write(
    paths: Sequence[str],
    tokenizer: Tokenizer,
    folder: Path,
    sentences: bool,
    encoding: str,
    advance: Callable[[int], None],
    part: Part | None,
) -> dict[str, Any]:
    size = max(tokenizer.get_vocab().values()) + 1
    dtype = "<u2" if size <= 1 << 16 else "<u4"
    with (
        (folder / "tokens.bin").open("wb") as tokens,
        (folder / "texts.bin").open("wb") as texts,
        (folder / "documents.bin").open("wb") as documents,
    ):
        writer = _Writer(tokens, texts, documents, dtype)
        backend = _plain_backend(tokenizer)
        for lines in _lines(paths, encoding, sentences, part):
            for document in _tokenized(lines, backend, sentences, advance):
                writer.add(document)
    if not writer.texts:
        if part is not None:
            raise part.is_empty()
        raise DataFileError("The files have no text that the tokeniser has tokens for.")
    (folder / "word_starts.bin").write_bytes(_word_starts(tokenizer))
    return {
        "format": FORMAT,
        "dtype": dtype,
        "sentences": sentences,
        "vocabulary_size": size,
        "vocabulary": vocabulary_mark(tokenizer),
        "sizes": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }


def _lines(
    paths: Sequence[str], encoding: str, sentences: bool, part: Part | None
) -> Iterator[Iterator[str]]:
    """Give the lines of one file after another."""
    files = (lines_of(path, encoding) for path in paths)
    return files if part is None else part.of_files(files, sentences=sentences)


def _word_starts(tokenizer: Tokenizer) -> bytes:
    try:
        return word_starts(tokenizer).tobytes()
    except InputError:  # only whole-word masking needs it, and will say so
        return b""


class _Writer:
    """Appends documents to the three files and counts."""

    def __init__(self, tokens: IO[bytes], texts: IO[bytes], documents: IO[bytes], dtype: str) -> None:
        self._files, self._dtype = (tokens, texts, documents), dtype
        self.tokens = self.texts = self.documents = 0
        texts.write(_number(0))
        documents.write(_number(0))

    def add(self, document: Sequence[Sequence[int]]) -> None:
        """Write a document, given as the ids of its texts; texts without tokens are left out."""
        tokens, texts, documents = self._files
        kept = [ids for ids in document if ids]
        if not kept:
            return
        ends = self.tokens + np.cumsum([len(ids) for ids in kept])
        tokens.write(np.concatenate(kept).astype(self._dtype).tobytes())
        texts.write(ends.astype("<i8").tobytes())
        self.tokens, self.texts, self.documents = (
            int(ends[-1]),
            self.texts + len(kept),
            self.documents + 1,
        )
        documents.write(_number(self.texts))


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _plain_backend(tokenizer: Tokenizer) -> Any:
    """Give a tokeniser of its own for which special tokens in a text are plain text."""
    backend = tokenizer.backend_tokenizer
    own = type(backend).from_str(backend.to_str())
    own.encode_special_tokens = True
    return own


def _tokenized(
    lines: Iterator[str], backend: Any, sentences: bool, advance: Callable[[int], None]
) -> Iterator[list[list[int]]]:
    """Give documents as the ids of their texts."""
    document: list[list[int]] = []
    for batch in _batches(lines, advance):
        with library_errors("The tokeniser can't encode these lines", InputError):
            encodings = iter(
                backend.encode_batch_fast([line for line in batch if line], add_special_tokens=False)
            )
        for line in batch:
            if line:
                document.append(next(encodings).ids)
            if document and not (line and sentences):
                yield document
                document = []
    if document:
        yield document


def _batches(lines: Iterator[str], advance: Callable[[int], None]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for line in lines:
        batch.append(nfc(line))
        characters += len(line) + 1
        if characters >= _CHARACTERS:
            yield batch
            advance(len(batch))
            batch, characters = [], 0
    yield batch
    advance(len(batch))
