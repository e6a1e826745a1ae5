"""SIGHUP: a new configuration counts at once, also for what lives already; a bad one changes nothing."""

import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from fairlead.datagram import Transport
from tests.certificates import self_signed
from tests.processes import AUTH, Configuration, Daemon, Daemons, relay_on_loopback
from tests.system.calls import CHANNEL, Call
from tests.turn_client import Sockets

_REFUSED = "configuration refused, the old one stays"


def configuration(**section: Any) -> Configuration:
    return relay_on_loopback(**({"peers": {"allow": ["loopback"]}} | section))


@pytest.fixture
def turnd(daemons: Daemons) -> Daemon:
    return daemons.turnd(configuration())


def test_a_new_policy_withdraws_living_routes(turnd: Daemon, sockets: Sockets) -> None:
    call = Call(turnd, sockets)
    turnd.reload(configuration(peers={"deny": ["127.0.0.0/8"]}))
    call.assert_is_cut()
    assert turnd.metrics().sum("turnd_permissions") == turnd.metrics().sum("turnd_channels") == 0
    assert call.client.permit(call.peer.address).code == 403
    assert call.client.bind(CHANNEL, call.peer.address).code == 403
    # The allocation itself lives on, and serves again when its peer is allowed again.
    turnd.reload(configuration())
    call.assert_is_cut()
    assert call.client.bind(CHANNEL, call.peer.address).code == 0
    call.assert_goes_on()


def test_a_policy_that_allows_what_is_in_use_changes_nothing_for_it(turnd: Daemon, sockets: Sockets) -> None:
    call = Call(turnd, sockets)
    turnd.reload(configuration(peers={"allow": ["127.0.0.1"], "deny": ["20.0.0.0/8"]}))
    call.assert_goes_on()


def test_a_call_outlives_the_secret_that_it_began_with(daemons: Daemons, sockets: Sockets) -> None:
    turnd = daemons.turnd(configuration())
    call = Call(turnd, sockets)
    turnd.reload(configuration() | {"auth": AUTH | {"users": [{"name": "user", "password": "another password"}]}})
    call.assert_goes_on()
    assert call.client.bind(CHANNEL, call.peer.address).code == 0
    assert call.client.refresh().code == 0
    assert sockets.client(turnd).allocate().code == 401
    assert sockets.client(turnd, password="another password").allocate().code == 0


def test_a_new_certificate_is_served_and_open_connections_stay(
    daemons: Daemons, sockets: Sockets, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("old", "new")]
    tls = []
    for folder in folders:
        folder.mkdir()
        tls.append({"tls": {name: str(path) for name, path in self_signed(folder)._asdict().items()}})
    turnd = daemons.turnd(configuration() | tls[0])
    call = Call(turnd, sockets, Transport.TLS)
    turnd.reload(configuration() | tls[1])
    call.assert_goes_on()
    with socket.create_connection(turnd.address(Transport.TLS)) as plain:
        context = ssl.create_default_context(cafile=tls[1]["tls"]["certificate"])
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()


#: What is wrong with it, and what the log says of that.
BAD: list[tuple[Configuration, str]] = [
    ({"turnd": {"peers": {"allow": ["loopbak"]}}}, "turnd.peers.allow: 'loopbak'"),
    ({"turnd": {"realy": {}}}, "turnd.realy: unknown key; did you mean relay?"),
    ({"turnd": {"relay": {"address": ["127.0.0.2"]}}}, "turnd.relay: cannot change while turnd runs; restart turnd"),
    ({"turnd": {"listen": ["udp://203.0.113.77:3478"]}}, "this machine has no address 203.0.113.77"),
    ({"tls": {"certificate": "nowhere.pem", "key": "nowhere.pem"}}, "nowhere.pem cannot be read (No such file"),
    ({"auth": {}}, "auth: there is neither a secret nor a user"),
]


def test_a_bad_configuration_changes_nothing(turnd: Daemon, sockets: Sockets) -> None:
    """Not even by the part of it that is good: the policy that comes with it would end the call."""
    turnd.expected_errors = (_REFUSED,)
    call = Call(turnd, sockets)
    good = configuration(peers={"deny": ["loopback"]}, quotas={"allocations": 1})
    for number, (change, said) in enumerate(BAD, 1):
        turnd.write(good | change | {"turnd": good["turnd"] | change.get("turnd", {})})
        turnd.signal(signal.SIGHUP)
        problem = turnd.await_record(_REFUSED, number)["problem"]
        assert said in problem
        assert problem.startswith(f"{turnd.file}:"), "it says where"
        call.assert_goes_on()
        assert sockets.client(turnd).allocate().code == 0
    assert turnd.metrics().by("turnd_config_reloads_total", "result") == {"error": len(BAD)}
    # The next good one is taken.
    turnd.reload(configuration(quotas={"allocations": 1}))
    assert sockets.client(turnd).allocate().code == 486
    call.assert_goes_on()
