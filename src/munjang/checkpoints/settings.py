"""How a model is opened: the options of all functions that open one, and the environment variables."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypedDict

from munjang.errors import FetchError, InputError, InputTypeError

_OFFLINE_VARIABLES = ("MUNJANG_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
# The names of options in sentence-transformers and transformers, where they differ from ours.
_COMPATIBLE_NAMES = {"cache_folder": "cache_dir", "local_files_only": "offline"}
_SINGLE_PRECISION = ("None", "auto", "torch.float32")  # values of dtype there


class FetchArguments(TypedDict, total=False):
    """The fields of `FetchOptions` as keyword arguments."""

    revision: str | None
    cache_dir: str | os.PathLike[str] | None
    token: str | None
    offline: bool | None
    allow_pickle: bool


class OpenArguments(FetchArguments, total=False):
    """The fields of `OpenOptions` as keyword arguments."""

    backend: str
    threads: int | None
    streams: int | None
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to find the files of a model.

    Attributes:
        revision: the branch, tag or commit of a hub repository.
        cache_dir: the folder for downloaded models, instead of our cache and the hub's.
        token: the access token of the hub.
        offline: forbid every connection; so do the variables ``MUNJANG_OFFLINE`` and ``HF_HUB_OFFLINE``.
        allow_pickle: read weights that are a pickle.
    """

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    token: str | None = None
    offline: bool | None = None
    allow_pickle: bool = False

    @classmethod
    def pop_from(cls, arguments: MutableMapping[str, Any]) -> Self:
        """Remove the options from keyword arguments, by our names or those of compatible libraries."""
        names = {field.name: field.name for field in fields(cls)} | _COMPATIBLE_NAMES
        values = {names[name]: arguments.pop(name) for name in names.keys() & arguments.keys()}
        if "dtype" in values and str(values["dtype"]) in _SINGLE_PRECISION:
            values["dtype"] = "float32"
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions(FetchOptions):
    """How to find the files of a model, and which executor runs it.

    Attributes:
        backend: ``"openvino"``, ``"numpy"`` or ``"torch"``.
        threads, streams: see `munjang.backends.openvino.OpenVINOExecutor`.
        dtype: ``"float32"``, or ``"int8"`` for matrix products in 8 bits, which are faster and round
            (docs/performance.md).
    """

    backend: str = "openvino"
    threads: int | None = None
    streams: int | None = None
    dtype: str = "float32"


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the model cache folder: ``cache_dir``, else ``MUNJANG_CACHE``, else the default.

    The default is ``XDG_CACHE_HOME/munjang`` or ``~/.cache/munjang``, ``~/Library/Caches/munjang`` on macOS
    and ``%LOCALAPPDATA%/munjang/Cache`` on Windows. Nothing is created.
    """
    if cache_dir is not None and not isinstance(cache_dir, (str, os.PathLike)):
        raise InputTypeError(f"cache_dir is a string or a path, not {type(cache_dir).__name__}.")
    chosen = os.fsdecode(cache_dir or os.environ.get("MUNJANG_CACHE") or "")
    if "\0" in chosen:
        raise InputError(f"cache_dir {chosen[:100]!r} contains a NUL character, which no path can contain.")
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
