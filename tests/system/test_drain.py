"""SIGTERM: whoever has a call keeps it, nobody gets a new one, and the process ends with the last."""

import json
import signal

import pytest

from fairlead.datagram import Transport
from tests.processes import Daemon, Daemons
from tests.turn_client import Peer, Sockets, TurnClient

_CHANNEL = 0x4000


@pytest.fixture
def turnd(daemons: Daemons) -> Daemon:
    return daemons.turnd(peers={"allow": ["loopback"]})


def _call(client: TurnClient, peer: Peer) -> None:
    """Gives the client an allocation with a channel to the peer."""
    client.allocated()
    assert client.bind(_CHANNEL, peer.address).code == 0
    _exchange(client, peer)


def _exchange(client: TurnClient, peer: Peer) -> None:
    client.send(_CHANNEL, b"to the peer")
    data, relayed = peer.receive()
    assert data == b"to the peer"
    peer.send(b"to the client", relayed)
    assert client.receive() == (_CHANNEL, b"to the client")


def _drain(turnd: Daemon) -> None:
    turnd.signal(signal.SIGTERM)
    turnd.await_record("draining")


def test_living_calls_go_on_until_the_last_one_ends(turnd: Daemon, sockets: Sockets) -> None:
    callers = [sockets.client(turnd, transport) for transport in (Transport.UDP, Transport.TCP)]
    peers = [sockets.peer() for _ in callers]
    for caller, peer in zip(callers, peers, strict=True):
        _call(caller, peer)
    early = sockets.client(turnd, Transport.TCP)
    _drain(turnd)

    status, page = turnd.get("/readyz")
    assert (status, json.loads(page)["draining"]) == (503, True)
    assert turnd.get("/healthz")[0] == 200
    assert turnd.metrics().sum("turnd_draining") == 1
    for late in (early, sockets.client(turnd), sockets.client(turnd, Transport.TCP)):
        assert late.allocate().code == 508
    for caller, peer in zip(callers, peers, strict=True):
        _exchange(caller, peer)
        assert caller.refresh().code == 0
        assert caller.bind(_CHANNEL, peer.address).code == 0

    assert callers[0].refresh(0).code == 0
    _exchange(callers[1], peers[1])
    callers[1].socket.close()
    assert turnd.exit_code() == 0
    assert turnd.records("stopped")


def test_nothing_to_wait_for_is_the_end(turnd: Daemon) -> None:
    turnd.signal(signal.SIGTERM)
    assert turnd.exit_code() == 0


def test_the_deadline_is_the_end(daemons: Daemons, sockets: Sockets) -> None:
    turnd = daemons.turnd(drain_deadline=0.3)
    sockets.client(turnd).allocated()
    _drain(turnd)
    assert turnd.exit_code() == 0
    assert turnd.records("drain deadline passed, stopping with work left")
    assert [record["reason"] for record in turnd.records("allocation ended")] == ["shutdown"]


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_second_signal_is_the_end(turnd: Daemon, sockets: Sockets, again: signal.Signals) -> None:
    sockets.client(turnd).allocated()
    _drain(turnd)
    turnd.signal(again)
    assert turnd.exit_code() == 0
    assert [record["reason"] for record in turnd.records("allocation ended")] == ["shutdown"]
