"""Only downloads of models open connections or start processes, and there is no telemetry."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import munjang
from munjang.backends.registry import BACKENDS
from support.processes import run_python
from support.sentences import make_checkpoint

PACKAGE = Path(munjang.__file__).parent

CONNECTING = {
    "aiohttp", "asyncio", "ftplib", "http", "httpx", "huggingface_hub", "multiprocessing", "pip", "requests",
    "smtplib", "socket", "socketserver", "ssl", "subprocess", "urllib.request", "urllib3", "xmlrpc",
}  # fmt: skip
MAY_CONNECT = {"checkpoints/hub/hub.py", "checkpoints/wheels.py"}
# Allowed imports that open no connection, by file: (module, reason).
HARMLESS = {
    "checkpoints/hub/errors.py": ("huggingface_hub", "the classes of its errors"),
}

# Records Python's audit events from the first import on, except Unix sockets.
WATCH = """
import sys
seen = []
def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] == 1:
        return
    if event.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "os.spawn", "os.posix_spawn",
                         "os.system", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.")):
        seen.append(f"{event}{arguments}")
sys.addaudithook(watch)
import json, threading
def report():
    threads = [thread.name for thread in threading.enumerate()]
    print(json.dumps({"seen": seen, "threads": threads}))
"""

USE = """
from munjang import Model, SentenceTransformer, Tokenizer
folder, backend, copy = sys.argv[1:]
tokenizer = Tokenizer.from_pretrained(folder)
Model.from_pretrained(folder, backend=backend)(**tokenizer("한국의 수도는 서울이다.", return_tensors="np"))
model = SentenceTransformer(folder, backend=backend, pooling="mean")
assert model.encode(["한국의 수도는 서울이다.", "A man is eating food."] * 50).shape == (100, 32)
model.save_pretrained(copy)
report()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def watched(code: str, *arguments: object, home: Path, **options: Any) -> dict[str, Any]:
    output = run_python(WATCH + code, *arguments, home=home, **options)
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_using_a_model_opens_no_connection(backend: str, tmp_path: Path, home: Path) -> None:
    make_checkpoint("bert", tmp_path / "model")
    found = watched(USE, tmp_path / "model", backend, tmp_path / "copy", home=home)
    assert found == {"seen": [], "threads": ["MainThread"]}
    assert list(home.rglob("*")) == []  # OpenVINO's telemetry would leave a client id here


def test_the_audit_hook_records_connections_and_processes(home: Path) -> None:
    code = """
import os, socket, subprocess
socket.socket(socket.AF_UNIX).close()
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
subprocess.run([sys.executable, "-c", ""], check=True)
report()
"""
    seen = " ".join(watched(code, home=home)["seen"])
    for event in ("socket.__new__", "socket.getaddrinfo", "socket.connect", "subprocess.Popen"):
        assert event in seen


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="strace is missing or may not trace processes")
def test_no_system_call_opens_a_connection(tmp_path: Path, home: Path) -> None:
    """Native code bypasses Python's audit hooks, so this test traces system calls."""
    make_checkpoint("bert", tmp_path / "model")
    trace = tmp_path / "trace"
    prefix = ("strace", "-f", "-qq", "-e", "trace=network,process", "-o", str(trace))
    watched(USE, tmp_path / "model", "openvino", tmp_path / "copy", home=home, prefix=prefix)
    calls = trace.read_text().splitlines()
    assert any("execve(" in call for call in calls)  # the start of Python itself: the trace works
    assert [call for call in calls if "connect(" in call or "AF_INET" in call] == []
    started = [call for call in calls if any(name in call for name in ("fork(", "clone(", "clone3("))]
    assert [call for call in started if "CLONE_THREAD" not in call] == []  # threads, no process
    assert len([call for call in calls if "execve(" in call]) == 1


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORTED = {
    path.relative_to(PACKAGE).as_posix(): set(imported_by(path)) for path in sorted(PACKAGE.rglob("*.py"))
}


def found_in(imported: set[str], modules: set[str]) -> set[str]:
    return {module for module in modules for name in imported if f"{name}.".startswith(f"{module}.")}


def test_only_two_modules_import_network_code() -> None:
    for file in MAY_CONNECT:
        assert found_in(IMPORTED[file], CONNECTING)
    for file, imported in IMPORTED.items():
        if file not in MAY_CONNECT:
            allowed, _ = HARMLESS.get(file, ("", ""))
            assert found_in(imported, CONNECTING) <= {allowed}, file


def test_openvino_is_imported_where_its_telemetry_is_hidden() -> None:
    importers = [file for file, imported in IMPORTED.items() if found_in(imported, {"openvino"})]
    assert importers == ["backends/openvino.py"]
