"""Living calls and newcomers while strangers flood: how much the calls lose, how long an Allocate takes."""

import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from struct import Struct

from bench.cases import Framing
from bench.junk import Kind, Sent
from bench.servers import ACCOUNT, Place, Server, Turnd
from bench.trouble import BenchError
from bench.turn_client import TurnClient, TurnError
from bench.usage import cpu_nanoseconds, resident_bytes
from fairlead.datagram import Address

_SIZE = 172
_STAMP = Struct("!II")
_BUFFER = 4 << 20
#: Seconds between two packets of a call, as audio has them; between two Allocates; and after which silence says that
#: what has not arrived is lost.
_FRAME, _BETWEEN, _LAST = 0.02, 0.5, 2.0


class Defended(Turnd):
    """turnd with the limits that it has by default, which other benchmarks switch off."""

    def _configuration(self, place: Place) -> dict[str, object]:
        configuration = super()._configuration(place)
        section = configuration["turnd"]
        assert isinstance(section, dict)
        del section["limits"]
        return configuration


@dataclass
class Traffic:
    """Packets of the calls: what clients sent, what reached the peer, what came back to them."""

    sent: int = 0
    up: int = 0
    down: int = 0

    @property
    def loss(self) -> float:
        """Of the packets that were sent in either direction, the part that did not arrive."""
        total = self.sent + self.up
        return (total - self.up - self.down) / total if total else 1.0


@dataclass
class Newcomers:
    """Clients that make an allocation, one after the other, until they are told to stop."""

    server: Address
    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def come(self) -> None:
        while True:
            began = time.monotonic()
            try:
                client, _ = TurnClient.with_allocation(self.server, ACCOUNT)
            except TurnError:
                self.refused += 1
            else:
                self.seconds.append(time.monotonic() - began)
                client.socket.close()
            if self._over.wait(_BETWEEN):
                return

    def stop(self) -> None:
        self._over.set()


class Calls:
    """So many allocations with a channel each to one peer, which echoes."""

    def __init__(self, server: Server, count: int) -> None:
        self._peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._peer.bind((server.address.host, 0))
        self._calls = [server.call() for _ in range(count)]
        address = Address(*self._peer.getsockname())
        self._prefixes = [call.reach(address, Framing.CHANNEL, _SIZE) for call in self._calls]
        self._clients = {call.socket.fileno(): call.socket for call in self._calls}
        self._poll = select.epoll()
        for watched in (self._peer, *self._clients.values()):
            watched.setblocking(False)
            self._poll.register(watched, select.EPOLLIN)

    def talk(self, seconds: float) -> Traffic:
        """Every call sends a packet each 20 ms, none at the same moment as another, until so many seconds are over and
        all have arrived, or nothing comes any more."""
        traffic, count = Traffic(), len(self._calls)
        began = moved = time.monotonic()
        total = int(seconds / _FRAME * count)
        while traffic.sent < total or (traffic.down < total and time.monotonic() - moved < _LAST):
            due = min(total, int((time.monotonic() - began) / _FRAME * count))
            for turn in range(traffic.sent, due):
                place = turn % count
                self._calls[place].socket.send(self._prefixes[place] + _STAMP.pack(place, turn) + bytes(_SIZE - 8))
            traffic.sent = due
            for descriptor, _ in self._poll.poll(_FRAME / 10):
                moved = time.monotonic()
                if descriptor == self._peer.fileno():
                    traffic.up += self._echo()
                else:
                    traffic.down += _received(self._clients[descriptor])
        return traffic

    def _echo(self) -> int:
        count = 0
        try:
            while True:
                data, source = self._peer.recvfrom(2048)
                self._peer.sendto(data, source)
                count += 1
        except BlockingIOError:
            return count

    def close(self) -> None:
        self._poll.close()
        self._peer.close()
        for call in self._calls:
            call.socket.close()


def _received(client: socket.socket) -> int:
    count = 0
    try:
        while True:
            client.recv(2048)
            count += 1
    except BlockingIOError:
        return count


@dataclass(frozen=True)
class Flood:
    """What strangers send; a rate of 0 is none."""

    kinds: Sequence[Kind]
    rate: int
    sources: int


def measure(server: Server, flood: Flood, calls: int, seconds: float) -> dict[str, object]:
    """One row; the server is flooded from the first packet of the calls to the last. Raises BenchError."""
    newcomers = Newcomers(server.address)
    thread = threading.Thread(target=newcomers.come, daemon=True)
    with closing(Calls(server, calls)) as living:
        resident, used = resident_bytes(server.pid), cpu_nanoseconds(server.pid)
        source = _start(server.address, flood, seconds) if flood.rate else None
        thread.start()
        traffic = living.talk(seconds)
        newcomers.stop()
        junk = _finish(source) if source is not None else Sent(0, seconds)
        thread.join()
    return {
        "case": f"flood-{'+'.join(flood.kinds)}" if flood.rate else "flood-none",
        "engine": server.name,
        "calls": calls,
        "seconds": seconds,
        "sources": flood.sources if flood.rate else 0,
        "flood_pps": round(junk.packets / junk.seconds),
        "packets": traffic.sent + traffic.up,
        "lost": traffic.sent - traffic.down,
        "loss": round(traffic.loss, 6),
        "allocates": len(newcomers.seconds),
        "allocates_failed": newcomers.refused,
        "allocate_seconds_max": round(max(newcomers.seconds, default=0.0), 3),
        "server_load": round((cpu_nanoseconds(server.pid) - used) / 1e9 / seconds, 3),
        "resident_growth_kib": (resident_bytes(server.pid) - resident) // 1024,
    }


def _start(server: Address, flood: Flood, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.junk", server.host, str(server.port), "--kind", *flood.kinds]
    amount = ["--rate", str(flood.rate), "--seconds", str(seconds), "--sources", str(flood.sources)]
    return subprocess.Popen([*command, *amount], stdout=subprocess.PIPE, text=True)


def _finish(source: subprocess.Popen[str]) -> Sent:
    output, _ = source.communicate(timeout=30)
    if source.returncode:
        raise BenchError(f"the flood ended with {source.returncode}; what it said stands above")
    return Sent(*json.loads(output))
