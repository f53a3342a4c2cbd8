"""Settings that make glibc keep freed memory for the next tensor instead of returning it to the system.

Training frees and allocates the same large tensors thousands of times. By default glibc returns each of them
to the kernel at once, and the kernel supplies zeroed pages again. With long texts this takes a large part of
the time.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# The names of mallopt(3) and their numbers in malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 256 << 20}
# The values that glibc's dynamic thresholds reach when large tensors are freed. The dynamic adjustment itself
# can't be switched on again.
_GIVE_BACK = {
    _MMAP_MAX: 1 << 16,
    _MMAP_THRESHOLD: 32 << 20,
    _TRIM_THRESHOLD: 64 << 20,
    _TOP_PAD: 128 << 10,
}
_SETTINGS = ("MALLOC_MMAP_", "MALLOC_TRIM_", "MALLOC_TOP_", "GLIBC_TUNABLES")


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Make the process keep freed memory inside the ``with`` block, and return it to the system at the end.

    Does nothing if the C library is not glibc, or if environment variables configure malloc.
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
