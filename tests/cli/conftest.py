"""The command line under test: in this process for most, as the real program where that matters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import munjang
from support.tiny import tiny_cross_encoder, tiny_sentence_model

Invoke = Callable[..., Any]
Program = Callable[..., "subprocess.CompletedProcess[bytes]"]
SOURCE = Path(munjang.__file__).parents[1]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross_encoder(tmp_path_factory.mktemp("models") / "pairs")


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command in this process; give its exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object, stdin: str | bytes | None = None) -> Any:
        from munjang.cli.app import app

        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Run the real program in a process of its own, with a home that is empty."""

    def run(
        *arguments: object, stdin: bytes | None = b"", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "munjang", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=60,
            env=program_environment(tmp_path, environment),
            check=False,
        )

    return run


def program_environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    own = {"HOME": str(home), "PYTHONPATH": str(SOURCE), "COLUMNS": "100", "MUNJANG_OFFLINE": "1"}
    return {**kept, **own, **(more or {})}
