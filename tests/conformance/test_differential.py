"""The same course of packets through each engine: what arrives, and what is counted, is the same to the byte."""

import math
from contextlib import ExitStack, closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.datagram import Datagram
from fairlead.native import EngineChoice
from fairlead.reasons import Reason
from fairlead.stun.attributes import XOR_PEER_ADDRESS
from fairlead.stun.header import Class, DecodeError, Method
from fairlead.stun.message import decode, encode, new_mask
from tests.conformance.kit import (
    IPV4,
    IPV6,
    NUMBER,
    TRANSACTION,
    WAYS,
    End,
    Relay,
    Rig,
    channel_data,
    engine_or_skip,
    plain_send,
    settle,
)
from tests.loopback import require_ipv6
from turnd.dataplane.contract import DataPlane, EngineSettings, Io
from turnd.routes import Channel, Permission, Ports

CALLS, STRANGER = 2, 2
#: Loopback has one address of IPv6, so nobody is at the other host there; who may send from it is said all the same.
OTHER_HOST = {IPV4: "127.0.0.2", IPV6: "::2"}

calls = st.integers(0, CALLS - 1)
speakers = st.integers(0, STRANGER)
numbers = st.integers(NUMBER, NUMBER + 2)
#: Peers of each call, one at another host; and the relay sockets, by which clients meet.
peers = st.integers(0, 2 * CALLS - 1)
payloads = st.binary(max_size=9)
#: Of audio, of video, the longest that one packet of Ethernet holds, and longer ones that the kernel cuts.
lengths = st.sampled_from([172, 1172, 1200, 1472, 8000])
#: Packets of a train; as many of the longest as a socket has room for while nobody reads it.
shares = st.integers(2, 8)
#: Over long ago, or never to come.
deadlines = st.sampled_from([math.inf, math.inf, 0.0])
actions = st.one_of(
    st.tuples(st.just("channel"), speakers, numbers, payloads, st.integers(-2, 3)),
    st.tuples(st.just("indication"), speakers, peers, payloads, st.booleans()),
    st.tuples(st.just("raw"), speakers, st.binary(max_size=40)),
    st.tuples(st.just("broken"), speakers, peers, payloads, st.integers(0, 60), st.integers(0, 255)),
    st.tuples(st.just("down"), calls, peers, payloads),
    st.tuples(st.just("train"), speakers, numbers, lengths, shares),
    st.tuples(st.just("train_of_indications"), speakers, peers, lengths, shares),
    st.tuples(st.just("train_down"), calls, peers, lengths, shares),
    st.tuples(st.just("permit"), calls, st.booleans(), st.sampled_from(Ports), deadlines),
    st.tuples(st.just("forbid"), calls, st.booleans(), st.sampled_from(Ports)),
    st.tuples(st.just("bind"), calls, numbers, peers, deadlines),
    st.tuples(st.just("expire"), calls, deadlines),
    st.tuples(st.just("unbind"), calls, numbers, peers),
    st.tuples(st.just("deny"), peers),
)


class Play:
    """One engine on stage, and the record of what everybody saw. Places stand in it for addresses: ports differ."""

    def __init__(self, engine: DataPlane, host: str, stack: ExitStack) -> None:
        self.rig = rig = Rig(engine, host, stack)
        self._other = OTHER_HOST[host]
        self.relays: list[Relay] = []
        self.clients = [rig.client() for _ in range(CALLS + 1)]
        self.peers: list[End] = []
        for client in self.clients[:CALLS]:
            self.relays.append(rig.relay(client.five_tuple))
            self.peers += [rig.peer(), rig.peer(self._other if host == IPV4 else host)]
            self.relays[-1].permit(host)
            self.relays[-1].bind(NUMBER, self.peers[-2].address)
        ends = [each.address for each in (*self.clients, *self.peers)] + [relay.address for relay in self.relays]
        self._names = {address: place for place, address in enumerate(ends)} | {rig.listener: -1}
        self.record: list[Any] = []
        self._junk: dict[Reason, int] = {}

    def run(self, action: tuple[Any, ...]) -> None:
        verb, *rest = action
        getattr(self, f"_{verb}")(*rest)
        settle(self.rig.engine)
        handed_up = list(self.rig.engine.turn())
        heard = [[*self._heard(end)] for end in (*self.clients, *self.peers)]
        self.record.append((action, heard, [item for item in map(self._core, handed_up) if item]))

    def totals(self) -> tuple[Any, ...]:
        return self.rig.passed(), self._dropped()

    def _core(self, item: Any) -> Any:
        """What the core gets to read; junk is as good as dropped."""
        assert isinstance(item, Datagram)
        try:
            decode(item.data)
        except DecodeError as error:
            self._junk[error.reason] = self._junk.get(error.reason, 0) + 1
            return None
        return self._names[item.five_tuple.client], self._read(item.data)

    def _heard(self, end: End) -> Any:
        while not end.is_silent():
            data, source = end.receive()
            yield self._names[source], self._read(data)

    def _read(self, data: bytes) -> bytes:
        """Without what is one engine's own: addresses, and the transaction ids of Data indications, which mask them."""
        is_told = data[:2] == b"\0\x17" and len(data) >= 20
        mask = new_mask(data[8:20] if is_told else TRANSACTION)
        for address, place in self._names.items():
            written = encode(Method.DATA, Class.INDICATION, mask, [(XOR_PEER_ADDRESS, address)])[24:]
            data = data.replace(written, bytes([place % 256]) * len(written))
        return data[:8] + data[20:] if is_told else data

    def _dropped(self) -> dict[Reason, int]:
        dropped = self.rig.all_dropped()
        return {reason: dropped.get(reason, 0) + self._junk.get(reason, 0) for reason in {*dropped, *self._junk}}

    # Actions

    def _channel(self, speaker: int, number: int, data: bytes, lie: int) -> None:
        self.clients[speaker].say(channel_data(data, number, max(0, len(data) + lie)))

    def _indication(self, speaker: int, peer: int, data: bytes, stamped: bool) -> None:
        self.clients[speaker].say(plain_send(self.peers[peer].address, data, stamped))

    def _raw(self, speaker: int, data: bytes) -> None:
        self.clients[speaker].say(data)

    def _broken(self, speaker: int, peer: int, data: bytes, place: int, byte: int) -> None:
        """A Send indication with one byte changed; not in the peer's address, which is one engine's own."""
        message = bytearray(plain_send(self.peers[peer].address, data, fingerprint=False))
        place %= len(message)
        if place not in range(24, 32 if self.rig.host == IPV4 else 44):
            message[place] = byte
            self.clients[speaker].say(bytes(message))

    def _down(self, call: int, peer: int, data: bytes) -> None:
        self.peers[peer].send(data, self.relays[call].address)

    def _train(self, speaker: int, number: int, length: int, count: int) -> None:
        for _ in range(count):
            self._channel(speaker, number, bytes(length), 0)

    def _train_of_indications(self, speaker: int, peer: int, length: int, count: int) -> None:
        for _ in range(count):
            self._indication(speaker, peer, bytes(length), stamped=False)

    def _train_down(self, call: int, peer: int, length: int, count: int) -> None:
        for _ in range(count):
            self._down(call, peer, bytes(length))

    def _permit(self, call: int, other: bool, ports: Ports, until: float) -> None:
        self.relays[call].permit(self._other if other else self.rig.host, ports, until)

    def _forbid(self, call: int, other: bool, ports: Ports) -> None:
        host = self._other if other else self.rig.host
        self.rig.engine.clear_route(Permission(self.relays[call].number, host, ports))

    def _bind(self, call: int, number: int, peer: int, until: float) -> None:
        self.relays[call].bind(number, self.peers[peer].address, until)

    def _expire(self, call: int, until: float) -> None:
        self.rig.engine.set_deadline(self.relays[call].number, until)

    def _unbind(self, call: int, number: int, peer: int) -> None:
        self.rig.engine.clear_route(Channel(self.relays[call].number, number, self.peers[peer].address))

    def _deny(self, peer: int) -> None:
        """The new one alone is denied, and it gives its channels up first, as the core sees to it."""
        for relay in self.relays:
            for number in range(NUMBER, NUMBER + 3):
                self.rig.engine.clear_route(Channel(relay.number, number, self.peers[peer].address))
        self.rig.engine.deny([self.peers[peer].address])


@pytest.mark.parametrize("io", WAYS)
@given(course=st.lists(actions, min_size=5, max_size=40), host=st.sampled_from([IPV4, IPV6]))
@settings(max_examples=60, deadline=None)
def test_the_engines_do_the_same(io: Io, course: list[tuple[Any, ...]], host: str) -> None:
    require_ipv6()
    plays = []
    with ExitStack() as stack:
        for choice, way in ((EngineChoice.PYTHON, Io.EPOLL), (EngineChoice.NATIVE, io)):
            engine = engine_or_skip(choice, EngineSettings(io=way))
            play = Play(stack.enter_context(closing(engine)), host, stack)
            for action in course:
                play.run(action)
            plays.append(play)
        ours, theirs = plays
        assert ours.record == theirs.record
        assert ours.totals() == theirs.totals()
