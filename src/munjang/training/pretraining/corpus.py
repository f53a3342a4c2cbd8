"""`TokenCorpus`: text files as token ids on disk, so that training reads them without tokenising again.

The folder holds ``tokens.bin`` (the concatenated ids of all texts), ``texts.bin`` (the offset of each text),
``documents.bin`` (the offset of each document, in texts), ``word_starts.bin`` (a byte for each piece of the
vocabulary) and ``corpus.json``, which is written last. All numbers are little-endian. The ids and offsets are
memory-mapped: parts that are not read take no memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints.files import flush, read_json, write_json
from munjang.data.readers.texts import Files, file_list, lines_of
from munjang.errors import CheckpointError, DataFileError, InputError, MunjangError
from munjang.progress import no_advance
from munjang.tokenization import nfc
from munjang.tokenization.limits import library_errors
from munjang.tokenization.pieces import word_starts

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

_DRAWS = 4096  # random numbers that are drawn at a time


@dataclass(frozen=True, slots=True)
class Part:
    """A random sample of the documents, or all other documents; the same for the same seed.

    The files are read as a stream, so the number of held-out documents is only approximately the share.

    Attributes:
        share: the probability with which a document is held out.
        held_out: whether the part is the held-out documents or the other documents.
        seed: the seed of the sample.

    Raises `InputError` for a share that is not between 0 and 1.
    """

    share: float
    held_out: bool
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, float) or not 0 < self.share < 1:
            raise InputError(f"The share to hold out must be between 0 and 1, got {self.share!r}.")

    def of_files(self, files: Iterable[Iterator[str]], *, sentences: bool) -> Iterator[Iterator[str]]:
        """Yield the lines of each file, with blank lines instead of documents that are not in the part.

        Each line is a document; with ``sentences`` blank lines and the ends of files separate documents.
        """
        draws = self._draws()
        return (self._of_file(lines, draws, sentences) for lines in files)

    def _draws(self) -> Iterator[bool]:
        rng = np.random.default_rng([self.seed, 19])
        while True:
            yield from ((rng.random(_DRAWS) < self.share) == self.held_out).tolist()

    def _of_file(self, lines: Iterator[str], draws: Iterator[bool], sentences: bool) -> Iterator[str]:
        chosen = inside = False
        for line in lines:
            if line and not (inside and sentences):  # a document begins
                chosen = next(draws)
            inside = bool(line)
            yield line if chosen else ""

    def is_empty(self) -> InputError:
        """Return the error for a part without text."""
        purpose = "measure on" if self.held_out else "learn from"
        return InputError(
            f"Holding out {self.share:g} of the texts leaves none to {purpose}; choose another share, or "
            "give more text."
        )


FORMAT = 2
_CHARACTERS = 1_000_000  # characters of text that are tokenised at once


def vocabulary_mark(tokenizer: Tokenizer) -> str:
    """Return a hash of a vocabulary: equal hashes mean the same pieces with the same ids."""
    pieces = sorted(tokenizer.get_vocab().items())
    return hashlib.sha256(repr(pieces).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def fingerprint(
    paths: Sequence[str], tokenizer: Tokenizer, *, sentences: bool, encoding: str, part: Part | None = None
) -> str:
    """Return a hash of a corpus's sources: files (path, size, modification time), tokeniser and settings."""
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
    """Build a corpus of these files in a folder, unless the folder already holds an up-to-date corpus."""
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
    except MunjangError:  # some subclasses are also OSErrors
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
    """Return whether all files of a corpus exist with the recorded sizes."""
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
    # Renaming keeps the old files intact for processes that still have them memory-mapped.
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
    """Yield the lines of each file as an iterator."""
    files = (lines_of(path, encoding) for path in paths)
    return files if part is None else part.of_files(files, sentences=sentences)


def _word_starts(tokenizer: Tokenizer) -> bytes:
    try:
        return word_starts(tokenizer).tobytes()
    except InputError:  # only whole-word masking needs it, and raises an error itself
        return b""


class _Writer:
    """Appends documents to the three files, and counts tokens, texts and documents."""

    def __init__(self, tokens: IO[bytes], texts: IO[bytes], documents: IO[bytes], dtype: str) -> None:
        self._files, self._dtype = (tokens, texts, documents), dtype
        self.tokens = self.texts = self.documents = 0
        texts.write(_number(0))
        documents.write(_number(0))

    def add(self, document: Sequence[Sequence[int]]) -> None:
        """Write a document from the ids of its texts; texts without tokens are left out."""
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
    """Return a copy of the tokeniser that treats special tokens in a text as plain text."""
    backend = tokenizer.backend_tokenizer
    own = type(backend).from_str(backend.to_str())
    own.encode_special_tokens = True
    return own


def _tokenized(
    lines: Iterator[str], backend: Any, sentences: bool, advance: Callable[[int], None]
) -> Iterator[list[list[int]]]:
    """Yield documents as the ids of their texts."""
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


class TokenCorpus:
    """Texts as token ids without special tokens; created by `build` or `open`.

    Attributes:
        tokens: ``[T]`` uint16 or uint32, the concatenated ids of all texts.
        offsets: ``[n + 1]`` int64; text i is ``tokens[offsets[i]:offsets[i + 1]]``.
        documents: ``[d + 1]`` int64; document j is the texts from ``documents[j]`` to ``documents[j + 1]``.
            Without ``sentences=True`` in `build`, each text is a document.
        word_starts: ``[V]`` bool; whether a piece of the vocabulary begins a word, so that
            ``corpus.word_starts[corpus[i]]`` is the flag of each token. ``None`` if the pieces of the
            vocabulary do not show this.
        vocabulary_size: V, the vocabulary size of the tokeniser that the corpus was built with.
        sentences: whether texts are sentences and blank lines separated the documents.
        fingerprint: a hash of the sources of the corpus: files, tokeniser, settings.
        vocabulary: a hash of the pieces and their ids, as `vocabulary_mark` returns it for a tokeniser.
    """

    def __init__(self, folder: Path) -> None:
        about = _read_about(folder)
        try:
            self.tokens: NDArray[Any] = np.memmap(folder / "tokens.bin", dtype=about["dtype"], mode="r")
            self.offsets: NDArray[np.int64] = np.memmap(folder / "texts.bin", dtype="<i8", mode="r")
            self.documents: NDArray[np.int64] = np.memmap(folder / "documents.bin", dtype="<i8", mode="r")
            starts = (folder / "word_starts.bin").read_bytes()
        except OSError as error:
            raise DataFileError(f"Can't read the corpus '{folder}': {error.strerror or error}.") from error
        self.word_starts = np.frombuffer(starts, dtype=np.bool_) if starts else None
        self.vocabulary_size: int = about["vocabulary_size"]
        self.sentences: bool = about["sentences"]
        self.fingerprint: str = about["fingerprint"]
        self.vocabulary: str = about["vocabulary"]

    @classmethod
    def build(
        cls,
        files: Files,
        tokenizer: Tokenizer,
        folder: str | os.PathLike[str],
        *,
        sentences: bool = False,
        encoding: str = "utf-8",
        advance: Callable[[int], None] | None = None,
        part: Part | None = None,
    ) -> TokenCorpus:
        """Tokenise text files (``.gz`` too) into a folder, or open the folder if it is up to date.

        Each line is a document. With ``sentences`` a line is a sentence, and blank lines and the ends of
        files separate documents, as next-sentence prediction needs. Text that looks like a special token,
        such as ``[MASK]``, is treated as plain text. Every text is normalised to NFC.

        An existing corpus in the folder is reused if it was built from the same files (path, size,
        modification time), tokeniser and settings; a stale corpus is replaced. The new corpus is moved to the
        folder when it is complete. A file lock ensures that two processes build the same corpus only once.
        ``advance`` is called with the number of further lines read. With a ``part``, only the held-out
        documents, or only the other documents, are used.

        Raises `DataFileError` for files that can't be read, are not in this encoding (with the line), or have
        no text, for a folder that holds other files, and if the disk is full; `InputError` also for a part
        without text.
        """
        paths, target = file_list(files), Path(folder)
        mark = fingerprint(paths, tokenizer, sentences=sentences, encoding=encoding, part=part)
        build(
            paths,
            tokenizer,
            target,
            mark,
            sentences=sentences,
            encoding=encoding,
            advance=advance or no_advance,
            part=part,
        )
        return cls(target)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> TokenCorpus:
        """Open a corpus that `build` created. Raises `DataFileError` if it is missing or damaged."""
        return cls(Path(folder))

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return the ids of a text, ``[L]``, read-only; negative indices count from the end."""
        i = range(len(self))[index]
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Return an iterator over the texts."""
        return map(self.__getitem__, range(len(self)))

    def document(self, index: int) -> range:
        """Return the indices of a document's texts."""
        i = range(len(self.documents) - 1)[index]
        return range(int(self.documents[i]), int(self.documents[i + 1]))

    def spans(self, longest: int, *, by: str = "text") -> NDArray[np.int64]:
        """Split all texts into spans ``[n, 2]`` of at most ``longest`` tokens: start and end in `tokens`.

        No span crosses the end of a text, or with ``by="document"`` of a document. A longer text or document
        is split into spans of nearly equal length, so that there are no tiny remainders. Raises `InputError`
        for a ``longest`` below 1 and an unknown ``by``.
        """
        if longest < 1:
            raise InputError(f"longest must be at least 1 token, got {longest}.")
        if by not in ("text", "document"):
            raise InputError(f"by must be 'text' or 'document', got {by!r}.")
        edges = self.offsets if by == "text" else self.offsets[self.documents]
        lengths = np.diff(edges)
        counts = -(-lengths // longest)
        whole = np.repeat(np.arange(len(lengths)), counts)
        index = np.arange(len(whole)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = edges[whole] + lengths[whole] * index // counts[whole]
        last = edges[whole] + lengths[whole] * (index + 1) // counts[whole]
        return np.stack([first, last], axis=1)


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = read_json(folder / "corpus.json")
    except CheckpointError as error:
        raise DataFileError(f"'{folder}' holds no corpus of tokens: {error}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise DataFileError(f"'{folder}' holds no corpus of tokens that this version reads; build it again.")
    if not is_whole(folder, about):
        raise DataFileError(
            f"The corpus '{folder}' is broken (files are missing or cut off); build it again."
        )
    return about
