"""Our own relay address, behind which other programs sit too: two clients of this server reach each other there, and
nobody reaches anything else."""

import os
import socket

import pytest

from fairlead.datagram import Address, Transport
from fairlead.stun.attributes import DONT_FRAGMENT
from fairlead.stun.header import Class, Method
from fairlead.stun.message import encode, new_mask
from tests.loopback import quiet_port
from tests.processes import Daemons
from tests.turn_client import Sockets, TurnClient

_CHANNEL = 0x4000


def send_by_all_means(client: TurnClient, peer: Address, data: bytes) -> int:
    """By Send in both forms and by ChannelData, as far as turnd lets it; returns ChannelBind's code when all is
    dealt with."""
    assert client.permit(peer).code == 0
    code = client.bind(_CHANNEL, peer).code
    client.indicate(peer, data)
    client.indicate(peer, data, (DONT_FRAGMENT, True))
    client.send(_CHANNEL, data)
    assert client.refresh().code == 0
    return code


def test_nobody_but_relayed_addresses_is_reached_there(daemons: Daemons, sockets: Sockets) -> None:
    """Nor does anybody else get in from there."""
    lower = quiet_port(socket.SOCK_DGRAM)
    neighbour = sockets.peer(port=lower + 1)
    # Relayed addresses have but two ports, and one of them is the neighbour's.
    turnd = daemons.turnd(relay={"address": ["127.0.0.1"], "ports": f"{lower}-{lower + 1}"})
    client = sockets.client(turnd)
    relayed = client.allocated()
    assert send_by_all_means(client, neighbour.address, b"in") == 0
    neighbour.send(b"out", relayed)
    assert client.refresh().code == 0
    assert not neighbour.heard()
    assert not client.waiting()
    assert turnd.metrics().by("turnd_dropped_total", "reason") == {"peer_not_allocated": 4}


def test_two_clients_reach_each_other_there(daemons: Daemons, sockets: Sockets) -> None:
    turnd = daemons.turnd()
    one, other = sockets.client(turnd), sockets.client(turnd, Transport.TCP)
    here, there = one.allocated(), other.allocated()
    other.permit(here)
    assert send_by_all_means(one, there, b"hello") == 0
    assert [other.receive() for _ in range(3)] == [(here, b"hello")] * 3
    # What is gone is a neighbour like any other.
    assert other.refresh(0).code == 0
    send_by_all_means(one, there, b"hello?")
    assert turnd.metrics().by("turnd_dropped_total", "reason") == {"peer_not_allocated": 3}


@pytest.mark.parametrize("allowed", [[], ["loopback"]], ids=["by default", "where the host is allowed"])
def test_nobody_relays_to_our_own_listener(daemons: Daemons, sockets: Sockets, allowed: list[str]) -> None:
    """An allocation inside an allocation would hide where its packets come from."""
    turnd = daemons.turnd(peers={"allow": allowed})
    client = sockets.client(turnd)
    client.allocated()
    # By the probe behind /readyz.
    asked = turnd.metrics().sum("turnd_requests_total", method="binding", transport="udp")
    question = encode(Method.BINDING, Class.REQUEST, new_mask(os.urandom(12)))
    assert send_by_all_means(client, turnd.address(Transport.UDP), question) == 403
    metrics = turnd.metrics()
    assert metrics.sum("turnd_relay_packets_total") == 0
    assert metrics.sum("turnd_requests_total", method="binding", transport="udp") == asked
    assert sum(metrics.by("turnd_dropped_total", "reason").values()) == 3
    assert not client.waiting()
