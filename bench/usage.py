"""What a process uses, as Linux tells it."""

import os
from pathlib import Path


def cpu_nanoseconds(pid: int) -> int:
    """CPU time of all threads that a process has."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def resident_bytes(pid: int) -> int:
    """Memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
