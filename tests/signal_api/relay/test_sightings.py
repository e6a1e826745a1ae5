"""What turnd told, kept by credential and within bounds."""

import pytest

from fairlead.link import Allocated, Draining, Ended, Event, Refused, Traffic, Usage
from signal_api.relay.sightings import Sightings

_USER = "aaaaaaaaaaaaaaaa.s_1"
_NAME = f"1763798700:{_USER}"
_CLIENT, _RELAYED = "198.51.100.7:5000", "203.0.113.5:50000"


def _allocated(allocation: int = 1, name: str = _NAME) -> Allocated:
    return Allocated(allocation, name, "udp", _CLIENT, _RELAYED)


def _seen(*events: Event) -> Sightings:
    sightings = Sightings()
    for at, event in enumerate(events):
        sightings.note(event, at)
    return sightings


def test_an_allocation_is_followed_to_its_end() -> None:
    first, last = Traffic(1, 100, 2, 200), Traffic(10, 1000, 20, 2000)
    sightings = _seen(_allocated(), Usage(1, _NAME, first), Ended(1, _NAME, "expired", 600.0, last))
    sighting = sightings.of(_USER)
    assert sighting is not None
    (relay,) = sighting.relays
    assert (relay.transport, relay.client, relay.relayed, relay.since) == ("udp", _CLIENT, _RELAYED, 0)
    assert (relay.ended, relay.seconds, relay.traffic) == ("expired", 600.0, last)


def test_a_renewed_credential_of_the_same_member_goes_on_with_its_relay() -> None:
    traffic = Traffic(1, 100, 0, 0)
    sighting = _seen(_allocated(), Usage(1, f"1763798999:{_USER}", traffic)).of(_USER)
    assert sighting is not None
    assert [relay.traffic for relay in sighting.relays] == [traffic]


def test_what_lives_is_told_again_with_a_new_link_and_counts_once() -> None:
    sighting = _seen(_allocated(), _allocated()).of(_USER)
    assert sighting is not None
    assert [relay.since for relay in sighting.relays] == [0]


def test_a_number_that_turnd_uses_again_is_another_allocation() -> None:
    sighting = _seen(_allocated(), Ended(1, _NAME, "client", 1.0, Traffic()), _allocated()).of(_USER)
    assert sighting is not None
    assert [relay.ended for relay in sighting.relays] == ["client", None]


def test_a_refusal_is_kept_with_its_code() -> None:
    sighting = _seen(Refused(_NAME, _CLIENT, "allocate", 486, "quota reached")).of(_USER)
    assert sighting is not None
    (rejection,) = sighting.rejections
    assert (rejection.method, rejection.code, rejection.reason) == ("allocate", 486, "quota reached")


@pytest.mark.parametrize("event", [Draining(60.0), _allocated(name="alice"), Usage(9, _NAME, Traffic())])
def test_what_is_nobodys_leaves_nothing(event: Event) -> None:
    assert len(_seen(event)) == 0


def test_the_quietest_credential_is_forgotten_when_there_are_too_many_records() -> None:
    sightings = Sightings(records=2)
    for number, user in enumerate(("a.s_1", "b.s_2", "a.s_1", "c.s_3")):
        sightings.note(_allocated(number, f"1763798700:{user}"), 0)
    assert [sightings.of(user) is not None for user in ("a.s_1", "b.s_2", "c.s_3")] == [False, False, True]
    assert len(sightings) == 1


def test_a_credential_keeps_its_last_records() -> None:
    sighting = _seen(*(_allocated(number) for number in range(100))).of(_USER)
    assert sighting is not None
    assert [sighting.relays[0].allocation, sighting.relays[-1].allocation] == [52, 99]
