"""Why a call failed, as both ends know it."""

from collections import deque

import pytest

from fairlead.link import Traffic
from signal_api.relay.reports import Path, Protocol, Report, Reports, Result, explain
from signal_api.relay.sightings import Rejection, Relay, Sighting

FAILED = Report(Result.FAILED)


def _seen(*rejections: Rejection, traffic: Traffic | None = None, ended: str | None = None) -> Sighting:
    """What turnd saw: a relay where there was traffic, even none of it."""
    relay = Relay(1, "udp", "198.51.100.7:5000", "203.0.113.5:50000", 0, ended=ended, traffic=traffic or Traffic())
    return Sighting(deque([relay] if traffic is not None else []), deque(rejections))


def _refused(method: str, code: int) -> Rejection:
    return Rejection(method, code, "because", "198.51.100.7:5000", 0)


@pytest.mark.parametrize(
    ("report", "sighting", "said"),
    [
        (Report(Result.CONNECTED, path=Path.RELAY, protocol=Protocol.TLS, connect_ms=80), None, "over tls after 80 ms"),
        (Report(Result.CONNECTED, path=Path.HOST), None, "without the relay"),
        (FAILED, None, "turnd never heard of this client"),
        (FAILED, _seen(_refused("refresh", 437)), "turnd never heard of this client"),
        (FAILED, _seen(_refused("allocate", 486)), "refused to relay (486, because)"),
        (FAILED, _seen(traffic=Traffic()), "203.0.113.5:50000 stood, and neither side"),
        (FAILED, _seen(_refused("create_permission", 403), traffic=Traffic()), "refused its peers (403, because)"),
        (FAILED, _seen(traffic=Traffic(1, 1, 0, 0)), "nothing came back"),
        (FAILED, _seen(traffic=Traffic(0, 0, 1, 1)), "it sent none"),
        (
            Report(Result.LOST),
            _seen(traffic=Traffic(1, 1, 1, 1)),
            "it was lost: packets went through the relay in both",
        ),
        (FAILED, _seen(traffic=Traffic(1, 1, 1, 1), ended="quota"), "budget was used up"),
        (FAILED, _seen(traffic=Traffic(1, 1, 1, 1), ended="client"), "in both directions"),
    ],
)
def test_why(report: Report, sighting: Sighting | None, said: str) -> None:
    assert said in explain(report, sighting, is_linked=True)


def test_without_a_link_there_is_no_guess() -> None:
    assert "cannot be heard" in explain(FAILED, None, is_linked=False)


def test_what_is_kept_has_a_bound() -> None:
    reports = Reports(memberships=2)
    for number in range(20):
        reports.note("a", Report(Result.FAILED, connect_ms=number))
    assert [report.connect_ms for report in reports.of("a")] == list(range(4, 20))
    reports.note("b", FAILED)
    reports.note("a", FAILED)
    reports.note("c", FAILED)
    assert len(reports) == 2
    assert reports.of("b") == ()
