"""What fuzzers found interesting about the native verdict, said to both engines: they do the same with each of it.

The world is that of the target `classify` (native/fuzz/src/targets.rs), whose messages name its addresses.
"""

import select
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.native import EngineChoice
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, XOR_PEER_ADDRESS
from fairlead.stun.header import DecodeError
from fairlead.stun.message import decode
from fuzz.corpora import corpus_of, read
from tests.conformance.kit import WAYS, End, Rig, engine_or_skip, settle
from tests.loopback import require_ipv6
from turnd.dataplane.contract import EngineSettings, Io
from turnd.routes import Channel, Permission, Ports, RelayId

HOST = "127.83.0.1"
STREAM = Via(70, 7)
#: Who speaks is the first byte of an input; 3 is a peer, whose packets other tests send.
OVER_UDP, OVER_TCP, STRANGER, SPEAKERS = 0, 1, 2, 4
RELAYS = [(1, OVER_UDP, (HOST, 20001)), (2, OVER_UDP, ("::1", 20002)), (3, OVER_TCP, (HOST, 20003))]
PERMISSIONS = [
    (1, "127.83.0.2", Ports.ANY),
    (1, "127.83.0.3", Ports.OWN_RELAYED),
    (1, HOST, Ports.OWN_RELAYED),
    (2, "::1", Ports.ANY),
    (3, "127.83.0.2", Ports.ANY),
]
CHANNELS = [
    (1, 0x4000, ("127.83.0.2", 20004)),
    (1, 0x4001, ("127.83.0.3", 20005)),
    (1, 0x4002, ("127.83.0.4", 20006)),
    (1, 0x4003, (HOST, 20003)),
    (2, 0x4004, ("::1", 20007)),
    (3, 0x4000, ("127.83.0.2", 20004)),
    (3, 0x7FFF, ("127.83.0.2", 20008)),
]
DENIED = Address("127.83.0.2", 20009)


class World:
    """One engine in the world of the target."""

    def __init__(self, choice: EngineChoice, io: Io, stack: ExitStack) -> None:
        self._engine = stack.enter_context(closing(engine_or_skip(choice, EngineSettings(io=io))))
        self._rig = rig = Rig(self._engine, HOST, stack)
        server = rig.listener
        self._udp = [stack.enter_context(closing(End(rig, "127.83.0.8", 20010 + who))) for who in (OVER_UDP, STRANGER)]
        self._tcp = FiveTuple(Transport.TCP, Address("127.83.0.8", 20011), server)
        for relay, owner, address in RELAYS:
            self._engine.open_relay(RelayId(relay), Address(*address))
            client = FiveTuple(Transport.UDP, self._udp[0].address, server)
            self._engine.set_client(RelayId(relay), self._tcp if owner else client, STREAM if owner else Via(1))
        for relay, host, ports in PERMISSIONS:
            self._engine.set_route(Permission(RelayId(relay), host, ports))
        for relay, number, peer in CHANNELS:
            self._engine.set_route(Channel(RelayId(relay), number, Address(*peer)))
        self._engine.deny([DENIED])
        addresses = {Address(*peer) for _, _, peer in CHANNELS} - {Address(*relayed) for _, _, relayed in RELAYS}
        self._peers = [stack.enter_context(closing(End(rig, *each))) for each in sorted(addresses | {DENIED})]

    def hear(self, speaker: int, message: bytes) -> Any:
        """What becomes of a message: what is handed up, what is dropped and why, and who gets what."""
        before = self._rig.all_dropped()
        handed_up: list[Any] = []
        if speaker == OVER_TCP:
            handed_up += self._engine.deliver(Datagram(message, self._tcp, STREAM))
        else:
            self._udp[speaker // 2].send(message, self._rig.listener)
        while True:
            settle(self._engine)
            handed_up += self._engine.turn()
            if not select.select([self._engine.fileno()], [], [], 0)[0]:
                break
        dropped = {reason: times - before.get(reason, 0) for reason, times in self._rig.all_dropped().items()}
        up = list(_for_the_core(handed_up, dropped))
        heard = [[*map(_anonymous, _heard(end))] for end in (*self._udp, *self._peers)]
        return up, {reason: times for reason, times in dropped.items() if times}, heard


def _for_the_core(handed_up: list[Any], dropped: dict[Reason, int]) -> Iterator[bytes]:
    """Junk is as good as dropped."""
    for item in handed_up:
        try:
            decode(item.data)
        except DecodeError as error:
            dropped[error.reason] = dropped.get(error.reason, 0) + 1
        else:
            yield item.data


def _heard(end: End) -> Iterator[bytes]:
    while not end.is_silent():
        yield end.receive()[0]


def _anonymous(data: bytes) -> bytes:
    """Without what an engine chooses: the transaction id of a Data indication, which masks addresses of IPv6 too."""
    if data[:2] != b"\0\x17":
        return data
    message = decode(data)
    return repr((message.first(XOR_PEER_ADDRESS), message.first(DATA))).encode()


def outcomes(choice: EngineChoice, io: Io, inputs: list[bytes]) -> list[Any]:
    with ExitStack() as stack:
        world = World(choice, io, stack)
        return [world.hear(each[0] % SPEAKERS, each[1:]) for each in inputs]


@pytest.mark.parametrize("io", WAYS)
def test_the_engines_do_the_same_with_the_corpus(io: Io) -> None:
    require_ipv6()
    inputs = [each for each in read(corpus_of("classify")) if each and each[0] % SPEAKERS < 3]
    assert len(inputs) > 50
    ours = outcomes(EngineChoice.PYTHON, Io.EPOLL, inputs)
    theirs = outcomes(EngineChoice.NATIVE, io, inputs)
    for each, one, other in zip(inputs, ours, theirs, strict=True):
        assert one == other, each.hex()
    assert {len(up) for up, _, _ in ours} == {0, 1}
    assert sum(any(heard) for _, _, heard in ours) > 10
