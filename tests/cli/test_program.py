"""The real program in a separate process: exit codes, streams, interruptions, time to start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import munjang
from munjang.checkpoints import DEFAULT_MODEL
from munjang.cli.common import options
from support.program import Program, program_environment
from support.tiny import tiny_sentence_model

HEAVY = ("numpy", "openvino", "torch", "tokenizers", "huggingface_hub", "pyarrow", "safetensors")


def test_help_and_version_load_no_engine(tmp_path: Path) -> None:
    for argument in ("--help", "--version", "search"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "munjang", argument, "--help"],
            capture_output=True,
            check=True,
            env=program_environment(tmp_path),
        )
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
        assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


def test_the_version(program: Program) -> None:
    done = program("--version")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (
        0,
        f"munjang {munjang.__version__}\n",
        b"",
    )


def test_the_default_model_equals_the_library_default() -> None:
    assert options.DEFAULT_MODEL == DEFAULT_MODEL


def test_korean_under_a_locale_without_korean(program: Program, model: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = ("tokenize", "-", "--model", model)
    done = program(*arguments, stdin="축구".encode(), environment=locale)
    assert done.returncode == 0
    assert "축" in done.stdout.decode()
    done = program(*arguments, "--json", stdin="축구".encode(), environment=locale)
    assert json.loads(done.stdout)["tokens"] == ["[CLS]", "축", "##구", "[SEP]"]


def test_a_users_error_is_one_line(program: Program) -> None:
    done = program("search", "축구", "--file", "없는 파일.txt")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.decode() == "munjang: There is no file '없는 파일.txt'.\n"


def test_a_wrong_option_ends_with_two(program: Program) -> None:
    done = program("search", "축구", "--fiel", "x")
    assert done.returncode == 2
    assert b"--fiel" in done.stderr
    assert b"Traceback" not in done.stderr


def test_nobody_reads_the_output(tmp_path: Path, model: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for arguments, status in (
        (["tokenize", "-", "--json", "--model", str(model)], 141),
        (["tokenize", "-", "--model", str(model)], 141),
        (["--help"], 0),
        (["--version"], 0),
        (["train", "--help"], 0),
        (["train", "classification", "--help"], 0),
        (["models"], 141),
    ):
        with subprocess.Popen(
            [sys.executable, "-m", "munjang", *arguments],
            stdin=subprocess.PIPE,
            stdout=writer,
            stderr=subprocess.PIPE,
            env=program_environment(tmp_path),
        ) as process:
            _, stderr = process.communicate("축구는 재미있다\n".encode() * 2000)
        assert stderr == b""
        assert process.returncode == status, arguments
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_standard_output_is_on_a_full_disk(tmp_path: Path, model: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "munjang", "tokenize", "축구", "--model", str(model)],
            stdout=full,
            stderr=subprocess.PIPE,
            env=program_environment(tmp_path),
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode() == "munjang: The output: No space left on device.\n"


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the size of multilingual-e5-small, which saves rows every 20,000 characters."""
    sizes = {
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    }
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "slow", settings=sizes)


def stopped(command: list[str], home: Path, state: Path, rows: int, number: signal.Signals) -> str:
    """Stop an encoding when this number of rows is saved; return its standard error."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=program_environment(home)) as process:
        while not state.exists() or json.loads(state.read_bytes())["rows"] < rows:
            assert process.poll() is None, "nothing was saved before the end"
            time.sleep(0.02)
        process.send_signal(number)
        _, stderr = process.communicate()
    assert process.returncode == 130
    return stderr.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_encoding_resumes_at_its_row(
    tmp_path: Path, slow_model: Path, number: signal.Signals
) -> None:
    source, output, state = (tmp_path / name for name in ("long.txt", "out.npy", "out.npy.part.json"))
    source.write_text("".join(f"{row} {'가' * 200}\n" for row in range(1_500)), encoding="utf-8")
    command = [sys.executable, "-m", "munjang", "encode", "-f", str(source), "-o", str(output)]
    slow = [*command, "--model", str(slow_model)]
    line = stopped(slow, tmp_path, state, 0, number)
    assert line == "munjang: Stopped before any row was saved. The same command starts at the first row.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["long.txt"]
    line = stopped(slow, tmp_path, state, 1, number)
    done = json.loads(state.read_bytes())["rows"]
    assert line == f"munjang: Stopped. The same command resumes at row {done:,} of 1,500.\n"
    assert not output.exists()


def test_a_resumed_encoding_finishes(tmp_path: Path, model: Path) -> None:
    source, output, state = (tmp_path / name for name in ("long.txt", "out.npy", "out.npy.part.json"))
    source.write_text("".join(f"{row} 번째 문장\n" for row in range(30_000)), encoding="utf-8")
    command = [sys.executable, "-m", "munjang", "encode", "-f", str(source), "-o", str(output)]
    command += ["--model", str(model)]
    stopped(command, tmp_path, state, 1, signal.SIGINT)
    done = json.loads(state.read_bytes())["rows"]
    again = subprocess.run(command, capture_output=True, env=program_environment(tmp_path), check=True)
    assert again.stderr.decode() == f"munjang: Resuming at row {done:,} of 30,000.\n"
    assert again.stdout.decode().endswith("30,000 vectors of 32 numbers\n")


def wait_until_idle(process: int) -> None:
    """Wait until a process has stopped computing: it waits for its input then."""
    before, same = "", 0
    while same < 10:
        time.sleep(0.05)
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        now = " ".join(fields[11:13])  # its processor time
        same = same + 1 if now == before and fields[0] == "S" and int(fields[11]) > 5 else 0
        before = now


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system shows no processor times")
def test_control_c_while_reading_standard_input(tmp_path: Path, model: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "munjang", "tokenize", "-", "--model", str(model)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=program_environment(tmp_path),
    ) as process:
        wait_until_idle(process.pid)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr == b""


def test_a_progress_bar_only_where_it_is_wanted(program: Program, model: Path, tmp_path: Path) -> None:
    source = tmp_path / "some.txt"
    source.write_text("가\n나\n", encoding="utf-8")
    arguments = ("encode", "--file", source, "--output", tmp_path / "out.npy", "--model", model)
    assert program(*arguments).stderr == b""
    assert program(*arguments, "--progress").stderr == b"Encoding: 2 of 2 (100%)\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stream_is_no_error(tmp_path: Path, closed: str) -> None:
    command = f'"{sys.executable}" -m munjang models list {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=program_environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
