"""Encoding a file into a file: the same vectors as `encode`, and errors."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from munjang import SentenceTransformer
from munjang.bulk.encoding import BulkEncoding, BulkOptions
from munjang.choices import Precision
from munjang.data.files import DataFile
from munjang.errors import DataFileError, InputError, InputTypeError, MissingExtraError, MunjangError
from munjang.runtime.notices import TruncationWarning
from munjang.util import quantize_embeddings
from support.bulk import ROWS, StopError, beside, make, text

# What comes out


def test_npy_holds_the_vectors_of_encode(model: SentenceTransformer, whole: Path) -> None:
    vectors = np.load(whole)
    expected = model.encode([text(number) for number in range(ROWS)])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert beside(whole) == ["whole.npy"]


@pytest.mark.parametrize(
    "options",
    [
        BulkOptions(prompt_name="document", normalize=True),
        BulkOptions(prompt="것: ", truncate_dim=5),
        BulkOptions(truncate_dim=9, normalize=True, batch_size=2),
    ],
)
def test_the_options_are_those_of_encode(
    model: SentenceTransformer, short_file: Path, tmp_path: Path, options: BulkOptions
) -> None:
    output = tmp_path / "out.npy"
    make(model, short_file, output, options)
    expected = model.encode(
        [text(number) for number in range(1, 60)],
        prompt_name=options.prompt_name,
        prompt=options.prompt,
        normalize_embeddings=options.normalize,
        truncate_dim=options.truncate_dim,
    )
    np.testing.assert_allclose(np.load(output), expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["int8", "ubinary"])
def test_bytes_are_steps_of_the_range_of_the_whole_file(
    model: SentenceTransformer, long_file: Path, tmp_path: Path, whole: Path, precision: Precision
) -> None:
    output = tmp_path / "out.npy"
    make(model, long_file, output, BulkOptions(precision=precision))
    expected = quantize_embeddings(np.load(whole), precision)
    np.testing.assert_array_equal(np.load(output), expected)


def test_jsonl_and_parquet_hold_ids_texts_and_vectors(
    model: SentenceTransformer, long_file: Path, tmp_path: Path, whole: Path
) -> None:
    make(model, long_file, tmp_path / "out.jsonl")
    make(model, long_file, tmp_path / "out.parquet")
    vectors = np.load(whole)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    table = pq.read_table(tmp_path / "out.parquet")
    for got in (rows, table.to_pylist()):
        assert [row["id"] for row in got] == [f"n{number}" for number in range(ROWS)]
        assert [row["text"] for row in got] == [text(number) for number in range(ROWS)]
        embeddings = np.array([row["embedding"] for row in got], dtype=np.float32)
        np.testing.assert_array_equal(embeddings, vectors)
    assert table.schema.field("embedding").type.list_size == vectors.shape[1]


def test_small_numbers_in_jsonl_and_parquet(
    model: SentenceTransformer, short_file: Path, tmp_path: Path
) -> None:
    options = BulkOptions(precision="int8")
    for name in ("out.npy", "out.jsonl", "out.parquet"):
        make(model, short_file, tmp_path / name, options)
    expected = np.load(tmp_path / "out.npy").tolist()
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    table = pq.read_table(tmp_path / "out.parquet")
    assert [json.loads(line)["embedding"] for line in lines] == expected
    assert table["embedding"].to_pylist() == expected
    assert table["id"].to_pylist() == list(range(59))  # numbers stay numbers


def test_a_pipe_is_encoded_like_the_file(
    model: SentenceTransformer, short_file: Path, tmp_path: Path
) -> None:
    make(model, short_file, tmp_path / "file.jsonl")
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", short_file, pipe]):
        make(model, pipe, tmp_path / "pipe.jsonl")
    assert (tmp_path / "pipe.jsonl").read_bytes() == (tmp_path / "file.jsonl").read_bytes()
    assert beside(tmp_path / "pipe.jsonl") == ["pipe.jsonl"]


def test_a_single_warning_for_all_truncated_texts(model: SentenceTransformer, tmp_path: Path) -> None:
    source = tmp_path / "long.txt"
    source.write_text("긴 문장 " * 60 + "\n" + "짧다\n" * 5000 + "긴 문장 " * 60, encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(model, source, tmp_path / "out.npy")
    told = [str(warning.message) for warning in caught if warning.category is TruncationWarning]
    assert len(told) == 1
    assert told[0].startswith("2 ")


def test_long_texts_are_protected_more_often(
    model: SentenceTransformer, folder: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / "long.txt", tmp_path / "out.npy"
    source.write_text("".join(f"{number} {'가' * 40_000}\n" for number in range(30)), encoding="utf-8")
    model = SentenceTransformer(folder, on_truncation="ignore")
    with pytest.raises(StopError):
        make(model, source, output, stop_after=20)
    assert make(model, source, output) == 18  # three texts are more than 100,000 characters


# What can't be


def test_two_processes_do_not_write_the_same_file(
    model: SentenceTransformer, short_file: Path, tmp_path: Path
) -> None:
    source = DataFile(path=str(short_file))
    with (
        BulkEncoding(source, tmp_path / "out.npy"),
        pytest.raises(InputError, match="Another process is writing"),
        BulkEncoding(source, tmp_path / "out.npy"),
    ):
        pass
    make(model, short_file, tmp_path / "out.npy")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.txt", "must end in .npy, .parquet or .jsonl"),
        ("nowhere/out.npy", "There is no folder"),
        ("folder.npy", "is a folder"),
    ],
)
def test_unusable_output_folders(short_file: Path, tmp_path: Path, output: str, message: str) -> None:
    (tmp_path / "folder.npy").mkdir()
    with (
        pytest.raises(InputError, match=message),
        BulkEncoding(DataFile(path=str(short_file)), tmp_path / output),
    ):
        pass


def test_input_and_output_must_differ(tmp_path: Path) -> None:
    same = tmp_path / "same.jsonl"
    same.write_text('"가"')
    with pytest.raises(InputError, match="the same file"), BulkEncoding(DataFile(path=str(same)), same):
        pass
    assert beside(same) == ["same.jsonl"]


def test_parquet_without_its_package(
    short_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    source = DataFile(path=str(short_file))
    with pytest.raises(MissingExtraError), BulkEncoding(source, tmp_path / "out.parquet"):
        pass


@pytest.mark.parametrize(
    "options",
    [
        BulkOptions(prompt_name="poem"),
        BulkOptions(truncate_dim=0),
        BulkOptions(batch_size=0),
        BulkOptions(precision="int8"),
        BulkOptions(precision="int4"),  # type: ignore[arg-type]
        BulkOptions(normalize="no"),  # type: ignore[arg-type]
        BulkOptions(prompt="x", prompt_name="query"),
        BulkOptions(prompt_name=""),
    ],
)
def test_invalid_options(model: SentenceTransformer, tmp_path: Path, options: BulkOptions) -> None:
    source = tmp_path / "one.txt"
    source.write_text("하나")
    settings = asdict(options)
    with pytest.raises((InputError, InputTypeError)):
        model.encode(["하나"], normalize_embeddings=settings.pop("normalize"), **settings)
    with pytest.raises((InputError, InputTypeError)):
        make(model, source, tmp_path / "out.npy", options)
    assert beside(tmp_path / "out.npy") == []


def test_a_broken_last_row_is_reported_before_any_work(
    model: SentenceTransformer, long_file: Path, tmp_path: Path
) -> None:
    source = tmp_path / "broken.jsonl"
    source.write_bytes(long_file.read_bytes() + b"\n{")
    with pytest.raises(DataFileError, match="line 9001"):
        make(model, source, tmp_path / "out.npy")
    assert beside(tmp_path / "out.npy") == []


def test_an_input_that_changes_meanwhile(
    model: SentenceTransformer, short_file: Path, tmp_path: Path
) -> None:
    with BulkEncoding(DataFile(path=str(short_file)), tmp_path / "out.npy") as work:
        work.start(model, "tiny")
        with short_file.open("a") as file:
            file.write("하나 더\n")
        with pytest.raises(DataFileError, match="was changed while it was read"):
            work.run(lambda _: None)


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may be longer than 200 kB, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.usefixtures("little_room")
def test_a_full_disk(model: SentenceTransformer, long_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npy"
    with pytest.raises(DataFileError, match=r"Can't write .*File too large"):
        make(model, long_file, output)
    assert beside(output) == []


def test_a_full_disk_during_encoding_keeps_the_saved_rows(
    model: SentenceTransformer, long_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.npy"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, before[1]))
    try:
        with pytest.raises(MunjangError, match="the same command resumes"):
            make(model, long_file, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert make(model, long_file, output) == 4096
    assert len(np.load(output)) == ROWS


def test_the_steps_come_in_order(short_file: Path, tmp_path: Path) -> None:
    source = replace(DataFile(path=str(short_file)), encoding="utf-8")
    with (
        BulkEncoding(source, tmp_path / "out.npy") as work,
        pytest.raises(InputError, match="start must be called first"),
    ):
        work.run(lambda _: None)
