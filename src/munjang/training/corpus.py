"""`TokenCorpus`: text files as token ids on disk, so that training reads them without tokenising again.

The folder holds ``tokens.bin`` (all ids, one after another), ``texts.bin`` (where each text begins),
``documents.bin`` (where each document begins, in texts), ``word_starts.bin`` (a byte for each piece of the
vocabulary) and ``corpus.json``, which is written last. All numbers are
little-endian. Everything is memory-mapped: what is not read takes no memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints.files import read_json
from munjang.errors import CheckpointError, DataFileError, InputError
from munjang.training.corpus_build import FORMAT, build, fingerprint, is_whole
from munjang.training.corpus_part import Part
from munjang.training.text_files import Files, file_list

if TYPE_CHECKING:
    from munjang.tokenization import Tokenizer

__all__ = ["TokenCorpus"]


class TokenCorpus:
    """Texts as token ids without special tokens; made by `build` or `open`.

    Attributes:
        tokens: ``[T]`` uint16 or uint32, all texts one after another.
        offsets: ``[n + 1]`` int64; text i is ``tokens[offsets[i]:offsets[i + 1]]``.
        documents: ``[d + 1]`` int64; document j is the texts from ``documents[j]`` to ``documents[j + 1]``.
            Unless it was built with ``sentences=True``, each text is a document.
        word_starts: ``[V]`` bool; whether a piece of the vocabulary begins a word, so that
            ``corpus.word_starts[corpus[i]]`` is the bit per token. ``None`` if the vocabulary can't tell.
        vocabulary_size: V, of the tokeniser that it was built with.
        sentences: whether texts are sentences and blank lines separated the documents.
        fingerprint: tells what the corpus was made of: files, tokeniser, settings.
        vocabulary: a mark of the pieces and their ids, as `vocabulary_mark` gives it for a tokeniser.
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
        """Tokenise text files (``.gz`` too) into a folder, or open it if that has been done.

        Each line is a document. With ``sentences`` a line is a sentence, and blank lines and the ends of
        files separate documents, as next-sentence prediction needs. What looks like a special token, such as
        ``[MASK]``, is read as plain text. Every text is brought to NFC.

        A corpus in the folder is used as it is if it was made from the same files (by name, size and time of
        change), tokeniser and settings, and replaced otherwise. It is put in place when it is whole; two
        processes that build the same one do so once. ``advance`` is told how many more lines have been read.
        With a ``part``, only some of the documents are taken: those held out, or the others.

        Raises `DataFileError` for files that can't be read, are not of this encoding (with the line), or have
        no text, for a folder that holds something else, and when there is no room; `InputError` also for a
        part that has no text.
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
            advance=advance or (lambda _: None),
            part=part,
        )
        return cls(target)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> TokenCorpus:
        """Open what `build` made. Raises `DataFileError` if it is not there or broken."""
        return cls(Path(folder))

    def __len__(self) -> int:
        """Count the texts."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Give the ids of a text, ``[L]``, read-only; negative indices count from the end."""
        i = range(len(self))[index]
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Go through the texts."""
        return map(self.__getitem__, range(len(self)))

    def document(self, index: int) -> range:
        """Give the numbers of a document's texts."""
        i = range(len(self.documents) - 1)[index]
        return range(int(self.documents[i]), int(self.documents[i + 1]))

    def spans(self, longest: int, *, by: str = "text") -> NDArray[np.int64]:
        """Cut everything into spans ``[n, 2]`` of at most ``longest`` tokens: from and to in `tokens`.

        No span goes beyond a text, or with ``by="document"`` beyond a document. A longer one is cut into
        spans of nearly equal length, so that there are no tiny rests. Raises `InputError` for a length below
        1 and another ``by``.
        """
        if longest < 1:
            raise InputError(f"longest must be at least 1 token, got {longest}.")
        if by not in ("text", "document"):
            raise InputError(f"by must be 'text' or 'document', got {by!r}.")
        edges = self.offsets if by == "text" else self.offsets[self.documents]
        lengths = np.diff(edges)
        counts = -(-lengths // longest)
        whole = np.repeat(np.arange(len(lengths)), counts)
        place = np.arange(len(whole)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = edges[whole] + lengths[whole] * place // counts[whole]
        last = edges[whole] + lengths[whole] * (place + 1) // counts[whole]
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
