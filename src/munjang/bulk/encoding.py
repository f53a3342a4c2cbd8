"""Bulk encoding of a file of any size into a file of vectors, in bounded memory, resumable after a kill."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from munjang.bulk.checkpoint import Staging, exclusive_lock, spooled, translated_errors
from munjang.bulk.writers import check_output, write_output
from munjang.data.files import DataFile
from munjang.errors import DataFileError, InputError
from munjang.progress import Advance, no_advance
from munjang.runtime.notices import TruncationWarning
from munjang.sentence.encoding import EncodeOptions, chunks
from munjang.sentence.similarity import PROBE
from munjang.sentence.transformer import EncodeCall, SentenceTransformer

if TYPE_CHECKING:
    from munjang.choices import Precision
    from munjang.models.config import EncoderConfig

# Rows are saved after each chunk. Its size depends only on the texts and the model, so that a resumed run
# makes the same chunks; a typical CPU takes a few seconds per chunk, for any model.
_CHUNK_WORK = 4e11  # multiplications, with a token for each character
_CHUNK_CHARACTERS = (2_000, 100_000)  # minimum and maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOptions:
    """Options of the encoding, with the names and meanings of `SentenceTransformer.encode`."""

    prompt_name: str | None = None
    prompt: str | None = None
    normalize: bool = False
    truncate_dim: int | None = None
    precision: Precision = "float32"
    batch_size: int | None = None

    def encode_options(self, prompt: str) -> EncodeOptions:
        """Return the checked options, with the text of the prompt."""
        return EncodeOptions(
            prompt=prompt,
            normalize_embeddings=self.normalize,
            truncate_dim=self.truncate_dim,
            precision=self.precision,
            batch_size=self.batch_size,
        )


class BulkEncoding:
    """The encoding of one file into another; use it as a context manager.

    Entering checks both files, reads the input once (so an invalid row in the last line is found before the
    first vector is computed) and locks the output. Then `start` returns the number of rows from an earlier
    killed run, `run` encodes the other rows, and `finish` writes the output atomically. The output of a
    resumed run is identical, byte for byte, to that of an uninterrupted run. Memory does not grow with the
    file.

    Args:
        source: the file of texts; standard input and pipes are copied to the disk first.
        output: a file that ends in ``.npy``, for a matrix ``[rows, d]``, or in ``.jsonl`` or ``.parquet``,
            for ``id``, ``text`` and ``embedding``.
        options: of the encoding.
        restart: discard the checkpoint of an earlier run.

    Entering and each step raise `DataFileError` for an invalid input or if the output can't be written, and
    `InputError` for invalid options, and if an earlier run had other input or settings.
    """

    def __init__(
        self, source: DataFile, output: Path, options: BulkOptions | None = None, *, restart: bool = False
    ) -> None:
        self._source = source
        self._output = output
        self._options = options or BulkOptions()
        self._restart = restart
        self._resources = ExitStack()
        self._staging: Staging | None = None
        self.rows = 0
        self.width = 0

    def __enter__(self) -> BulkEncoding:
        """Check the files, and count the rows."""
        self._options.encode_options("")  # raises the errors of invalid options before the input is read
        check_output(self._output)
        with self._resources as resources, translated_errors(self._output):
            resources.enter_context(exclusive_lock(self._output))
            if not self._source.rereadable:
                self._source = resources.enter_context(spooled(self._source, self._output))
            if self._output.suffix.lower() == ".npy":
                self._source = replace(self._source, ids=False)  # the output has none
            self._source = self._source.with_quoting()  # it is part of the run's identity
            self._stamp = _stamp(self._source)
            with Path(self._source.path).open("rb") as file:
                self._digest = hashlib.file_digest(file, "sha256").hexdigest()
            self.rows, self._column = _count(self._source)
            self._resources = resources.pop_all()
        if Path(self._source.path).resolve() == self._output.resolve():
            raise InputError(f"The input and the output are the same file, '{self._output}'.")
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the files needed to resume, and delete the other temporary files."""
        with self._resources:
            if self._staging is not None and self._staging.owned and not self._staging.rows:
                self._staging.discard()

    @property
    def done(self) -> int:
        """Number of durable rows."""
        return self._staging.rows if self._staging else 0

    def start(self, model: SentenceTransformer, model_name: str) -> int:
        """Start or resume; return the number of rows that exist already."""
        options = self._options
        prompt = model.settings.prompt_text(options.prompt_name, options.prompt)
        checked = options.encode_options(prompt)
        checked.check_ranges(self.rows)
        # Vectors are staged truncated and normalised, not quantised.
        chosen = replace(
            checked,
            precision="float32",
            truncate_dim=checked.truncate_dim or model.get_sentence_embedding_dimension(),
        )
        self._call = EncodeCall(model, chosen)
        (probe,) = EncodeCall(model, chosen).stream([PROBE], no_advance)
        settings = asdict(options)
        for without_effect in ("prompt_name", "batch_size"):
            del settings[without_effect]
        identity = {
            "input": self._digest,
            "column": self._column,
            "encoding": self._source.encoding,
            "quoting": self._source.quoting,
            "header": self._source.header,
            "pooling": "+".join(model.pooling.modes),
            "max_seq_length": model.max_seq_length,
            "dtype": model.model.dtype,
            **settings,
            "prompt": prompt,
        }
        self.width = len(probe)
        self._chunk_characters = _chunk_characters(model.model.config)
        self._staging = Staging(self._output, (self.rows, len(probe)), model_name, identity, probe)
        with translated_errors(self._output):
            self._staging.begin(restart=self._restart)
        return self._staging.rows

    def run(self, advance: Advance) -> None:
        """Encode the missing rows; ``advance`` is called with the number of rows done."""
        staging = self._started()
        with _last_truncation_warning(), translated_errors(self._output):
            rows = (row.text for row in islice(self._source, staging.rows, None))
            for texts in chunks(rows, len, characters=self._chunk_characters):
                staging.append(np.stack(list(self._call.stream(texts, advance))))
        self._check_unchanged(staging.rows)

    def finish(self, advance: Advance) -> None:
        """Write the output and delete the files beside it."""
        staging = self._started()
        with translated_errors(self._output):
            write_output(staging, self._source, self._output, self._options.precision, advance)

    def _started(self) -> Staging:
        if self._staging is None:
            raise InputError("BulkEncoding.start must be called first.")
        return self._staging

    def _check_unchanged(self, rows: int) -> None:
        if rows != self.rows or _stamp(self._source) != self._stamp:
            raise DataFileError(f"{self._source.name} was changed while it was read; pass restart=True.")


def _chunk_characters(config: EncoderConfig) -> int:
    """Return the number of characters that a model encodes in a few seconds."""
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    fewest, most = _CHUNK_CHARACTERS
    return max(fewest, min(most, round(_CHUNK_WORK / (config.num_hidden_layers * layer))))


def _count(source: DataFile) -> tuple[int, str]:
    """Read all rows once; return their number and the column of the texts."""
    count, column = 0, ""
    for row in source:
        count, column = row.number + 1, row.column
    return count, column


def _stamp(source: DataFile) -> tuple[int, int]:
    status = Path(source.path).stat()
    return status.st_size, status.st_mtime_ns


@contextmanager
def _last_truncation_warning() -> Iterator[None]:
    """Emit only the last truncation warning at the end, since each warning counts all texts so far."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TruncationWarning)
        yield
    last: dict[Any, Warning | str] = {}
    for warning in caught:
        is_truncation = issubclass(warning.category, TruncationWarning)
        last[TruncationWarning if is_truncation else str(warning.message)] = warning.message
    for message in last.values():
        warnings.warn(message, stacklevel=3)
