"""Settings from environment variables: the model cache folder and offline mode."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from munjang.errors import FetchError, InputError, InputTypeError

__all__ = ["cache_root", "is_offline"]

_OFFLINE_VARIABLES = ("MUNJANG_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the model cache folder: ``cache_dir``, else ``MUNJANG_CACHE``, else the default.

    The default is ``XDG_CACHE_HOME/munjang`` or ``~/.cache/munjang``, ``~/Library/Caches/munjang`` on macOS
    and ``%LOCALAPPDATA%/munjang/Cache`` on Windows. Nothing is created.
    """
    if cache_dir is not None and not isinstance(cache_dir, (str, os.PathLike)):
        raise InputTypeError(f"cache_dir is a string or a path, not {type(cache_dir).__name__}.")
    chosen = os.fsdecode(cache_dir or os.environ.get("MUNJANG_CACHE") or "")
    if "\0" in chosen:
        raise InputError(f"cache_dir {chosen[:100]!r} holds a NUL character, which no folder's name does.")
    try:
        return Path(chosen).expanduser() if chosen else _customary()
    except RuntimeError as error:
        raise FetchError(
            "There is no home folder to keep models in: set MUNJANG_CACHE to a folder."
        ) from error


def _customary() -> Path:
    # The XDG specification requires that a relative path is ignored.
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "munjang"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "munjang"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "munjang" / "Cache"
    return Path.home() / ".cache" / "munjang"


def is_offline(offline: bool | None = None) -> bool:
    """Return whether connections are forbidden, by the argument or by an environment variable."""
    values = (os.environ.get(name, "").strip().upper() for name in _OFFLINE_VARIABLES)
    return bool(offline) or any(value in {"1", "ON", "YES", "TRUE"} for value in values)
