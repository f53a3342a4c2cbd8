"""The number of cores that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available_cores() -> int:
    """Return the number of cores that the affinity mask and the control group's quota allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_of_cores(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return cores if quota is None else min(cores, max(1, round(quota)))


def quota_of_cores(mount: Path, membership: Path) -> float | None:
    """Return the CPU time per wall-clock time that control groups (cgroups) allow, ``None`` without a limit.

    ``mount`` is the folder of the cgroup files, ``membership`` the file that names this process's group. Both
    cgroup versions are supported (kernel documents "cgroup-v2" and "sched-bwc").
    """
    quotas = [quota for quota in _quotas(mount, membership) if quota is not None]
    return min(quotas, default=None)


def _quotas(mount: Path, membership: Path) -> Iterator[float | None]:
    group = next((line[3:] for line in _read(membership).splitlines() if line.startswith("0::")), "/")
    path = PurePosixPath("/", group)
    for group_path in (path, *path.parents):  # every parent group limits its members too
        yield _ratio(_read(mount / group_path.relative_to("/") / "cpu.max"))
    old = mount / "cpu"
    yield _ratio(f"{_read(old / 'cpu.cfs_quota_us')} {_read(old / 'cpu.cfs_period_us')}")


def _ratio(quota_and_period: str) -> float | None:
    try:
        quota, period = quota_and_period.split()
        ratio = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return ratio if ratio > 0 else None  # version 1 has -1 for "no limit"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
