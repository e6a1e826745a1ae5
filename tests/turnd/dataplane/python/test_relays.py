"""What a relay socket keeps does not grow with what comes and goes."""

import math
from contextlib import closing

from fairlead.datagram import Address, Family
from turnd.dataplane.contract import EngineSettings
from turnd.dataplane.python.clients import Client
from turnd.dataplane.python.relays import RelaySocket
from turnd.dataplane.python.sockets import open_socket
from turnd.dataplane.python.switchboard import Switchboard
from turnd.routes import Ports, RelayId


def test_routes_leave_nothing_behind() -> None:
    switchboard = Switchboard()
    with closing(open_socket(Address("127.0.0.1", 0), 0, 0)) as probe:
        address = Address(*probe.getsockname())
    relay = RelaySocket(RelayId(1), address, EngineSettings(aliases={"203.0.113.1": "192.0.2.1"}), switchboard)
    client = Client(switchboard)
    relay.attach(client, relay.socket.sendto, ("127.0.0.1", 9))
    sizes = {name: len(value) for name, value in vars(relay).items() if isinstance(value, dict)}
    for number in range(0x4000, 0x4100):
        peer = Address("192.0.2.1", number)
        relay.permit(peer.host, Ports.ANY, math.inf)
        relay.bind(number, peer, math.inf)
        relay.forbid(peer.host, Ports.ANY)
        assert client.channels[number].usable == -math.inf
        relay.unbind(number, peer)
    assert {name: len(value) for name, value in vars(relay).items() if isinstance(value, dict)} == sizes
    assert not client.channels
    assert set(client.relays) == {Family.IPV4}
    relay.detach()
    assert not client.relays
    relay.socket.close()
    relay.die()
    assert not switchboard.living
