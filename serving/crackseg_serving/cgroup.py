"""How many processors and how much memory the container may use: as its control group says, not as the host has.

Called by the settings for their defaults. Reads cgroup v2 and v1 below a root folder, which tests can replace.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_UNLIMITED_MEMORY = 1 << 60  # cgroup v1 writes a number near 2**63 where there is no limit


def processors(root: Path = Path("/")) -> int:
    """How many threads can run at once: the CPU limit rounded up, never more than the affinity mask allows."""
    available = len(os.sched_getaffinity(0))
    quotas = [*_quotas_v2(root), *_quotas_v1(root)]
    return max(1, min([available, *(math.ceil(quota) for quota in quotas)]))


def memory(root: Path = Path("/")) -> int | None:
    """The memory limit in bytes, or None where there is none."""
    limits = [
        *(_number(folder / "memory.max") for folder in _folders(root, "")),
        *(_number(folder / "memory.limit_in_bytes") for folder in _folders(root, "memory")),
    ]
    known = [limit for limit in limits if limit is not None and limit < _UNLIMITED_MEMORY]
    return min(known, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The group's own folder and its ancestors: the tightest limit counts. Version 2 has no controllers, and one tree."""
    mount = root / "sys/fs/cgroup" / controller
    lines = (line.split(":", 2) for line in _text(root / "proc/self/cgroup").splitlines())
    own = next((line[2] for line in lines if len(line) == 3 and controller in line[1].split(",")), "/")
    folder = mount / own.strip("/")
    yield folder
    if folder != mount:
        yield from (parent for parent in folder.parents if parent == mount or mount in parent.parents)


def _quotas_v2(root: Path) -> Iterator[float]:
    for folder in _folders(root, ""):
        quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)


def _quotas_v1(root: Path) -> Iterator[float]:
    for folder in _folders(root, "cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and period and quota > 0:
            yield quota / period


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
