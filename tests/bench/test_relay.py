"""What a measurement says of a server that will not take part in a case."""

from typing import Any

import pytest

from bench.cases import Case, Direction, Framing
from bench.floor import Floor
from bench.relay import Plan, measure
from bench.servers import Call
from bench.topology import Cores, Loopback
from bench.turn_client import TurnError

pytestmark = pytest.mark.requires("gcc")

CASE = Case(2, 172, Direction.BOTH, Framing.CHANNEL)
#: Of three rounds one may be lost to whatever holds the machine up.
PLAN = Plan(3, 0.2, 0.05, 16, Cores(None, None), Loopback(), timed=3)


class Closed(Floor):
    """A floor that nobody may use."""

    def call(self) -> Call:  # type: ignore[override]
        raise TurnError("it is closed", 403)


def rows(*servers: Floor) -> list[dict[str, Any]]:
    try:
        return list(measure(CASE, servers, PLAN, lambda line: None))
    finally:
        for server in servers:
            server.stop()


def test_who_refuses_a_case_is_missing_from_it() -> None:
    measured, missing = rows(Floor(None), Closed(None, False))
    assert measured["ratio"] == 1.0
    assert measured["case"] == "interleaved"
    assert measured["topology"] == "loopback"
    assert 0 < measured["round_trip"]["p50_us"] <= measured["round_trip"]["p99_us"]
    assert measured["cpu_us_per_packet"] == measured["process_us_per_packet"]
    assert missing["engine"] == "floor-plain"
    assert missing["missing"] == "it is closed"


def test_without_the_server_to_compare_with_there_is_no_case() -> None:
    with pytest.raises(TurnError, match="closed"):
        rows(Closed(None), Floor(None, False))
