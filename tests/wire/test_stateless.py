"""What a client costs that has not shown who it is: an answer of few bytes, and nothing that stays."""

import socket
import time
from ipaddress import IPv4Address

from fairlead.datagram import Transport
from fairlead.stun.attributes import ERROR_CODE, NONCE, REQUESTED_TRANSPORT, UDP
from fairlead.stun.header import Class, Method
from fairlead.stun.message import decode, encode, new_mask
from tests.processes import PATIENCE, Daemon, Daemons
from tests.turn_client import Sockets

_BINDING = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)))
_ALLOCATE = encode(Method.ALLOCATE, Class.REQUEST, new_mask(bytes(12)), ((REQUESTED_TRANSPORT, UDP),))

_SOURCES = 10_000
_MOST_GROWTH = 4 << 20
#: Where sources begin: 127.1.0.0 and what follows.
_FIRST = int(IPv4Address("127.1.0.0"))


def test_a_binding_is_answered_in_32_bytes(daemons: Daemons, sockets: Sockets) -> None:
    assert len(_BINDING) == 20
    for daemon in (daemons.turnd(), daemons.stund()):
        for transport in (Transport.UDP, Transport.TCP):
            asking = sockets.connect(daemon.address(transport), transport)
            asking.sendall(_BINDING)
            assert len(asking.recv(2048)) == 32


def test_strangers_leave_nothing_behind(daemons: Daemons) -> None:
    turnd = daemons.turnd()
    _ask_from_everywhere(turnd, range(_SOURCES, _SOURCES + 1000))
    before, said = turnd.resident_memory(), turnd.output
    _ask_from_everywhere(turnd, range(_SOURCES))
    growth = turnd.resident_memory() - before
    assert growth < _MOST_GROWTH, f"{growth} bytes for {_SOURCES} sources"
    assert turnd.output == said
    metrics = turnd.metrics()
    assert metrics.sum("turnd_challenges_sent_total") == _SOURCES + 1000
    assert metrics.sum("turnd_allocations") == 0


def test_a_flood_from_one_source_meets_silence(daemons: Daemons, sockets: Sockets) -> None:
    """So that packets with a forged sender are no flood for whom they name. Others do not notice."""
    turnd = daemons.turnd()
    client = sockets.client(turnd)
    client.allocated()
    flood, began = sockets.client(turnd), time.monotonic()
    for _ in range(20):
        for _ in range(100):
            flood.write(_ALLOCATE)
        # Answered when all before it are: no more of them than the socket's buffer holds.
        assert client.refresh().code == 0
    answered = turnd.metrics().sum("turnd_challenges_sent_total")
    assert 500 <= answered <= 500 + 1 + 100 * (time.monotonic() - began)
    assert answered + turnd.metrics().sum("turnd_challenges_suppressed_total") == 2000 + 1
    assert sockets.client(turnd, source="127.0.0.2").allocate().code == 0


def test_a_nonce_is_good_for_the_address_that_it_was_given_to(daemons: Daemons, sockets: Sockets) -> None:
    turnd = daemons.turnd()
    owner, thief = sockets.client(turnd), sockets.client(turnd)
    owner.allocated()
    thief.nonce = owner.nonce
    refused = thief.ask_once(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
    assert refused.code == 438
    fresh = refused.first(NONCE)
    assert fresh not in (None, owner.nonce)
    thief.nonce = str(fresh)
    assert thief.ask_once(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP)).code == 0


def _ask_from_everywhere(turnd: Daemon, sources: range) -> None:
    """An Allocate without credentials from each of these addresses; all are challenged."""
    server = tuple(turnd.address(Transport.UDP))
    for number in sources:
        with socket.socket(type=socket.SOCK_DGRAM) as source:
            source.settimeout(PATIENCE)
            source.bind((str(IPv4Address(_FIRST + number)), 0))
            source.sendto(_ALLOCATE, server)
            assert decode(source.recv(2048)).first(ERROR_CODE) == (401, "Unauthorized")
