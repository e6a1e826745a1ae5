"""Where clients, relay and peers stand: all on the loopback, or each in a network namespace of its own.

Between namespaces run veth pairs whose devices are polled by threads of the kernel (NAPI): so the work that the kernel
does to receive for the relay is a thread's, and its CPU time can be read, where the loopback does it inside of the
sender's system call.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.trouble import BenchError

_CLONE_NEWNET = 0x40000000
#: linux/sockios.h and ethtool.h
_SIOCETHTOOL, _ETHTOOL_SGRO, _ETHTOOL_STSO = 0x8946, 0x2C, 0x1F
#: RFC 2544 keeps this range for benchmarks.
_NETWORKS = {"client": "198.18.1", "peer": "198.18.2"}


class TopologyError(BenchError):
    """The hosts cannot be made; the text says what is missing."""


class Cores(NamedTuple):
    """Where the generator and the relays run; None where there is only one core."""

    generator: int | None
    relay: int | None

    @classmethod
    def choose(cls) -> "Cores":
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[-1]) if len(usable) > 1 else cls(None, None)


class Topology(Protocol):
    """Three hosts. What is opened or started within client(), relay() or peer() is on that host.

    `listen_host` is the relay's address for clients, `relay_host` that of its relayed addresses, `peer_host` the
    peers'. `device_threads` are the threads of the kernel that receive for the relay.
    """

    name: str
    listen_host: str
    relay_host: str
    peer_host: str
    device_threads: tuple[int, ...]

    def client(self) -> AbstractContextManager[None]: ...

    def relay(self) -> AbstractContextManager[None]: ...

    def peer(self) -> AbstractContextManager[None]: ...

    def close(self) -> None: ...


class Loopback:
    """All three are this machine."""

    name = "loopback"
    listen_host = relay_host = peer_host = "127.0.0.1"
    device_threads: tuple[int, ...] = ()

    def client(self) -> AbstractContextManager[None]:
        return nullcontext()

    relay = peer = client

    def close(self) -> None:
        """Nothing was made."""


class Namespaces:
    """client - relay - peer, each a network namespace: named after this process, and gone when it is closed.

    Raises TopologyError where they cannot be made, for want of root most likely.
    """

    name = "namespaces"
    relay_host = f"{_NETWORKS['peer']}.1"
    listen_host = f"{_NETWORKS['client']}.1"
    peer_host = f"{_NETWORKS['peer']}.2"

    def __init__(self, cores: Cores) -> None:
        self._names = {host: f"bench-{host}-{os.getpid()}" for host in ("client", "relay", "peer")}
        self._open = ExitStack()
        try:
            for name in self._names.values():
                _ip("netns", "add", name)
                self._open.callback(_ip, "netns", "delete", name)
                _ip("-n", name, "link", "set", "lo", "up")
            for host, network in _NETWORKS.items():
                self._connect(host, network)
            self.device_threads = self._threads("relay", cores.relay)
            for host in _NETWORKS:
                self._threads(host, cores.generator)
        except BaseException:
            self.close()
            raise

    def client(self) -> AbstractContextManager[None]:
        return _inside(self._names["client"])

    def relay(self) -> AbstractContextManager[None]:
        return _inside(self._names["relay"])

    def peer(self) -> AbstractContextManager[None]:
        return _inside(self._names["peer"])

    def close(self) -> None:
        """Takes the namespaces away, and their devices with them."""
        self._open.close()

    def _connect(self, host: str, network: str) -> None:
        """A veth pair between the relay and another host, whose way to everywhere it is."""
        far, near = self._names[host], self._names["relay"]
        device, end = f"r{host}", host
        _ip("link", "add", device, "netns", near, "type", "veth", "peer", "name", end, "netns", far)
        for name, link, last in ((near, device, 1), (far, end, 2)):
            _ip("-n", name, "address", "add", f"{network}.{last}/24", "dev", link)
            with _inside(name):
                # With GRO a veth device polls; without TSO it is given packets of the size that a wire carries.
                _set_feature(link, _ETHTOOL_SGRO, on=True)
                _set_feature(link, _ETHTOOL_STSO, on=False)
            _ip("-n", name, "link", "set", link, "up")
        _ip("-n", far, "route", "add", "default", "via", f"{network}.1")

    def _threads(self, host: str, core: int | None) -> tuple[int, ...]:
        """Has threads poll the devices of a host, all on one core; returns them."""
        links = [link for link in _links(self._names[host]) if link != "lo"]
        before = {pid for pid, _ in _kernel_threads()}
        for link in links:
            # /sys shows the namespace of whoever mounted it, which `ip netns exec` does anew.
            script = f"echo 1 > /sys/class/net/{link}/threaded"
            _run("ip", "netns", "exec", self._names[host], "sh", "-c", script)
        # Whoever was killed has left namespaces behind, and threads of the same names.
        fresh = [(pid, name) for pid, name in _kernel_threads() if pid not in before]
        found = tuple(pid for pid, name in fresh if any(name.startswith(f"napi/{link}-") for link in links))
        if len(found) < len(links):
            raise TopologyError("this kernel gives veth devices no threads of their own (threaded NAPI, Linux 5.12)")
        for thread in found:
            if core is not None:
                os.sched_setaffinity(thread, {core})
        return found


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise TopologyError(
            f"{command[0]} is not here: sudo apt-get install --no-install-recommends iproute2"
        ) from None
    except subprocess.CalledProcessError as error:
        raise TopologyError(
            f"network namespaces want root: sudo, or --topology loopback ({' '.join(command)}: {error.stderr.strip()})"
        ) from None


def _ip(*words: str) -> str:
    return _run("ip", *words)


def _links(namespace: str) -> list[str]:
    rows = _ip("-n", namespace, "-brief", "link").splitlines()
    return [row.split()[0].partition("@")[0] for row in rows]


def _kernel_threads() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int(folder.name), (folder / "comm").read_text().strip()
        except OSError:
            continue  # it has ended


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """Puts this thread into a namespace; sockets stay where they were made, and so do programs."""
    libc = ctypes.CDLL(None, use_errno=True)
    with ExitStack() as stack:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        stack.callback(os.close, before)
        after = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        stack.callback(os.close, after)
        if libc.setns(after, _CLONE_NEWNET):
            raise TopologyError(f"setns: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            libc.setns(before, _CLONE_NEWNET)


def _set_feature(link: str, command: int, on: bool) -> None:
    """What `ethtool -K` does, for one feature."""
    value = ctypes.create_string_buffer(struct.pack("=II", command, on))
    request = struct.pack("16sP", link.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


#: Topologies by the name that is typed.
TOPOLOGIES: dict[str, Callable[[Cores], Topology]] = {"loopback": lambda cores: Loopback(), "namespaces": Namespaces}
