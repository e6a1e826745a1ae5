"""The state's one sentence of its own: which of our addresses a client means."""

import pytest

from fairlead.datagram import Address, Family
from tests.turnd.kit import World
from turnd.protocol.settings import RelayHost

HOSTS = {Family.IPV4: RelayHost("10.0.0.5", "20.9.9.9"), Family.IPV6: RelayHost("2001:db8::1", "2001:db8::1")}


@pytest.mark.parametrize(
    ("meant", "bound"),
    [("20.9.9.9", "10.0.0.5"), ("10.0.0.5", "10.0.0.5"), ("20.0.0.1", "20.0.0.1"), ("2001:db8::1", "2001:db8::1")],
)
def test_what_clients_were_told_means_what_is_bound(meant: str, bound: str) -> None:
    assert World(hosts=HOSTS).state.bound_peer(Address(meant, 9)) == Address(bound, 9)


def test_a_new_state_is_empty() -> None:
    state = World().state
    assert not len(state.allocations)
    assert not state.openings
    assert not state.draining
