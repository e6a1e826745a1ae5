"""What an idle allocation holds in memory, with a permission and a channel: in the process, and with the kernel's part
where a memory cgroup counts it."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.cases import Framing
from bench.servers import Server
from bench.usage import resident_bytes
from fairlead.datagram import Address

_SIZE = 172
#: Allocations in front of those that count: pools and tables that are made for the first of many.
_WARM_UP = 50
_ROOT = Path("/sys/fs/cgroup")


class Reading(NamedTuple):
    """Bytes: resident in the process; in its cgroup, kernel memory included, None where there is none."""

    resident: int
    charged: int | None


class Cgroup:
    """A memory cgroup of either version."""

    def __init__(self, folder: Path, counter: str) -> None:
        self._folder, self._counter = folder, counter

    def add(self, pid: int) -> None:
        (self._folder / "cgroup.procs").write_text(str(pid))

    def read(self) -> int:
        return int((self._folder / self._counter).read_text())


@contextmanager
def cgroup() -> Iterator[Cgroup | None]:
    """A cgroup of this run's own, None where the machine does not allow one. It must be empty again at the end."""
    for root, counter in ((_ROOT / "memory", "memory.usage_in_bytes"), (_ROOT, "memory.current")):
        folder = root / f"bench-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / counter).exists():
                yield Cgroup(folder, counter)
                return
        finally:
            folder.rmdir()
    yield None


def measure(start: Callable[[], Server], count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """The row of a server that is started for it and stopped."""
    with cgroup() as group, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        server = start()
        try:
            if group is not None:
                group.add(server.pid)
            calls = [_allocate(server, peer) for _ in range(_WARM_UP)]
            before = _read(server, group)
            calls += [_allocate(server, peer) for _ in range(count)]
            after = _read(server, group)
            for call in calls:
                call.release()
        finally:
            server.stop()
    found = row(server.name, before, after, count)
    tell(f"memory {server.name:8} {found['rss_bytes_per_allocation']:,} bytes for each idle allocation")
    return found


def row(server: str, before: Reading, after: Reading, count: int) -> dict[str, Any]:
    """One entry of the file."""
    charged = None
    if before.charged is not None and after.charged is not None:
        charged = round((after.charged - before.charged) / count)
    return {
        "case": "memory",
        "engine": server,
        "allocations": count,
        "rss_bytes_idle": before.resident,
        "rss_bytes_per_allocation": round((after.resident - before.resident) / count),
        "rss_and_kernel_bytes_per_allocation": charged if charged is not None else "no memory cgroup can be made here",
    }


def ratios(rows: Sequence[dict[str, Any]]) -> None:
    """Adds to each row how much less it holds than the first."""
    for each in rows:
        ours = max(1, each["rss_bytes_per_allocation"])
        each["peer"], each["ratio"] = rows[0]["engine"], round(rows[0]["rss_bytes_per_allocation"] / ours, 3)


def _allocate(server: Server, peer: socket.socket) -> Any:
    call = server.call()
    call.reach(Address(*peer.getsockname()), Framing.CHANNEL, _SIZE)
    return call


def _read(server: Server, group: Cgroup | None) -> Reading:
    return Reading(resident_bytes(server.pid), group.read() if group is not None else None)
