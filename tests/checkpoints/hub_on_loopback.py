"""A small Hugging Face hub on 127.0.0.1: the requests of a download, and its faults."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import huggingface_hub
from huggingface_hub import constants, file_download

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import pytest

MAIN_COMMIT = "a" * 40


@dataclass
class Repository:
    """The files of one repository of the hub, and the faults that the hub simulates."""

    files: dict[str, bytes]
    commits: dict[str, str] = field(default_factory=lambda: {"main": MAIN_COMMIT})
    token: str | None = None
    gated: bool = False
    status: int | None = None
    cut: str | None = None  # this file's body breaks off in the middle
    cuts: float = math.inf  # how often
    html: bool = False  # every answer is a page for people, as from a proxy that wants a login
    seconds: float = 0.0  # silence before each answer
    listing: bytes | None = None  # the API's answer, whatever it is
    announced: dict[str, dict[str, object]] = field(default_factory=dict)  # the API's words on a file
    etags: list[str] = field(default_factory=list)  # of all files, one for each request; the last stays
    etag_of: dict[str, str] = field(default_factory=dict)
    commit_header: str | None = None
    missing: str | None = None  # this file is listed and not there
    silent: str | None = None  # this file's body stops in the middle, the connection stays
    endless: str | None = None  # this file's body never ends
    location: str | None = None  # where every file is redirected to


@dataclass
class Request:
    method: str
    path: str
    token: str | None


class LoopbackHub:
    """A running hub; ``requests`` are the requests so far."""

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.repositories = repositories
        self.requests: list[Request] = []
        self.seconds_of_silence = 60.0
        self.sent = 0  # bytes of endless bodies
        self.closing = threading.Event()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def paths(self, method: str | None = None) -> list[str]:
        return [request.path for request in self.requests if method in (None, request.method)]

    def __enter__(self) -> LoopbackHub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        header = self.headers.get("Authorization")
        self.hub.requests.append(Request(self.command, path, header and header.removeprefix("Bearer ")))
        if path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self._answer_for(name, unquote(revision) or "main", None)
        elif "/resolve/" in path:
            name, _, rest = path.lstrip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            self._answer_for(name, unquote(revision), file)
        else:
            self._fail(404, "")

    def _answer_for(self, name: str, revision: str, file: str | None) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._fail(404, "RepoNotFound")
        time.sleep(repository.seconds)
        if repository.html:
            return self._send(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
        if repository.status is not None:
            return self._fail(repository.status, "")
        if repository.gated:
            return self._fail(403, "GatedRepo")
        if repository.token is not None and self.headers.get("Authorization") != f"Bearer {repository.token}":
            return self._fail(401, "RepoNotFound")
        commit = repository.commits.get(
            revision, revision if revision in repository.commits.values() else None
        )
        if commit is None:
            return self._fail(404, "RevisionNotFound")
        if file is None:
            return self._listing(name, repository, commit)
        return self._file(repository, commit, file)

    def _listing(self, name: str, repository: Repository, commit: str) -> None:
        if repository.listing is not None:
            return self._send(200, repository.listing, {"Content-Type": "application/json"})
        siblings = [
            {"rfilename": path, "size": len(data)} | repository.announced.get(path, {})
            for path, data in repository.files.items()
        ]
        body = json.dumps({"id": name, "sha": commit, "siblings": siblings}).encode()
        return self._send(200, body, {"Content-Type": "application/json"})

    def _file(self, repository: Repository, commit: str, file: str) -> None:
        data = repository.files.get(file)
        if data is None or file == repository.missing:
            return self._fail(404, "EntryNotFound", repository.commit_header or commit)
        etags = repository.etags
        etag = (etags.pop(0) if len(etags) > 1 else etags[0]) if etags else hashlib.sha1(data).hexdigest()
        etag = repository.etag_of.get(file, etag)
        headers = {
            "ETag": etag if etag.startswith("W/") else f'"{etag}"',
            "X-Repo-Commit": repository.commit_header or commit,
        }
        if repository.location is not None:
            return self._send(302, b"", headers | {"Location": repository.location})
        if file == repository.endless and self.command == "GET":
            return self._endless(headers)
        cut = file == repository.cut and self.command == "GET" and repository.cuts > 0
        repository.cuts -= cut
        silence = self.hub.seconds_of_silence if file == repository.silent else 0.0
        return self._send(200, data, headers, cut=cut, silence=silence)

    def _endless(self, headers: dict[str, str]) -> None:
        self.send_response(200)
        for key, value in (headers | {"Transfer-Encoding": "chunked"}).items():
            self.send_header(key, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # until the other side has had enough
            while self.hub.sent < 1 << 30:
                self.wfile.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                self.hub.sent += 1 << 20
        self.close_connection = True

    def _fail(self, status: int, code: str, commit: str | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": "as the test wants it"}
        self._send(status, b"", headers | ({} if commit is None else {"X-Repo-Commit": commit}))

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False, silence: float = 0.0
    ) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut or silence else body)
            self.hub.closing.wait(silence)
            cut = cut or bool(silence)
        self.close_connection = cut or self.close_connection


def point_hub_library_at(patch: pytest.MonkeyPatch, endpoint: str, home: Path) -> None:
    """Make ``huggingface_hub``, which reads its environment when imported, use this hub and cache."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "MUNJANG_OFFLINE", "HF_TOKEN"):
        patch.delenv(name, raising=False)
    patch.setenv("MUNJANG_CACHE", str(home / "munjang"))
    patch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    # Before 1.0 the module that downloads had a separate copy.
    for module in (constants, file_download):
        patch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))


def close_connections() -> None:
    """Close the connections that ``huggingface_hub`` keeps open; before 1.0 it closed them itself."""
    close = getattr(huggingface_hub, "close_session", None)
    if close is not None:
        close()
