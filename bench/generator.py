"""The load generator: started on sockets that are ready, read as a Round."""

import socket
import subprocess
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.cases import Direction
from bench.programs import compiled, on_core, report
from bench.results import Round
from fairlead.datagram import Address

_SOURCE = "generator.c"


class Flow(NamedTuple):
    """One client's socket, where its peers' packets go to, and what frames its payloads both ways."""

    socket: socket.socket
    relayed: Address
    prefix: bytes
    skipped: int


class Load(NamedTuple):
    """A closed window of `window` packets over all flows, `train` of them leaving together; `peer` None means that
    the relay itself echoes. With a `rate`, so many packets a second leave instead, and round trips are timed."""

    flows: Sequence[Flow]
    peer: socket.socket | None
    direction: Direction
    size: int
    window: int
    warm_up: float
    seconds: float
    train: int = 1
    rate: float = 0.0


def generate(load: Load, relay_pid: int, device_threads: Iterable[int], core: int | None) -> Round:
    """Runs one round; the threads are the kernel's that receive for the relay. Raises ProgramError."""
    sockets = [flow.socket for flow in load.flows] + ([load.peer] if load.peer else [])
    seconds = load.warm_up + load.seconds + 30
    plan = _plan(load, relay_pid, device_threads)
    return Round(**report(_SOURCE, ["load"], plan, core, seconds, sockets))


def start_echo(sock: socket.socket, core: int | None) -> subprocess.Popen[str]:
    """A process that sends back what comes in on a bound socket: what relaying costs without relaying."""
    command = on_core(core, [str(compiled(_SOURCE)), "echo", str(sock.fileno())])
    return subprocess.Popen(command, pass_fds=[sock.fileno()], text=True)


def _plan(load: Load, relay_pid: int, device_threads: Iterable[int]) -> str:
    peer = load.peer.fileno() if load.peer else -1
    head = (
        load.direction,
        load.size,
        load.window,
        load.warm_up,
        load.seconds,
        relay_pid,
        ",".join(map(str, device_threads)) or "-",
        peer,
        load.train,
        load.rate,
        len(load.flows),
    )
    rows = [(flow.socket.fileno(), *flow.relayed, flow.prefix.hex() or "-", flow.skipped) for flow in load.flows]
    return "\n".join(" ".join(map(str, line)) for line in (head, *rows))
