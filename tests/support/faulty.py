"""A file system for SQLite that fails on request, and records what a power failure would leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import apsw

__all__ = ["Fault", "FaultyFiles"]

Fault = Literal["full", "broken", "unsynced"]


def _error(fault: Fault) -> apsw.Error:
    if fault == "full":
        return apsw.FullError("the disk is full")
    return apsw.IOError("the disk is broken")


class FaultyFiles(apsw.VFS):
    """The default file system with failures on request; registered under ``name`` until `unregister`.

    ``durable`` has the content of each file, by name, at its last fsync.
    """

    name = "munjang-faulty"

    def __init__(self) -> None:
        super().__init__(self.name, "")
        self.durable: dict[str, bytes] = {}
        self._fault: Fault = "full"
        self._left: int | None = None
        self._forever = False
        self.failures = 0

    def fail(self, fault: Fault, after: int, *, forever: bool) -> None:
        """Fail after a number of successful calls: once, or always from then on."""
        self._fault, self._left, self._forever, self.failures = fault, after, forever, 0

    def recover(self) -> None:
        """Stop failing."""
        self._left = None

    def pass_or_fail(self, *, sync: bool) -> None:
        """Raise the requested error if it is due."""
        if self._left is None or sync != (self._fault == "unsynced"):
            return
        self._left -= 1
        if self._left < 0 and (self._forever or not self.failures):
            self.failures += 1
            raise _error(self._fault)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _FaultyFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.durable.pop(Path(filename).name, None)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, files: FaultyFiles, path: str | None, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._files = files
        self._name = Path(path).name if path else None

    def xWrite(self, data: Any, offset: int) -> None:
        self._files.pass_or_fail(sync=False)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._files.pass_or_fail(sync=False)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._files.pass_or_fail(sync=True)
        super().xSync(flags)
        if self._name:
            size = self.xFileSize()
            self._files.durable[self._name] = self.xRead(size, 0) if size else b""
