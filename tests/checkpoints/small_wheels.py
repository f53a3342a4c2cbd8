"""Wheels with a small model inside, and a package client that finds only them."""

from __future__ import annotations

import hashlib
import os
import zipfile
from typing import TYPE_CHECKING, Literal

from munjang.checkpoints.catalogue import CatalogueEntry, Wheel

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROJECT = "munjang-test-model"
VERSION = "1.2.3"


def build_wheel(folder: Path, files: dict[str, bytes], *, platform: str = "any") -> Path:
    """Write a wheel that holds these files; it says that it needs a package that does not exist."""
    stem = f"{PROJECT.replace('-', '_')}-{VERSION}"
    metadata = (
        f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {VERSION}\nRequires-Dist: no-such-package-at-all\n"
    )
    tag = f"py3-none-{platform}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(
            f"{stem}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def entry_for(
    wheel: Path, path: str, layout: Literal["folder", "four-bit"] = "folder", name: str = "small-model"
) -> CatalogueEntry:
    return CatalogueEntry(
        name=name,
        repository=f"nobody/{name}",
        description="for a test",
        dimension=2,
        size_bytes=1000,
        licence="Apache-2.0",
        prompts={"query": "query: "},
        wheel=Wheel(
            project=PROJECT,
            version=VERSION,
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            path=path,
            layout=layout,
            size_bytes=wheel.stat().st_size,
        ),
    )


def point_pip_at(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Configure pip through its environment variables, as a user with a private index does."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        patch.delenv(name)
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(folder))
