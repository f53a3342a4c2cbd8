"""Memory that glibc keeps for the next tensor rather than giving it back to the system.

A training frees and asks for the same large tensors thousands of times. By itself glibc returns each at once,
and the kernel hands out zeroed pages anew, which takes a good part of the time where texts are long.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["freed_memory_kept"]

# The names of mallopt(3) and their numbers in malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 256 << 20}
# What glibc comes to by itself where large tensors are freed; the way back to its adapting is closed.
_GIVE_BACK = {
    _MMAP_MAX: 1 << 16,
    _MMAP_THRESHOLD: 32 << 20,
    _TRIM_THRESHOLD: 64 << 20,
    _TOP_PAD: 128 << 10,
}
_SETTINGS = ("MALLOC_MMAP_", "MALLOC_TRIM_", "MALLOC_TOP_", "GLIBC_TUNABLES")


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory with the process, and return it at the end.

    Does nothing where the C library is another, or where the environment sets how memory is handed out.
    """
    library = None if any(name.startswith(_SETTINGS) for name in os.environ) else _glibc()
    if library is None:
        yield
        return
    for name, value in _KEEP.items():
        library.mallopt(name, value)
    try:
        yield
    finally:
        for name, value in _GIVE_BACK.items():
            library.mallopt(name, value)
        library.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
