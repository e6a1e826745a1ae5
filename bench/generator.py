"""The load generator: started on sockets that are ready, read as a Round."""

import socket
import subprocess
from collections.abc import Sequence
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
    the relay itself echoes."""

    flows: Sequence[Flow]
    peer: socket.socket | None
    direction: Direction
    size: int
    window: int
    warm_up: float
    seconds: float
    train: int = 1


def generate(load: Load, relay_pid: int, core: int | None) -> Round:
    """Runs one round; raises ProgramError."""
    sockets = [flow.socket for flow in load.flows] + ([load.peer] if load.peer else [])
    seconds = load.warm_up + load.seconds + 30
    return Round(**report(_SOURCE, ["load"], _plan(load, relay_pid), core, seconds, sockets))


def start_echo(sock: socket.socket, core: int | None) -> subprocess.Popen[str]:
    """A process that sends back what comes in on a bound socket: what relaying costs without relaying."""
    command = on_core(core, [str(compiled(_SOURCE)), "echo", str(sock.fileno())])
    return subprocess.Popen(command, pass_fds=[sock.fileno()], text=True)


def _plan(load: Load, relay_pid: int) -> str:
    peer = load.peer.fileno() if load.peer else -1
    head = (
        load.direction,
        load.size,
        load.window,
        load.warm_up,
        load.seconds,
        relay_pid,
        peer,
        load.train,
        len(load.flows),
    )
    rows = [(flow.socket.fileno(), *flow.relayed, flow.prefix.hex() or "-", flow.skipped) for flow in load.flows]
    return "\n".join(" ".join(map(str, line)) for line in (head, *rows))
