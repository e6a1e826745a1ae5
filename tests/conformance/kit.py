"""Clients, peers and relay sockets around an engine: real sockets on one loopback address, and nothing else."""

import math
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from itertools import count
from typing import Any, Protocol, TypeVar, runtime_checkable

import pytest

from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.native import EngineChoice, EngineMissingError
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, XOR_PEER_ADDRESS, Attribute
from fairlead.stun.header import Class, DecodeError, Method
from fairlead.stun.message import decode, encode, new_mask
from tests.skipping import skip_for_lack_of
from turnd.dataplane.choice import make_engine
from turnd.dataplane.contract import (
    DataPlane,
    Direction,
    EngineSettings,
    Framing,
    HandUp,
    Io,
    IoRefusedError,
    StreamData,
)
from turnd.routes import Channel, Permission, Ports, RelayId

#: The listener of every rig, and how its clients' messages come.
LISTENER = 1
VIA = Via(LISTENER)
#: The channel that Rig.call binds.
NUMBER = 0x4000
#: Longer than any packet of these tests takes; only a failing test waits for it.
PATIENCE = 20.0
NONE: Mapping[Reason, int] = {}
AnyEnd = TypeVar("AnyEnd", bound="End")

#: The transaction of every message that a client or a peer of these tests writes.
TRANSACTION = b"transaction!"
_MASK = new_mask(TRANSACTION)

IPV4, IPV6 = "127.0.0.1", "::1"


#: How the native engine can get packets in and out of the kernel.
WAYS = (Io.EPOLL, Io.IO_URING)
#: The longest datagram over each.
LONGEST = {IPV4: 65507, IPV6: 65527}


def engine_or_skip(choice: EngineChoice, settings: EngineSettings) -> DataPlane:
    """Makes an engine; skips the running test where this installation or this machine has none of that kind."""
    try:
        return make_engine(choice, settings)
    except EngineMissingError as missing:
        skip_for_lack_of(f"the engine {choice}", enable=missing.remedy)
    except IoRefusedError as refused:
        skip_for_lack_of("io_uring", enable=refused.remedy)


def channel_data(data: bytes, number: int = NUMBER, length: int | None = None) -> bytes:
    """ChannelData without padding; `length` is what its header says instead of the truth."""
    return number.to_bytes(2) + (len(data) if length is None else length).to_bytes(2) + data


def send_indication(*rows: tuple[Attribute[Any], Any], fingerprint: bool = False) -> bytes:
    return encode(Method.SEND, Class.INDICATION, _MASK, rows, with_fingerprint=fingerprint)


def plain_send(peer: Address, data: bytes, fingerprint: bool = False) -> bytes:
    return send_indication((XOR_PEER_ADDRESS, peer), (DATA, data), fingerprint=fingerprint)


def message_of(size: int) -> bytes:
    """A message for the core that is so long, a multiple of 4."""
    return encode(Method.ALLOCATE, Class.REQUEST, _MASK, [(DATA, bytes(size - 24))])


@runtime_checkable
class SelfWorking(Protocol):
    """An engine that works while nobody calls it."""

    def settle(self) -> None: ...


class End:
    """A socket of somebody else: a client or a peer."""

    def __init__(self, rig: "Rig", host: str, port: int = 0) -> None:
        bound = udp_socket(host, port)
        self.rig = rig
        self.socket = bound
        self.address = Address(*bound.getsockname()[:2])

    def send(self, data: bytes, destination: Address) -> None:
        self.socket.sendto(data, destination)

    def receive(self) -> tuple[bytes, Address]:
        """The next datagram and where it came from; the engine works meanwhile."""
        arrived: list[tuple[bytes, Address]] = []

        def has_arrived() -> bool:
            try:
                data, source = self.socket.recvfrom(1 << 16)
            except BlockingIOError:
                return False
            arrived.append((data, Address(*source[:2])))
            return True

        self.rig.work_until(has_arrived, self.socket)
        return arrived[0]

    def is_silent(self) -> bool:
        """Whether nothing has arrived that nobody has read."""
        return not select.select([self.socket], [], [], 0)[0]

    def close(self) -> None:
        self.socket.close()


class Client(End):
    """A UDP client of the rig's listener."""

    @property
    def five_tuple(self) -> FiveTuple:
        return FiveTuple(Transport.UDP, self.address, self.rig.listener)

    def say(self, data: bytes) -> None:
        self.send(data, self.rig.listener)


class Rig:
    """An engine with one listener."""

    def __init__(self, engine: DataPlane, host: str, stack: ExitStack) -> None:
        self.engine = engine
        self.host = host
        self.listener = engine.open_listener(LISTENER, Address(host, 0))
        self.handed_up: list[HandUp] = []
        self._stack = stack
        self._relay_numbers = count(1)
        self._ends: list[End] = []

    def client(self) -> Client:
        return self._open(Client(self, self.host))

    def peer(self, host: str | None = None, port: int = 0) -> End:
        return self._open(End(self, host or self.host, port))

    def relay(self, owner: FiveTuple | None = None, via: Via = VIA, host: str | None = None) -> "Relay":
        """Opens a relay socket, which belongs to `owner` if there is one."""
        number = RelayId(next(self._relay_numbers))
        while True:
            address = free_address(host or self.host)
            try:
                self.engine.open_relay(number, address)
            except OSError:
                continue  # somebody was faster
            break
        if owner is not None:
            self.engine.set_client(number, owner, via)
        return Relay(self, number, address)

    def call(self) -> tuple[Client, "Relay", End]:
        """A client with a relay socket, and a peer that it has a permission for and the channel NUMBER."""
        client, peer = self.client(), self.peer()
        relay = self.relay(client.five_tuple)
        relay.permit(peer.address.host)
        relay.bind(NUMBER, peer.address)
        return client, relay, peer

    def work_until(self, done: Callable[[], bool], *sockets: socket.socket) -> None:
        """Gives the engine its turns until it is done; fails when it never is."""
        deadline = time.monotonic() + PATIENCE
        while True:
            settle(self.engine)
            self.handed_up += map(self._whichever_thread, self.engine.turn())
            if done():
                return
            assert time.monotonic() < deadline, f"still waiting; dropped {self.all_dropped()}"
            watched: list[int] = [self.engine.fileno(), *(each.fileno() for each in sockets)]
            select.select(watched, [], [], 0.2)

    def _whichever_thread(self, item: HandUp) -> HandUp:
        """The same, as if the first thread had handed it up: the kernel picks one for each client."""
        if isinstance(item, StreamData) or item.five_tuple.transport is not Transport.UDP:
            return item
        assert 0 <= item.via.path < self.engine.threads
        return item._replace(via=Via(item.via.listener))

    def next_handed_up(self) -> HandUp:
        self.work_until(lambda: bool(self.handed_up))
        return self.handed_up.pop(0)

    def expect_dropped(self, reason: Reason, times: int = 1, before: Mapping[Reason, int] = NONE) -> None:
        """Waits until so much has been dropped, for this reason alone, and nothing has come out anywhere."""
        self.work_until(lambda: self.engine.counters().dropped[reason] >= times)
        assert self.all_dropped() == {**before, reason: times}
        self.expect_silence()

    def expect_junk(self, message: bytes, client: "Client") -> None:
        """A client sends what has no header of STUN: it is handed up, or dropped for what is wrong with it."""
        before = self.all_dropped()
        client.say(message)
        with pytest.raises(DecodeError) as wrong:
            decode(message)
        reason = wrong.value.reason
        self.work_until(lambda: bool(self.handed_up) or self.all_dropped() != before)
        if self.handed_up:
            assert self.handed_up.pop() == Datagram(message, client.five_tuple, VIA)
            assert self.all_dropped() == before
        else:
            assert self.all_dropped() == {**before, reason: before.get(reason, 0) + 1}
        self.expect_silence()

    def expect_silence(self) -> None:
        """Nothing is handed up, and nothing has arrived at an end that has not read it."""
        assert not self.handed_up
        assert all(end.is_silent() for end in self._ends)

    def all_dropped(self) -> dict[Reason, int]:
        return {reason: times for reason, times in self.engine.counters().dropped.items() if times}

    def passed(self) -> dict[tuple[Direction, Framing], tuple[int, int]]:
        """Packets and bytes of every kind that has any."""
        counters = self.engine.counters()
        return {kind: (packets, counters.bytes[kind]) for kind, packets in counters.packets.items() if packets}

    def close(self, end: End) -> None:
        self._ends.remove(end)
        end.close()

    def _open(self, end: AnyEnd) -> AnyEnd:
        self._ends.append(end)
        return self._stack.enter_context(closing(end))


class Relay:
    """A relay socket of the engine, with its verbs."""

    def __init__(self, rig: Rig, number: RelayId, address: Address) -> None:
        self.rig = rig
        self.number = number
        self.address = address

    def permit(self, host: str, ports: Ports = Ports.ANY, until: float = math.inf) -> Permission:
        route = Permission(self.number, host, ports)
        self.rig.engine.set_route(route, until)
        return route

    def bind(self, number: int, peer: Address, until: float = math.inf) -> Channel:
        route = Channel(self.number, number, peer)
        self.rig.engine.set_route(route, until)
        return route


def settle(engine: DataPlane) -> None:
    """Lets an engine that works by itself deal with all that has arrived; others do it when they are given a turn."""
    if isinstance(engine, SelfWorking):
        engine.settle()


def free_address(host: str) -> Address:
    """An address that nobody has at this moment."""
    with udp_socket(host) as probe:
        return Address(*probe.getsockname()[:2])


def udp_socket(host: str, port: int = 0) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind((host, port))
    return opened
