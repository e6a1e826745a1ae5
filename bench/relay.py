"""Relays side by side: the same load for each, round by round in turn, on the same cores."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench.cases import Case, Direction
from bench.generator import Flow, Load, generate, start_echo
from bench.results import LossError, Round, latency_entry, missing_row, row, summarize, summarize_latency
from bench.servers import Call, Server
from bench.topology import Cores, Topology
from bench.turn_client import TurnError
from fairlead.datagram import Address

_PEER_BUFFER = 4 << 20
_LONGEST = 1 << 16
_PROBES = 5
#: The load under which round trips are timed, as a part of what the peer relays at most.
_TIMED_AT = 0.2


@dataclass(frozen=True)
class Plan:
    """How each case is measured; `timed` rounds of round trips come behind the others, 0 leaves them out."""

    rounds: int
    seconds: float
    warm_up: float
    window: int
    cores: Cores
    topology: Topology
    timed: int = 0


class Bed:
    """The allocations of one server for one case, ready for its rounds. Raises TurnError where it refuses them."""

    def __init__(self, server: Server, case: Case, plan: Plan) -> None:
        self._server = server
        self._case = case
        self._plan = plan
        self._calls: list[Call] = []
        with plan.topology.peer():
            self._peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PEER_BUFFER)
        self._peer.bind((plan.topology.peer_host, 0))
        try:
            with plan.topology.client():
                self._flows = [self._flow() for _ in range(case.allocations)]
        except TurnError:
            self.close()
            raise

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

    def run(self, rate: float = 0.0) -> Round:
        """One round: as fast as the window lets, or timed, at so many round trips a second."""
        case, plan = self._case, self._plan
        load = Load(
            self._flows, self._peer, case.direction, case.size, plan.window, plan.warm_up, plan.seconds, case.train
        )
        if rate:
            load = load._replace(rate=rate, train=1, window=max(plan.window, len(self._flows)))
        return generate(load, self._server.pid, plan.topology.device_threads, plan.cores.generator)

    def close(self) -> None:
        for call in self._calls:
            call.release()
        self._peer.close()


@dataclass
class _Entry:
    """One server in one case: its bed, or what is in the way of one, and its rounds."""

    name: str
    bed: Bed | None = None
    missing: str = ""
    rounds: list[Round] = field(default_factory=list)
    timed: list[Round] = field(default_factory=list)


def measure(case: Case, servers: Sequence[Server], plan: Plan, tell: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """A row of one case for every server: all take their rounds in turn, so that they meet the same machine, and are
    compared with the first. Raises TurnError or LossError where the first cannot be measured."""
    with ExitStack() as stack:
        entries = [_Entry(server.name) for server in servers]
        for entry, server in zip(entries, servers, strict=True):
            try:
                entry.bed = Bed(server, case, plan)
            except TurnError as error:
                if entry is entries[0]:
                    raise
                entry.missing = str(error)
                tell(f"{case.name} {entry.name}: {error}")
                continue
            stack.callback(entry.bed.close)
        ready = [(entry, entry.bed) for entry in entries if entry.bed is not None]
        for number in range(plan.rounds):
            for entry, bed in ready:
                entry.rounds.append(bed.run())
                tell(f"{case.name} {number + 1}/{plan.rounds} {entry.name:8} {entry.rounds[-1]}")
        rate = summarize(entries[0].name, entries[0].rounds).delivered_pps / 2 * _TIMED_AT
        if case.direction is Direction.BOTH:
            for _ in range(plan.timed):
                for entry, bed in ready:
                    entry.timed.append(bed.run(rate))
    yield from _rows(case, entries, plan, rate)


def _rows(case: Case, entries: Sequence[_Entry], plan: Plan, rate: float) -> Iterator[dict[str, Any]]:
    peer = entries[0].name
    theirs = summarize(peer, entries[0].rounds)
    for entry in entries:
        about = (case, entry.name, peer, plan.topology.name)
        try:
            if entry.missing:
                raise LossError(entry.missing)
            found = row(*about, summarize(entry.name, entry.rounds), theirs)
        except LossError as error:
            yield missing_row(*about, str(error))
            continue
        if entry.timed:
            found["round_trip"] = latency_entry(summarize_latency(rate, entry.timed))
        yield found


def measure_generator(plan: Plan, size: int, clients: int) -> Round:
    """The generator against a plain echo on the relay's core: what it can do when nothing is relayed."""
    topology = plan.topology
    with topology.relay():
        echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind((topology.listen_host, 0))
    address = Address(*echo.getsockname())
    with ExitStack() as stack:
        stack.enter_context(echo)
        process = start_echo(echo, plan.cores.relay)
        stack.callback(process.wait)
        stack.callback(process.kill)
        flows = []
        stack.enter_context(topology.client())
        for _ in range(clients):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.connect(address)
            flows.append(Flow(sock, address, b"", 0))
        load = Load(flows, None, Direction.BOTH, size, plan.window, plan.warm_up, plan.seconds)
        return generate(load, process.pid, topology.device_threads, plan.cores.generator)
