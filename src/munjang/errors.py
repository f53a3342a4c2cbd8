"""Every error that Munjang raises on purpose.

The class tree (a leaf also inherits the matching built-in exception, so ``except ValueError`` works too)::

    MunjangError
    ├── InputError (ValueError)              an argument or a text has a value we can't use
    │   └── TruncationError                  a text is too long and the caller requested an error
    ├── InputTypeError (TypeError)           an argument has the wrong type
    ├── DataFileError (ValueError)           a user's file is missing, unreadable or lacks a column
    ├── UnknownModelError (ValueError)       no model has this name
    ├── UnsupportedModelError (ValueError)   a config requires arithmetic that is not implemented
    ├── CheckpointError (ValueError)         a checkpoint's files are missing, broken or inconsistent
    │   ├── MissingHeadError                 a checkpoint has no trained head for the task
    │   └── UnsafeCheckpointError            weights are a pickle and the caller did not allow it
    ├── StoreError (OSError)                 an index can't be read or written: full, read-only, broken, newer
    │   └── StoreBusyError (TimeoutError)    another process kept writing to it for too long
    ├── IndexMismatchError (ValueError)      an index was made with another model, analyser or other fields
    ├── EngineError (RuntimeError)           the engine computes wrong values on this CPU
    ├── TrainingError (RuntimeError)         training can't continue: the loss is NaN, memory ran out
    ├── FetchError (OSError)                 a download failed
    │   └── OfflineError                     a download was needed but is forbidden
    └── MissingExtraError (ImportError)      an optional dependency is not installed

A message contains what happened, the value, and the remedy. The command line prints it as one line.
`EngineWarning` reports that slower settings are used, because others give wrong values on this CPU.
"""

from __future__ import annotations

import re
import shlex


class MunjangError(Exception):
    """Root of every error that Munjang raises on purpose."""


class InputError(MunjangError, ValueError):
    """An argument or a text has a value that can't be used."""


class TruncationError(InputError):
    """A text is longer than the model allows and the caller requested an error instead of truncation."""


class InputTypeError(MunjangError, TypeError):
    """An argument has the wrong type."""


class DataFileError(MunjangError, ValueError):
    """A user's file is missing, unreadable, not UTF-8, or lacks the requested column."""


class UnknownModelError(MunjangError, ValueError):
    """A model's name is neither a folder, nor in the catalogue, nor on the hub."""


class UnsupportedModelError(MunjangError, ValueError):
    """A model's config requires arithmetic that is not implemented here."""


class CheckpointError(MunjangError, ValueError):
    """A checkpoint's files are missing, broken or inconsistent."""


class MissingHeadError(CheckpointError):
    """A checkpoint has no trained head for the task."""


class UnsafeCheckpointError(CheckpointError):
    """The weights are a pickle, which can run code, and the caller did not allow that."""


class FetchError(MunjangError, OSError):
    """A download failed."""


class OfflineError(FetchError):
    """A download was needed but offline mode forbids it."""


class MissingExtraError(MunjangError, ImportError):
    """An optional dependency is not installed; the message has the command that installs it."""

    @classmethod
    def of(cls, reason: str, extra: str) -> MissingExtraError:
        """Return the error for an extra of this package, whose requirements the message names."""
        from importlib import metadata

        try:
            lines = metadata.requires("munjang") or []
        except metadata.PackageNotFoundError:  # run from source, not installed
            return cls(f"{reason}: pip install '.[{extra}]' in the folder of the source")
        wanted = [
            line.partition(";")[0].strip() for line in lines if re.search(rf"extra == .{extra}\b", line)
        ]
        return cls(f"{reason}: pip install {' '.join(map(shlex.quote, wanted))}")


class StoreError(MunjangError, OSError):
    """An index can't be read or written: the disk is full, the folder read-only, the file broken or newer."""


class StoreBusyError(StoreError, TimeoutError):
    """Another process held an index's write lock for longer than the timeout."""


class IndexMismatchError(MunjangError, ValueError):
    """An index was made with a different model, analyser or fields than it is used with."""


class EngineError(MunjangError, RuntimeError):
    """The engine computes wrong values on this CPU with all settings."""


class EngineWarning(RuntimeWarning):
    """The engine computes with slower settings than expected, to give the right values."""


class TrainingError(MunjangError, RuntimeError):
    """Training can't continue: the loss is not finite (NaN), or memory ran out."""
