"""SIGTERM: whoever has a call keeps it, nobody gets a new one, and the process ends with the last."""

import json
import signal

import pytest

from fairlead.datagram import Transport
from tests.processes import Daemon, Daemons
from tests.system.calls import CHANNEL, Call
from tests.turn_client import Sockets


@pytest.fixture
def turnd(daemons: Daemons) -> Daemon:
    return daemons.turnd(peers={"allow": ["loopback"]})


def _drain(turnd: Daemon) -> None:
    turnd.signal(signal.SIGTERM)
    turnd.await_record("draining")


def test_living_calls_go_on_until_the_last_one_ends(turnd: Daemon, sockets: Sockets) -> None:
    calls = [Call(turnd, sockets, transport) for transport in (Transport.UDP, Transport.TCP)]
    early = sockets.client(turnd, Transport.TCP)
    _drain(turnd)

    status, page = turnd.get("/readyz")
    assert (status, json.loads(page)["draining"]) == (503, True)
    assert turnd.get("/healthz")[0] == 200
    assert turnd.metrics().sum("turnd_draining") == 1
    for late in (early, sockets.client(turnd), sockets.client(turnd, Transport.TCP)):
        assert late.allocate().code == 508
    for call in calls:
        call.assert_goes_on()
        assert call.client.refresh().code == 0
        assert call.client.bind(CHANNEL, call.peer.address).code == 0

    assert calls[0].client.refresh(0).code == 0
    calls[1].assert_goes_on()
    calls[1].client.socket.close()
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
