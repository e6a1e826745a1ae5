"""Which process has a port: the sockets of /proc/net and the descriptors of /proc/PID/fd."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fairlead.datagram import Address, unpack_host
from fairlead.udp import is_wildcard

_LISTENING = "0A"


class Holder(NamedTuple):
    """The process that has a port."""

    pid: int
    command: str

    @property
    def is_us(self) -> bool:
        return self.pid == os.getpid()

    def __str__(self) -> str:
        return f"{'this process itself' if self.is_us else self.command} (pid {self.pid})"


def port_holder(is_stream: bool, address: Address) -> Holder | None:
    """The process whose socket is in the way of binding an address; None when nobody can be named, for want of
    privilege most of all."""
    name = "tcp" if is_stream else "udp"
    for table in (name, f"{name}6"):
        for local, inode in _sockets(Path("/proc/net") / table, is_stream):
            if local.port == address.port and _overlaps(local.host, address.host):
                pid = _owner(inode)
                if pid is not None:
                    return Holder(pid, _command(pid))
    return None


def _overlaps(one: str, other: str) -> bool:
    return one == other or is_wildcard(one) or is_wildcard(other)


def _sockets(table: Path, is_stream: bool) -> Iterator[tuple[Address, int]]:
    """The local address and inode of every socket in a table: `sl local rem st ... inode` in hexadecimal."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    for fields in map(str.split, lines):
        if not is_stream or fields[3] == _LISTENING:
            host, _, port = fields[1].partition(":")
            yield Address(_host(host), int(port, 16)), int(fields[9])


def _host(digits: str) -> str:
    """An address as the kernel prints it: 32-bit words, each in the machine's byte order."""
    words = (int(digits[at : at + 8], 16) for at in range(0, len(digits), 8))
    return unpack_host(b"".join(socket.htonl(word).to_bytes(4) for word in words))


def _owner(inode: int) -> int | None:
    target = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError), os.scandir(process / "fd") as entries:
                if any(os.readlink(entry) == target for entry in entries):
                    return int(process.name)
    return None


def _command(pid: int) -> str:
    """The command's name, or MODULE of `python -m MODULE`; no further arguments, which may be secret."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "a process"
    if name.startswith("python") and arguments[1:2] == [b"-m"]:
        return arguments[2].decode(errors="replace")
    return name
