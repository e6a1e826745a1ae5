"""What a process uses is read from its threads and pages."""

import os

from bench.usage import cpu_nanoseconds, resident_bytes


def test_work_takes_time_and_memory() -> None:
    before, held = cpu_nanoseconds(os.getpid()), resident_bytes(os.getpid())
    filled = b"\xff" * (64 << 20)
    sum(range(2_000_000))
    assert cpu_nanoseconds(os.getpid()) > before
    assert resident_bytes(os.getpid()) - held > len(filled) // 2
