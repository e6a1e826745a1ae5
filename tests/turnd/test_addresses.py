"""Which addresses relay sockets are bound to, and where listeners are reached."""

import pytest

from fairlead.config import SettingError
from fairlead.datagram import Address, Family
from turnd.addresses import machine_hosts, reached_at, relay_hosts
from turnd.config import RelaySettings
from turnd.protocol.settings import RelayHost

MACHINE = ["127.0.0.1", "::1", "192.0.2.2", "192.0.2.3", "2001:db8::2"]


def test_the_first_address_that_is_not_loopback_serves_each_family() -> None:
    assert relay_hosts(RelaySettings(), MACHINE) == {
        Family.IPV4: RelayHost("192.0.2.2", "192.0.2.2"),
        Family.IPV6: RelayHost("2001:db8::2", "2001:db8::2"),
    }


def test_a_machine_without_a_network_relays_on_loopback() -> None:
    assert relay_hosts(RelaySettings(), ["127.0.0.1"]) == {Family.IPV4: RelayHost("127.0.0.1", "127.0.0.1")}


def test_a_configured_address_leaves_the_other_family_out() -> None:
    assert set(relay_hosts(RelaySettings(address=("2001:db8::2",)), MACHINE)) == {Family.IPV6}


def test_clients_are_told_the_advertised_address() -> None:
    settings = RelaySettings(address=("192.0.2.3",), advertise=("198.51.100.1",))
    assert relay_hosts(settings, MACHINE) == {Family.IPV4: RelayHost("192.0.2.3", "198.51.100.1")}


def test_an_advertised_address_needs_a_bound_one_of_its_family() -> None:
    settings = RelaySettings(address=("192.0.2.3",), advertise=("2001:db8::99",))
    with pytest.raises(SettingError, match=r"turnd\.relay\.address"):
        relay_hosts(settings, MACHINE)


def test_a_wildcard_is_reached_at_every_address_of_its_family() -> None:
    assert reached_at(Address("0.0.0.0", 3478), MACHINE) == [
        Address("127.0.0.1", 3478),
        Address("192.0.2.2", 3478),
        Address("192.0.2.3", 3478),
    ]
    assert reached_at(Address("192.0.2.2", 3478), MACHINE) == [Address("192.0.2.2", 3478)]


def test_every_machine_has_loopback() -> None:
    assert "127.0.0.1" in machine_hosts()
