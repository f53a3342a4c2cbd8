"""Memory that a training run frees is kept until its end."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from support.processes import run_python

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")

SCRIPT = """
import resource
from contextlib import nullcontext
import torch
from munjang.training.loop.freed_memory import freed_memory_kept

def fault_count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def pages_held():
    return int(open("/proc/self/statm").read().split()[1])

def work():
    for megabytes in (100, 60, 100, 60):
        torch.zeros(megabytes << 18).add_(1)  # of four bytes each

PAGE = resource.getpagesize()
with %s:
    for _ in range(6):
        work()  # the holes that are left fit at last
    before = fault_count()
    work()
    faults = (fault_count() - before) * PAGE >> 20
    held = pages_held() * PAGE >> 20
print(faults, held - (pages_held() * PAGE >> 20))
"""


def megabytes(home: Path, context: str, **environment: str) -> tuple[int, int]:
    """Return the memory that the system supplied again, and the memory that was returned at the end."""
    faults, returned = run_python(SCRIPT % context, home=home, extra=environment).split()
    return int(faults), int(returned)


def test_freed_memory_is_used_again(tmp_path: Path) -> None:
    without, _ = megabytes(tmp_path, "nullcontext()")
    kept, _ = megabytes(tmp_path, "freed_memory_kept()")
    assert without >= 300
    assert kept < 30


def test_freed_memory_is_returned_at_the_end(tmp_path: Path) -> None:
    _, returned = megabytes(tmp_path, "freed_memory_kept()")
    assert returned >= 80


def test_environment_variables_are_respected(tmp_path: Path) -> None:
    faults, _ = megabytes(tmp_path, "freed_memory_kept()", MALLOC_TRIM_THRESHOLD_="1000000")
    assert faults >= 300
