"""Relays side by side: the same load for each, round by round in turn, on the same cores."""

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.cases import Case, Direction
from bench.generator import Flow, Load, generate, start_echo
from bench.results import Round, row, summarize
from bench.servers import Call, Server
from bench.turn_client import TurnError
from fairlead.datagram import Address

_PEER_BUFFER = 4 << 20
_LONGEST = 1 << 16
_PROBES = 5


class Cores(NamedTuple):
    """Where the generator and the relays run; None where there is only one core."""

    generator: int | None
    relay: int | None

    @classmethod
    def choose(cls) -> "Cores":
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[-1]) if len(usable) > 1 else cls(None, None)


@dataclass(frozen=True)
class Plan:
    """How each case is measured."""

    rounds: int
    seconds: float
    warm_up: float
    window: int
    cores: Cores


class Bed:
    """The allocations of one server for one case, ready for its rounds."""

    def __init__(self, server: Server, case: Case) -> None:
        self._server = server
        self._case = case
        self._calls: list[Call] = []
        self._peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PEER_BUFFER)
        self._peer.bind(("127.0.0.1", 0))
        self._flows = [self._flow() for _ in range(case.allocations)]

    def _flow(self) -> Flow:
        call = self._server.call()
        self._calls.append(call)
        prefix = call.reach(Address(*self._peer.getsockname()), self._case.framing, self._case.size)
        return Flow(call.socket, call.relayed, prefix, self._place_of_payload(call))

    def _place_of_payload(self, call: Call) -> int:
        """Where a payload begins in what the client gets; servers put the attributes of a Data indication in
        different orders. Raises TurnError when nothing comes through."""
        payload = os.urandom(self._case.size)
        for _ in range(_PROBES):
            self._peer.sendto(payload, call.relayed)
            try:
                place = call.socket.recv(_LONGEST).find(payload)
            except TimeoutError:
                continue
            if place >= 0:
                return place
        raise TurnError(f"nothing comes through {call.relayed}")

    def run(self, plan: Plan) -> Round:
        case = self._case
        load = Load(
            self._flows, self._peer, case.direction, case.size, plan.window, plan.warm_up, plan.seconds, case.train
        )
        return generate(load, self._server.pid, plan.cores.generator)

    def close(self) -> None:
        for call in self._calls:
            call.release()
        self._peer.close()


def measure(
    case: Case, engines: Sequence[tuple[str, Server]], peer: Server, plan: Plan, tell: Callable[[str], None]
) -> Iterable[dict[str, Any]]:
    """Rows of one case: every engine and the peer take their rounds in turn, so that they meet the same machine.

    Raises LossError.
    """
    with ExitStack() as stack:
        beds = [(name, Bed(server, case)) for name, server in [*engines, (peer.name, peer)]]
        for _, bed in beds:
            stack.callback(bed.close)
        rounds: list[list[Round]] = [[] for _ in beds]
        for number in range(plan.rounds):
            for (name, bed), taken in zip(beds, rounds, strict=True):
                taken.append(bed.run(plan))
                tell(f"{case.name} {number + 1}/{plan.rounds} {name:8} {taken[-1]}")
    *ours, theirs = [summarize(name, taken) for (name, _), taken in zip(beds, rounds, strict=True)]
    for (name, _), summary in zip(engines, ours, strict=True):
        yield row(case, name, peer.name, summary, theirs)


def measure_generator(plan: Plan, size: int, clients: int) -> Round:
    """The generator against a plain echo on the relay's core: what it can do when nothing is relayed."""
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind(("127.0.0.1", 0))
    address = Address(*echo.getsockname())
    with ExitStack() as stack:
        stack.enter_context(echo)
        process = start_echo(echo, plan.cores.relay)
        stack.callback(process.wait)
        stack.callback(process.kill)
        flows = []
        for _ in range(clients):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.connect(address)
            flows.append(Flow(sock, address, b"", 0))
        load = Load(flows, None, Direction.BOTH, size, plan.window, plan.warm_up, plan.seconds)
        return generate(load, process.pid, plan.cores.generator)
