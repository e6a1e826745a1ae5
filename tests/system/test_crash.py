"""kill -9: the next turnd knows nothing of its predecessor's allocations, says so, and takes its place at once."""

import pytest

from fairlead.datagram import Transport
from tests.processes import AUTH, Daemons, relay_on_loopback
from tests.system.calls import CHANNEL, Call
from tests.turn_client import Sockets


@pytest.mark.parametrize("nonce_key", [None, "shared by every turnd"], ids=["its own nonces", "a shared nonce key"])
def test_clients_hear_that_their_allocation_is_gone(daemons: Daemons, sockets: Sockets, nonce_key: str | None) -> None:
    configuration = relay_on_loopback(peers={"allow": ["loopback"]})
    if nonce_key is not None:
        configuration["auth"] = AUTH | {"nonce_key": nonce_key}
    first = daemons.turnd(configuration)
    here = {"listen": [f"{transport}://{first.address(transport)}" for transport in (Transport.UDP, Transport.TCP)]}
    call, streaming = Call(first, sockets), Call(first, sockets, Transport.TCP)
    first.kill()
    assert streaming.client.socket.recv(1) == b"", "a stream client hears of it at once"

    second = daemons.turnd(configuration | {"turnd": configuration["turnd"] | here})
    refreshed = call.client.refresh()
    assert refreshed.code == 437
    assert call.client.permit(call.peer.address).code == 437
    assert call.client.bind(CHANNEL, call.peer.address).code == 437
    # Data of the dead call is dropped, and the very same client begins anew.
    call.client.send(CHANNEL, b"to nobody")
    call.peer.send(b"from nobody", call.relayed)
    assert call.client.allocate().code == 0
    assert second.metrics().by("turnd_dropped_total", "reason") == {"no_allocation": 1}
    assert not call.peer.heard()
