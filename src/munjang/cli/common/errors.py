"""Translation of errors, warnings and interrupts into messages on standard error and exit statuses.

A `MunjangError` is one line on standard error and exit status 1; typer reports a wrong option, with status
2; Ctrl-C and SIGTERM end with 130. A bug of this package keeps its traceback.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from munjang.cli.common.commands import flag_of, let_go_of_stdout, option_with, path_and_model
from munjang.cli.common.needs import model_hint
from munjang.data.files import STDIN, shown_name
from munjang.errors import DataFileError, FetchError, MissingHeadError, MunjangError, UnknownModelError

FAILED = 1
INTERRUPTED = 130
_BROKEN_PIPE = 141  # the shell's exit status for a program ended by SIGPIPE
# name=value, and names with an underscore, unless they are quoted or part of something longer
_BEFORE = r"(?<![\w'\"/.-])"
_SETTING = re.compile(
    _BEFORE + r"(?P<name>[a-z]\w*)=(?P<value>'[^']*'|\[[^\]]*\]|\.\.\.|[^\s,;:.()]*(?:\.\d+)?)"
)
_NAME = re.compile(_BEFORE + r"[a-z]+(?:_[a-z0-9]+)+(?![\w'\"/=(])")
# argument name in the library -> parameter name in the commands
_ALIASES = {
    "top_k": "top",
    "targets": "target",
    "hypothesis_template": "template",
    "handle_impossible_answer": "no_answer",
    "max_seq_length": "max_length",
    "max_length": "pad_to",
}
_INVERSE = {"quoting": "no_quoting", "header": "no_header"}
_PYTHON_ONLY = (
    "encoding",
    "quoting",
    "allow_pickle",
    "token",
    "cache_dir",
    "truncation",
    "padding",
    "activation_fn",
)


@contextmanager
def explained() -> Iterator[None]:
    """Translate an exception of the block into a line and an exit status, and each warning into a line."""
    with _warnings_as_lines(), _sigterm_as_interrupt():
        try:
            yield
            sys.stdout.flush()  # now, because an error at exit could not be handled
        except MunjangError as error:
            tell(_with_hint(error))
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            let_go_of_stdout()
            raise typer.Exit(_BROKEN_PIPE) from None
        except OSError as error:
            let_go_of_stdout()
            tell(f"{error.filename or 'The output'}: {error.strerror or error}.")
            raise typer.Exit(FAILED) from None


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Raise `KeyboardInterrupt` on SIGTERM, so that it is handled like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a signal handler
        return

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def tell(message: str) -> None:
    """Write one line to standard error, with argument names of the library replaced by options."""
    sys.stderr.write(f"munjang: {' '.join(in_options(message).split())}\n")
    sys.stderr.flush()


def in_options(message: str) -> str:
    """Return a message of the library with its argument names replaced by the running command's options."""

    def with_value(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"].strip("'\"")
        if name in _INVERSE and value == "False":
            name, value = _INVERSE[name], "True"
        option = option_with(name, value) or option_with(_ALIASES.get(name, ""), value)
        if option is None and value == "NAME":  # a column
            option = option_with("columns", "A,B,C") or option_with("field", value)
        is_foreign = name in _PYTHON_ONLY or value == "NAME"
        return option or (f"{match[0]} (in Python)" if is_foreign else match[0])

    def without_value(match: re.Match[str]) -> str:
        return flag_of(match[0]) or flag_of(_ALIASES.get(match[0], "")) or match[0]

    return _NAME.sub(without_value, _SETTING.sub(with_value, message))


def _with_hint(error: MunjangError) -> str:
    """Return the message with its notes, and for an unavailable model with a list of available models."""
    parts = [str(error), *getattr(error, "__notes__", [])]
    if isinstance(error, DataFileError) and parts[0].startswith(f"{shown_name(STDIN)} has no rows"):
        sources = filter(None, map(flag_of, ("file", "index", "document", "text")))
        parts.append(f"Standard input is read if there is none of {', '.join(sources)}.")
    if isinstance(error, UnknownModelError | FetchError | MissingHeadError):
        from munjang.checkpoints.catalogue import hint

        command, name = path_and_model()
        parts = [part for part in parts if part != hint(name or "")]  # the command lists the models itself
        has_one = "Did you mean" in parts[0] or isinstance(error, MissingHeadError)
        parts.append(model_hint(command, None if has_one else name))
    return " ".join(filter(None, parts))


class _Lines(logging.Handler):
    """A logging handler that writes the library's log records as lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        tell(record.getMessage())


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    logger, handler = logging.getLogger("munjang"), _Lines(logging.WARNING)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: tell(str(message))
            yield
    finally:
        logger.removeHandler(handler)
