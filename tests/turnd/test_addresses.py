"""Which addresses relay sockets are bound to, and where listeners are reached."""

import asyncio
import errno
import itertools
import os
import threading

import pytest

from fairlead.config import SettingError
from fairlead.datagram import Address, Family
from turnd.addresses import Machine, machine_hosts, reached_at, relay_hosts, relay_problem
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


def test_a_family_without_an_outside_address_is_not_relayed() -> None:
    """Whoever asks for it reads 440, and not an address that stands for its own machine."""
    assert set(relay_hosts(RelaySettings(), ["127.0.0.1", "::1", "203.0.113.7"])) == {Family.IPV4}
    assert set(relay_hosts(RelaySettings(), ["127.0.0.1", "::1"])) == {Family.IPV4, Family.IPV6}


def test_what_cannot_be_bound_is_said_by_the_system() -> None:
    assert relay_problem("127.0.0.1") is None
    assert relay_problem("203.0.113.5") == os.strerror(errno.EADDRNOTAVAIL)


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


def test_a_machine_is_looked_at_again_and_in_no_order() -> None:
    hosts = ["127.0.0.1", "192.0.2.2"]
    machine = Machine(lambda: list(hosts))
    hosts.reverse()
    assert not machine.look()
    hosts.append("192.0.2.9")
    assert machine.look()
    assert "192.0.2.9" in machine.hosts
    hosts.remove("192.0.2.9")
    assert machine.look()
    assert not machine.look()
    assert "192.0.2.9" not in machine.hosts


async def test_the_loop_goes_on_while_the_machine_is_looked_at() -> None:
    """Of 4,100 addresses a look took 145 ms of the loop, every two seconds."""
    hosts, may_read = ["127.0.0.1"], threading.Event()

    def read() -> list[str]:
        assert not hosts[1:] or may_read.wait(10), "the loop stands still"
        return list(hosts)

    machine = Machine(read)
    hosts.append("192.0.2.9")
    looking = asyncio.create_task(machine.look_aside())
    await asyncio.sleep(0)
    may_read.set()
    assert await looking
    assert machine.hosts == hosts


@pytest.mark.parametrize(("cost", "rest"), [(0.0, 2.0), (0.001, 2.0), (0.15, 15.0)])
def test_a_look_that_takes_long_is_taken_seldom(cost: float, rest: float) -> None:
    machine = Machine(lambda: ["127.0.0.1"], spent=itertools.count(step=cost).__next__)
    machine.look()
    assert machine.rest == pytest.approx(rest)


def test_what_cannot_be_read_stays_as_it_was_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    problems = list[OSError]()

    def read() -> list[str]:
        if problems:
            raise problems[0]
        return ["192.0.2.2"]

    machine = Machine(read)
    for number in (errno.EMFILE, errno.EMFILE, errno.ENFILE):
        problems[:] = [OSError(number, os.strerror(number))]
        assert not machine.look()
    assert machine.hosts == ["192.0.2.2"]
    assert len(caplog.records) == 2
    problems.clear()
    assert not machine.look()
    problems.append(OSError(errno.EMFILE, "once more"))
    assert not machine.look()
    assert len(caplog.records) == 3
