"""How many cores this process may use: what its affinity allows, and what its control group pays for."""

import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """At least 1. A container with `cpus: 2` on a machine of 64 gets 2: more threads than that would only be throttled
    together. The quotas of cgroup v2 count, of the process' group and of all above it."""
    allowed = float(len(os.sched_getaffinity(0)))
    group = _group(groups, own)
    while group.is_relative_to(groups):
        allowed = min(allowed, _quota(group / "cpu.max"))
        group = group.parent
    return max(1, int(allowed))


def _group(groups: Path, own: Path) -> Path:
    """Where the group of this process stands; in a container that hides the path, the root is its own."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return groups
    path = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return groups / path if ".." not in path else groups


def _quota(file: Path) -> float:
    """Cores in "MICROSECONDS PERIOD" or "max PERIOD"; a group without the file has no limit."""
    try:
        spent, period = file.read_text().split()
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if spent == "max" else int(spent) / int(period)
