"""Encoding that was stopped or killed resumes, and the finished file is the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import munjang
from munjang import SentenceTransformer
from munjang.bulk.encoding import BulkOptions
from munjang.data.files import DataFile
from munjang.errors import InputError
from support.bulk import ROWS, StopError, beside, make
from support.tiny import tiny_sentence_model

KILLS = int(os.environ.get("MUNJANG_ENCODE_KILLS", "2"))
SOURCE = Path(munjang.__file__).parents[1]


# Going on after a stop


@pytest.mark.parametrize("end", [".npy", ".parquet"])
def test_the_finished_file_is_the_same_after_stops(
    model: SentenceTransformer, long_file: Path, tmp_path: Path, end: str
) -> None:
    whole, output = tmp_path / f"whole{end}", tmp_path / f"out{end}"
    make(model, long_file, whole)
    starts = []
    for stop_after in (1000, 5000, 4200):
        with pytest.raises(StopError):
            make(model, long_file, output, stop_after=stop_after)
        starts.append(beside(output))
        assert not output.exists()
    assert make(model, long_file, output) == 8192
    assert output.read_bytes() == whole.read_bytes()
    # The first stop came before anything was safe, and left nothing.
    assert starts[0] == []
    assert starts[1] == [f"out{end}.part", f"out{end}.part.json"]
    assert beside(output) == [output.name]


def test_a_stop_while_the_files_are_created_leaves_none(
    model: SentenceTransformer, short_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    output = tmp_path / "out.npy"
    with monkeypatch.context() as patch:
        patch.setattr("munjang.bulk.checkpoint.flush", interrupt)  # called once the state is in its place
        with pytest.raises(KeyboardInterrupt):
            make(model, short_file, output)
    assert beside(output) == []
    assert make(model, short_file, output) == 0


def test_restart_starts_from_the_beginning(
    model: SentenceTransformer, short_file: Path, stopped: Path
) -> None:
    assert make(model, short_file, stopped, restart=True) == 0
    assert len(np.load(stopped)) == 59
    assert beside(stopped) == ["stopped.npy"]


def test_an_output_that_exists_is_replaced_at_the_end(
    model: SentenceTransformer, long_file: Path, stopped: Path
) -> None:
    stopped.write_bytes(b"old")
    options = BulkOptions(prompt_name="document")
    with pytest.raises(StopError):
        make(model, long_file, stopped, options, stop_after=100)
    assert stopped.read_bytes() == b"old"
    assert make(model, long_file, stopped, options) == 4096
    assert len(np.load(stopped)) == ROWS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BulkOptions(prompt_name="query"), "was begun with the prompt 'say: ', now 'ask: '"),
        (BulkOptions(prompt_name="document", normalize=True), "begun with normalization off, now on"),
        (
            BulkOptions(prompt_name="document", truncate_dim=3),
            "vectors cut to all components, now to 3",
        ),
        (BulkOptions(prompt_name="document", precision="int8"), "begun with precision float32, now int8"),
    ],
)
def test_other_settings_do_not_resume(
    model: SentenceTransformer, long_file: Path, stopped: Path, options: BulkOptions, message: str
) -> None:
    before = beside(stopped)
    with pytest.raises(InputError) as error:
        make(model, long_file, stopped, options)
    assert message in str(error.value)
    assert "pass restart=True" in str(error.value)
    assert beside(stopped) == before


def test_another_input_does_not_resume(
    model: SentenceTransformer, long_file: Path, stopped: Path, tmp_path: Path
) -> None:
    longer = tmp_path / "longer.jsonl"
    longer.write_bytes(long_file.read_bytes() + b'\n{"id": "n", "text": "more"}')
    with pytest.raises(InputError, match="begun with another content of the input file"):
        make(model, longer, stopped, BulkOptions(prompt_name="document"))
    data = DataFile(path=str(long_file), column="id")
    with pytest.raises(InputError, match="begun with the column 'text', now 'id'"):
        make(model, data, stopped, BulkOptions(prompt_name="document"))


def test_another_model_does_not_resume(long_file: Path, stopped: Path, folder: Path, tmp_path: Path) -> None:
    options = BulkOptions(prompt_name="document")
    other = SentenceTransformer(tiny_sentence_model(tmp_path / "other", seed=1))
    with pytest.raises(InputError, match="begun with the model 'tiny', now 'other'"):
        make(other, long_file, stopped, options, name="other")
    with pytest.raises(InputError, match="begun with the model 'tiny' of other weights, now 'tiny'"):
        make(other, long_file, stopped, options)
    with pytest.raises(InputError, match="begun with pooling mean, now cls"):
        make(SentenceTransformer(folder, pooling="cls"), long_file, stopped, options)


def test_the_same_model_under_another_name_resumes(
    model: SentenceTransformer, long_file: Path, stopped: Path
) -> None:
    options = BulkOptions(prompt_name="document", batch_size=8)
    assert make(model, long_file, stopped, options, name="./tiny") == 4096


def test_an_existing_file_is_not_touched(
    model: SentenceTransformer, short_file: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "out.npy.part"
    mine.write_text("mine")
    with pytest.raises(InputError, match="is in the way"):
        make(model, short_file, tmp_path / "out.npy")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", '{"version": 99}'])
def test_a_broken_count(model: SentenceTransformer, long_file: Path, stopped: Path, content: str) -> None:
    stopped.with_name("stopped.npy.part.json").write_text(content)
    with pytest.raises(InputError, match="can't be read; pass restart=True"):
        make(model, long_file, stopped, BulkOptions(prompt_name="document"))


def test_truncated_vectors(model: SentenceTransformer, long_file: Path, stopped: Path) -> None:
    os.truncate(stopped.with_name("stopped.npy.part"), 1000)
    with pytest.raises(InputError, match="is truncated"):
        make(model, long_file, stopped, BulkOptions(prompt_name="document"))


# Real kills


@pytest.mark.parametrize("end", [".npy", ".jsonl"])
def test_kills_at_random_times_lose_no_data(folder: Path, long_file: Path, tmp_path: Path, end: str) -> None:
    whole, output = tmp_path / f"whole{end}", tmp_path / f"out{end}"
    process = run_program(folder, long_file, whole)
    begun = wait_for_work(process, whole)
    assert process.wait() == 0
    seconds = time.monotonic() - begun
    generator = random.Random(end)
    for _ in range(KILLS):
        process = run_program(folder, long_file, output)
        wait_for_work(process, output)
        time.sleep(seconds * generator.uniform(0.0, 0.9))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            output.unlink()
    assert run_program(folder, long_file, output).wait() == 0
    assert output.read_bytes() == whole.read_bytes()
    assert beside(output) == [output.name]


def wait_for_work(process: subprocess.Popen[bytes], output: Path) -> float:
    """Wait until a process has begun to encode; return the time."""
    while not output.with_name(f"{output.name}.part.lock").exists() and process.poll() is None:
        time.sleep(0.01)
    return time.monotonic()


def run_program(folder: Path, source: Path, output: Path) -> subprocess.Popen[bytes]:
    arguments = ["encode", "--file", source, "--output", output, "--model", folder]
    return subprocess.Popen(
        [sys.executable, "-m", "munjang", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
